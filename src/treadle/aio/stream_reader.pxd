cimport cython

from treadle._core.invoke cimport make_future
from treadle._core.wheel cimport Wheel
from treadle.aio.awaiting cimport Awaiting, start, swift
from treadle.aio.pieces cimport as_count
from treadle.aio.stream_buffer cimport StreamBuffer

cdef Py_ssize_t _MOST
cdef object _HALF
cdef object _IncompleteReadError
cdef object _InvalidStateError
cdef object _LimitOverrunError
cdef object _Loop
cdef object _OUR_READLINE


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


@cython.locals(wheel=Wheel)
cdef new_future(loop)


cdef class Reading(Awaiting):
    @cython.locals(reader=ReaderCore)
    cdef begin(self)
    @cython.locals(reader=ReaderCore)
    cdef resume(self)
    @cython.locals(reader=ReaderCore)
    cdef abandon(self)
    cdef go_on(self, ReaderCore reader)
    cdef wait(self, ReaderCore reader)
    cdef check(self)
    cdef attempt(self, ReaderCore reader)
    cdef Py_ssize_t wanted(self) except -1


cdef class ReadSome(Reading):
    @cython.locals(size=Py_ssize_t)
    cdef attempt(self, ReaderCore reader)


cdef class ReadAll(Reading):
    pass


cdef class ReadExactly(Reading):
    pass


cdef class ReadUntil(Reading):
    @cython.locals(end=Py_ssize_t)
    cdef attempt(self, ReaderCore reader)
    @cython.locals(separator=bytes, size=Py_ssize_t, length=Py_ssize_t, place=Py_ssize_t)
    cdef Py_ssize_t look(self, ReaderCore reader) except -2
    cdef overrun(self, ReaderCore reader, Py_ssize_t end, str message)
    cdef ended(self, ReaderCore reader)


cdef class ReadUntilAny(ReadUntil):
    @cython.locals(separator=bytes, size=Py_ssize_t, length=Py_ssize_t, place=Py_ssize_t, found=Py_ssize_t)
    cdef Py_ssize_t look(self, ReaderCore reader) except -2


cdef class ReadLine(ReadUntil):
    pass


cdef class NextLine(ReadLine):
    pass
