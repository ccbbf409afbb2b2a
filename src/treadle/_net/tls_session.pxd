cimport cython

from treadle._net.scratch cimport Scratch

cdef Py_ssize_t _HEADER
cdef int _FIRST_TYPE
cdef int _LAST_TYPE
cdef Py_ssize_t _LONGEST
cdef object _AGAIN
cdef object _ENDED


@cython.final
cdef class TlsSession:
    cdef readonly Scratch scratch
    cdef readonly object incoming
    cdef readonly object outgoing
    cdef readonly object ssl_object
    cdef readonly object raw
    cdef object _put_in
    cdef object _take_out
    cdef object _read
    cdef object _write
    cdef readonly object failure
    cdef readonly bint ended
    cdef readonly bint more
    cdef readonly bint quiet
    cdef readonly bint _framed
    cdef bint _inflates
    cdef readonly int tail
    cdef int _header
    cdef int _length
    cdef int _missing
    cdef Py_ssize_t _records

    cpdef bint handshake(self) except -1
    cpdef bint goodbye(self) except -1
    @cython.locals(dropped=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t drop(self) except -1
    @cython.locals(whole=bint)
    cpdef bint feed(self, Py_ssize_t count) except -1
    @cython.locals(scratch=Scratch, start=Py_ssize_t, stop=Py_ssize_t, used=Py_ssize_t,
                   rounds=Py_ssize_t, counted=bint, alone=bint)
    cpdef Py_ssize_t receive(self, Py_ssize_t count) except -1
    cpdef Py_ssize_t read(self) except -1
    @cython.locals(size=Py_ssize_t, used=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t fill(self, buffer) except -1
    @cython.locals(count=Py_ssize_t)
    cpdef Py_ssize_t seal(self, data) except -1
    @cython.locals(scratch=Scratch)
    cdef Py_ssize_t seal_part(self, bytes data, Py_ssize_t start) except -1
    cdef bytes sealed(self)

    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t _read_record(self, Py_ssize_t used) except -1
    @cython.locals(scratch=Scratch, start=Py_ssize_t, count=Py_ssize_t)
    cdef Py_ssize_t _read_records(self, Py_ssize_t used) except -1
    @cython.locals(pending=Py_ssize_t)
    cdef bint _is_dry(self) except -1
    @cython.locals(stop=Py_ssize_t)
    cdef Py_ssize_t _skip(self, Py_ssize_t start, Py_ssize_t count) except -1
    @cython.locals(scratch=Scratch, at=Py_ssize_t, whole=Py_ssize_t, step=Py_ssize_t)
    cdef Py_ssize_t _whole(self, Py_ssize_t start, Py_ssize_t count) except -1
    cdef Py_ssize_t _partial(self) noexcept  # adds integers
    @cython.locals(value=int, kind=int, length=int)
    cdef Py_ssize_t _read_whole_header(self, Scratch scratch, Py_ssize_t at) except -1
    @cython.locals(value=int)
    cdef Py_ssize_t _read_header(
        self, Scratch scratch, Py_ssize_t at, Py_ssize_t count) except -1
    cdef _give_up(self)


cdef bint _is_late_data(exc) except -1
