cimport cython

from treadle.aio.operation cimport Finished, Scope, new_operation
from treadle.aio.shortcuts cimport alarm_at, cancel_alarm, time_of

cdef object _running_loop
cdef Finished _NOTHING
cdef object _CancelledError
cdef object current_task_of
cdef int CREATED
cdef int ENTERED
cdef int EXPIRING
cdef int EXPIRED
cdef int EXITED
cdef tuple _NAMES


cdef class TimeoutCore(Scope):
    cdef int _state
    cdef long _cancelling
    cdef readonly object _when
    cdef object _handle
    cdef readonly object _task
    cdef readonly object _loop

    cdef _enter(self)
    cdef _set(self)
    cdef _on_timeout(self)
    cdef _leave(self, exc)


@cython.final
@cython.freelist(16)
cdef class Bell:
    cdef TimeoutCore scope


@cython.locals(bell=Bell)
cdef Bell bell_of(TimeoutCore scope)


cdef _explain(exc)

@cython.locals(scope=TimeoutCore)
cpdef TimeoutCore scope_of(delay)
