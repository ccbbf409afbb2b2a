cimport cython

from treadle._core.invoke cimport invoke_method1, invoke_method2
from treadle._drivers.base cimport Datagrams, Driver
from treadle._net.buffer cimport DatagramBuffer

cdef int READ
cdef int WRITE
cdef int OPEN
cdef int FLUSHING
cdef int LOST
cdef int CLOSED
cdef int _BATCH
cdef object _NEXT


cdef class DatagramTransport(Datagrams):
    cdef readonly object _loop
    cdef Driver _driver
    cdef readonly object _context
    cdef readonly object _protocol
    cdef readonly DatagramBuffer _buffer
    cdef object _fixed
    cdef object _resting
    cdef public dict _extra
    cdef readonly int _number
    cdef int _lost_writes
    cdef readonly signed char _state
    cdef bint _connected
    cdef dict __dict__
    cdef object __weakref__

    cdef datagram_received(self, data, address)
    cdef receive_failed(self, exc)
    @cython.locals(buffer=DatagramBuffer, i=int)
    cdef send_ready(self)

    cdef _lose(self, exc)
    cdef _release(self)
    cdef _attend(self, int interest)
    cdef _enter(self, int state)
    cdef _report(self, exc, str message)
    cdef _tell_error(self, exc)
    cdef _tell_error_here(self, exc)
    @cython.locals(buffer=DatagramBuffer)
    cdef _keep(self, data, address)
    cdef bint _send(self, data, address, bint called) except -1
    cdef _rest(self)
    cdef _count_lost_write(self)
    cdef DatagramBuffer _make_buffer(self)
    cdef _maybe_pause(self)
    cdef _resume_protocol(self)
    cdef _tell_hooks(self, bint waiting)


cdef _name(ask)
