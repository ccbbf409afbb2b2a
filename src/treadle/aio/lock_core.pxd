cimport cython

from treadle._core.invoke cimport is_settled, settle
from treadle.aio.loopbound cimport LoopBound, discard
from treadle.aio.operation cimport Finished, Operation, new_operation


cdef Finished _FINISHED


cdef class Line(LoopBound):
    cdef public object _waiters
    cdef bint plain

    cdef join_line(self)
    cdef bint has_line(self) except -1


cdef class LockCore(Line):
    cdef public bint _locked

    cdef enter(self)
    cdef bint is_free(self) except -1
    cdef bint wake_first(self) except -1
    cdef unlock(self)


@cython.locals(core=LockCore)
cpdef LockCore plain_lock(lock)


cdef class EventCore(LoopBound):
    cdef public object _waiters
    cdef public bint _value


cdef class SemaphoreCore(Line):
    cdef public object _value
    cdef public object _bound_value

    cdef bint is_locked(self) except -1
    cdef bint wake_one(self) except -1
    cdef wake_all_allowed(self)
    cdef give_back(self)


