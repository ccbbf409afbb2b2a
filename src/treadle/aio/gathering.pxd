cimport cython

from treadle._core.invoke cimport (
    exception_of, hear_of_end, is_settled, result_of, task_is_cancelled)
from treadle._core.listener cimport Listener
from treadle.aio.shortcuts cimport new_future, spawn

cdef object _Coroutine
cdef object _CancelledError
cdef object _Task
cdef object _Future
cdef object _isfuture
cdef object _iscoroutine
cdef object _get_event_loop
cdef object _running_loop_or_none
cdef object _add_awaiter
cdef object _discard_awaiter
cdef object _NOT_YET


cpdef as_future(awaitable, loop)
cdef _as_task(coro, loop)
cpdef loop_of(future)


cdef class Gathering(Listener):
    cdef object outer
    cdef list children
    cdef Py_ssize_t waiting
    cdef bint lenient
    cdef object awaiter

    cdef bint hear(self, child) except -1
    cdef _finish(self, last)


cdef _cancellation_of(future)
cdef _outcome(future)
cdef _tell_awaiter(Gathering gathering, dict known, loop)
