cimport cython

from treadle._core.invoke cimport invoke_method, invoke_method1, shed_dict
from treadle._drivers.base cimport Driver
from treadle._net.batching cimport Batcher
from treadle._net.buffer cimport WriteBuffer, as_bytes, as_piece
from treadle._net.hearer cimport Hearer, as_hearer
from treadle._net.upper cimport Upper

cdef int READ
cdef int WRITE
cdef int OPEN
cdef int FLUSHING
cdef int LOST
cdef int CLOSED
cdef object _NEXT
cdef object _Transport
cdef object _BufferedProtocol


cdef class StreamTransport(Batcher):
    cdef Driver _driver
    cdef readonly object _context
    cdef readonly object _protocol
    cdef Upper _upper
    cdef Hearer _hearer
    cdef object _server
    cdef object _sock
    cdef object _peer
    cdef public dict _extra
    cdef object _drained
    cdef readonly int _number
    cdef int _lost_writes
    cdef readonly signed char _state
    cdef bint _paused
    cdef bint _eof_sent
    cdef bint _eof_received
    cdef bint _sock_is_ours
    cdef dict __dict__
    cdef object __weakref__

    cdef received(self, data)
    cdef receive_buffer(self)
    cdef received_into(self, Py_ssize_t count)
    cdef received_eof(self)
    cdef receive_failed(self, exc)
    cdef send_ready(self)
    @cython.locals(buffer=WriteBuffer)
    cdef _send_held(self)

    cdef _lose(self, exc)
    cdef _attend(self, int interest)
    cdef _finish(self)
    cdef _release(self)
    cdef _enter(self, int state)
    cdef _report(self, exc, str message)
    cdef _find_out(self, str name)
    cdef _remember_name(self)
    cdef _socket(self)
    cdef bear(self, Upper upper)
    @cython.locals(size=Py_ssize_t)
    cdef _write(self, data)
    @cython.locals(sent=Py_ssize_t)
    cdef _put(self, data, Py_ssize_t size)
    @cython.locals(buffer=WriteBuffer, idle=bint)
    cdef _put_many(self, list chunks)
    @cython.locals(buffer=WriteBuffer)
    cdef _keep(self, data, Py_ssize_t sent)
    @cython.locals(buffer=WriteBuffer, count=Py_ssize_t)
    cdef bint _flush(self) except -1
    cdef _shutdown_send(self)
    cdef _count_lost_write(self)
    cdef _maybe_pause(self)
    cdef _resume_protocol(self)
    cdef _tell_hooks(self, bint waiting)

