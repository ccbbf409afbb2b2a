cimport cython

from treadle._core.wheel cimport Wheel
from treadle._drivers.base cimport Connection
from treadle._net.buffer cimport WriteBuffer

cdef Py_ssize_t MOST
cdef int ONCE
cdef int OFTEN
cdef int CONFIRMED


cdef class Batcher(Connection):
    cdef readonly Wheel _loop
    cdef readonly WriteBuffer _buffer
    cdef unsigned int _turn
    cdef signed char _habit
    cdef bint _held
    cdef bint _listed

    cdef WriteBuffer _make_buffer(self)
    cdef _note_write(self)
    @cython.locals(buffer=WriteBuffer, most=Py_ssize_t)
    cdef bint _hold(self, data, Py_ssize_t size) except -1
    cdef turn_ended(self)
    cdef _send_held(self)
