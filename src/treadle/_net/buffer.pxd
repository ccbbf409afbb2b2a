cimport cython


cdef class WriteBuffer:
    cdef readonly object chunks
    cdef readonly Py_ssize_t offset
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t high
    cdef readonly Py_ssize_t low
    cdef readonly bint paused

    cpdef set_limits(self, high, low)
    cpdef append(self, bytes data, Py_ssize_t sent=*)
    @cython.locals(length=Py_ssize_t)
    cpdef consume(self, Py_ssize_t count)
    cpdef clear(self)
    cpdef bint crossed_high(self) noexcept  # compares integers
    cpdef bint crossed_low(self) noexcept  # compares integers
