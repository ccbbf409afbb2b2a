cimport cython

from treadle._net.hearer cimport Hearer

cdef object _OUR_DRAIN
cdef object _OUR_CLOSE


cdef class FlowCore(Hearer):
    cdef public object _loop
    cdef object _failure
    cdef object _drain_waiters
    cdef object _close_waiters
    cdef object _close_waiter
    cdef public bint _paused
    cdef public bint _connection_lost
    cdef bint drains
    cdef bint closes

    cdef end_flow(self, exc)
    cdef add_drain(self)
    cdef remove_drain(self, waiter)
    cdef add_close(self)
    cdef remove_close(self, waiter)
    cdef _end_drains(self, exc)
    cdef _tell_closed(self)
    cdef _settle_close_waiter(self)
