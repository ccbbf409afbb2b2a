cimport cython

from treadle._core.invoke cimport give
from treadle.aio.finished cimport thrown
from treadle.aio.shortcuts cimport alarm_in, cancel_alarm, new_future

cdef object _running_loop
cdef int FRESH
cdef int WAITING
cdef int OVER


@cython.final
cdef class Nap:
    cdef int _state
    cdef object _delay
    cdef object _result
    cdef object _handle
    cdef object _future
    cdef object _waiter
    cdef object __weakref__

    cdef _begin(self)
    cdef _go_on(self)
    cdef _finish(self)
    cdef _end(self)


@cython.locals(nap=Nap)
cpdef sleep(delay, result=*)
