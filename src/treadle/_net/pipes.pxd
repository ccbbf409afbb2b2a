cimport cython

from treadle._core.invoke cimport invoke_method, invoke_method1
from treadle._drivers.base cimport Driver, Pipe
from treadle._net.buffer cimport WriteBuffer, as_bytes, flat

cdef int OPEN
cdef int FLUSHING
cdef int LOST
cdef int CLOSED
cdef object _NEXT
cdef object _ReadTransport
cdef object _WriteTransport


cdef class PipeTransport(Pipe):
    cdef readonly object _loop
    cdef Driver _driver
    cdef readonly object _context
    cdef readonly object _protocol
    cdef readonly object _pipe
    cdef readonly int _number
    cdef readonly signed char _state
    cdef bint _is_copy
    cdef dict __dict__
    cdef object __weakref__

    cdef _engage(self)
    cdef _activity(self)
    cdef _force_close(self, exc)
    cdef _lose(self, exc)
    cdef _release(self)
    cdef _enter(self, int state)
    cdef _report(self, exc, str message)
    cdef _log(self, exc, str message)


cdef class ReadPipe(PipeTransport):
    cdef bint _paused

    cdef received(self, data)
    cdef received_eof(self)
    cdef receive_failed(self, exc)


cdef class WritePipe(PipeTransport):
    cdef readonly WriteBuffer _buffer
    cdef int _lost_writes
    cdef bint _can_hang_up

    cdef hung_up(self)
    cdef send_ready(self)
    cdef _send_failed(self, exc)
    cdef _await_send(self)
    @cython.locals(buffer=WriteBuffer, count=Py_ssize_t)
    cdef bint _flush(self) except -1
    cdef _count_lost_write(self)
    cdef _maybe_pause(self)
    cdef _resume_protocol(self)
    cdef _tell_hooks(self, bint waiting)
