cimport cython

from treadle._core.invoke cimport settle
from treadle.aio.operation cimport Operation, new_operation
from treadle.aio.pieces cimport as_count
from treadle.aio.shortcuts cimport new_future
from treadle.aio.stream_buffer cimport StreamBuffer

cdef Py_ssize_t _MOST
cdef object _HALF
cdef object _IncompleteReadError
cdef object _InvalidStateError
cdef object _LimitOverrunError
cdef object _OUR_READLINE
cdef tuple _NAMES
cdef int SOME
cdef int ALL
cdef int EXACTLY
cdef int UNTIL
cdef int UNTIL_ANY
cdef int LINE
cdef int NEXT_LINE


cdef class ReaderCore(StreamBuffer):
    cdef object _given_limit
    cdef public object _loop
    cdef public object _waiter
    cdef public object _exception
    cdef public object _transport
    cdef public object _source_traceback
    cdef Py_ssize_t _low
    cdef Py_ssize_t _high
    cdef Py_ssize_t _wanted
    cdef public bint _eof
    cdef public bint _paused

    cdef change_transport(self, transport)
    cdef put_in(self, bytes data)
    cdef _wake(self)
    cdef _pause_if_full(self)
    cdef resume_if_low(self)
    cdef resume(self)
    cdef go_on(self, Operation operation)
    cdef wait(self, Operation operation)
    @cython.locals(verb=int, size=Py_ssize_t)
    cdef attempt(self, Operation operation)
    @cython.locals(end=Py_ssize_t, message=str, several=bint)
    cdef attempt_until(self, Operation operation)
    @cython.locals(separator=bytes, size=Py_ssize_t, length=Py_ssize_t, place=Py_ssize_t)
    cdef Py_ssize_t look(self, Operation operation) except -2
    @cython.locals(separator=bytes, size=Py_ssize_t, length=Py_ssize_t, place=Py_ssize_t, found=Py_ssize_t)
    cdef Py_ssize_t look_for_any(self, Operation operation) except -2
    cdef overrun(self, Operation operation, Py_ssize_t end, str message)
    cdef ended(self, Operation operation)
