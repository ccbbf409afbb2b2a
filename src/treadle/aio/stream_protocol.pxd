cimport cython

from treadle._net.tcp cimport StreamTransport
from treadle.aio.stream_flow cimport FlowCore
from treadle.aio.stream_reader cimport ReaderCore

cdef object _Coroutine
cdef object _Reader
cdef object _OUR_FEED


cdef class ProtocolCore(FlowCore):
    cdef public object _source_traceback
    cdef object _fed
    cdef ReaderCore _core
    cdef public object _client_connected_cb
    cdef public object _task
    cdef public object _transport
    cdef bint _direct
    cdef public bint _over_ssl

    cdef bint hears(self) except -1
    cdef hear(self, data)


cdef class Ending:
    cdef object loop
    cdef object transport


cdef bint _is_over_ssl(transport) except -1
