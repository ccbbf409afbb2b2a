cimport cython

from treadle.aio.gathering cimport as_future
from treadle.aio.shortcuts cimport alarm_in, cancel_alarm, new_future
from treadle.aio.timeouts cimport TimeoutCore, scope_of

cdef object _running_loop
cdef object _CancelledError
cdef object _isfuture
cdef object _iscoroutine
cdef tuple _CONDITIONS
cdef int FIRST
cdef int FAILURE
cdef int ALL


@cython.final
cdef class Waiting:
    cdef object waiter
    cdef Py_ssize_t count
    cdef int until
