from treadle.aio.lock_core cimport LockCore, plain_lock
from treadle.aio.loopbound cimport LoopBound, discard
from treadle.aio.operation cimport Finished


cdef Finished _FINISHED


cdef class ConditionCore(LoopBound):
    cdef public object _lock
    cdef LockCore plain
    cdef public object _waiters
    cdef public object acquire
    cdef public object locked
    cdef public object release

    cdef notify_some(self, Py_ssize_t n)
