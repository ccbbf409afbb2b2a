cimport cython

from treadle._net.tcp cimport StreamTransport
from treadle.aio.operation cimport Operation, Owner, new_operation
from treadle.aio.stream_flow cimport FlowCore
from treadle.aio.stream_reader cimport ReaderCore

cdef object _AnyReader
cdef int DRAIN
cdef int WAIT_CLOSED


cdef class WriterCore(Owner):
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
    @cython.locals(flow=FlowCore)
    cdef begin(self, Operation operation)
    @cython.locals(flow=FlowCore)
    cdef failed(self, Operation operation)
    @cython.locals(flow=FlowCore)
    cdef go_on(self, Operation operation)
    @cython.locals(flow=FlowCore)
    cdef outcome(self)
