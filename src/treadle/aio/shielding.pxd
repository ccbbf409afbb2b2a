cimport cython

from treadle.aio.gathering cimport as_future, loop_of
from treadle.aio.shortcuts cimport new_future

cdef object current_task_of
cdef object _running_loop_or_none
cdef object _add_awaiter
cdef object _discard_awaiter


@cython.final
cdef class Shield:
    cdef object inner
    cdef object outer
    cdef object awaiter
