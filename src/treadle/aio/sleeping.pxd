cimport cython

from treadle.aio.operation cimport Operation, Owner, new_operation
from treadle.aio.shortcuts cimport alarm_in, cancel_alarm, new_future

cdef object _running_loop
cdef int PLAIN
cdef int WITH_RESULT
cdef Sleeping _sleeping


@cython.final
cdef class Sleeping(Owner):
    pass


cpdef sleep(delay, result=*)
