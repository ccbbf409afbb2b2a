cimport cython

from treadle._net.tcp cimport StreamTransport
from treadle.aio.awaiting cimport Awaiting, start, swift
from treadle.aio.stream_flow cimport FlowCore
from treadle.aio.stream_reader cimport ReaderCore

cdef object _AnyReader


cdef class WriterCore:
    cdef object _lower
    cdef StreamTransport _stream
    cdef public object _protocol
    cdef FlowCore _flow
    cdef public object _reader
    cdef ReaderCore _core
    cdef public object _loop

    cdef stand_on(self, transport)
    cdef check_reader(self)
    cdef bint ends(self) except -1


cdef class Drain(Awaiting):
    @cython.locals(writer=WriterCore)
    cdef begin(self)
    cdef resume(self)
    @cython.locals(flow=FlowCore)
    cdef go_on(self, WriterCore writer)
    @cython.locals(writer=WriterCore, flow=FlowCore)
    cdef abandon(self)


cdef class WaitClosed(Awaiting):
    @cython.locals(writer=WriterCore, flow=FlowCore)
    cdef begin(self)
    @cython.locals(writer=WriterCore)
    cdef resume(self)
    cdef outcome(self, FlowCore flow)
    @cython.locals(writer=WriterCore, flow=FlowCore)
    cdef abandon(self)
