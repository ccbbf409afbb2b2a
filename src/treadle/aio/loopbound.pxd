from treadle._core.invoke cimport is_settled, settle
from treadle.aio.operation cimport Owner
from treadle.aio.shortcuts cimport new_future


cdef class LoopBound(Owner):
    cdef public object _loop

    cdef future(self)


cpdef bint discard(waiters, future) except -1
cpdef bint wake_next(waiters) except -1
