cimport cython

from treadle.aio.operation cimport Owner
from treadle.aio.pieces cimport cut, find, is_ours_alone, take_front

cdef Py_ssize_t _LARGE


cdef class StreamBuffer(Owner):
    cdef bytes _chunk
    cdef Py_ssize_t _start
    cdef bytearray _big
    cdef bint _lent

    cdef Py_ssize_t size(self) except -1
    @cython.locals(left=Py_ssize_t, big=bytearray)
    cdef put(self, bytes data)
    @cython.locals(start=Py_ssize_t, data=bytes)
    cdef bytes take(self, Py_ssize_t count)
    @cython.locals(place=Py_ssize_t)
    cdef Py_ssize_t seek(self, bytes separator, Py_ssize_t offset) except -2
    cdef clear(self)
    @cython.locals(left=Py_ssize_t)
    cdef settle(self)
    cdef bytes _rest(self)
    cdef _forget_chunk(self)
    cdef bint _drop_big(self) except -1
    @cython.locals(big=bytearray)
    cdef bint _is_back(self) except -1
