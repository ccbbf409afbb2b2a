from treadle.aio.gathering cimport as_future
from treadle.aio.shortcuts cimport alarm_in, new_future

cdef object _get_event_loop
cdef object _running_loop


cdef class Completion:
    cdef object _done
    cdef object _waiters
    cdef object _handle
    cdef set _todo
    cdef Py_ssize_t _left
    cdef object __weakref__

    cdef _put(self, future)
    cdef _wake(self)
