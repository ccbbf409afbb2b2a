cimport cython

cdef Py_ssize_t _HEADER


cdef class Marks:
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t high
    cdef readonly Py_ssize_t low
    cdef readonly bint paused

    cpdef set_limits(self, high, low)
    cpdef bint crossed_high(self) noexcept  # compares integers
    cpdef bint crossed_low(self) noexcept  # compares integers


cdef class WriteBuffer(Marks):
    cdef readonly object chunks
    cdef readonly Py_ssize_t offset

    cpdef append(self, bytes data, Py_ssize_t sent=*)
    @cython.locals(length=Py_ssize_t)
    cpdef consume(self, Py_ssize_t count)
    cpdef clear(self)


cdef class DatagramBuffer(Marks):
    cdef readonly object waiting

    cpdef push(self, bytes data, address)
    cpdef pop(self)
    cpdef clear(self)


cpdef flat(data)
cpdef as_piece(data)
cpdef bytes as_bytes(data)
