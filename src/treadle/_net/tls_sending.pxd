cimport cython

from treadle._core.invoke cimport invoke_method
from treadle._net.buffer cimport WriteBuffer, as_bytes
from treadle._net.tcp cimport StreamTransport
from treadle._net.tls_session cimport TlsSession
from treadle._net.upper cimport Upper

cdef int _HANDSHAKE
cdef int _OPEN
cdef int _SHUTTING
cdef int _LOST
cdef Py_ssize_t _SMALL
cdef int _SILENT_WRITES
cdef int _LOWER_FULL
cdef int _HELD_FULL


cdef class TlsSending(Upper):
    cdef readonly object _loop
    cdef readonly object _context
    cdef readonly TlsSession _session
    cdef readonly object _protocol
    cdef readonly object _lower
    cdef StreamTransport _stream
    cdef list _held
    cdef Py_ssize_t _held_size
    cdef int _lost_writes
    cdef readonly signed char _state
    cdef signed char _full
    cdef bint _known

    cdef _report(self, exc, str message)
    @cython.locals(size=Py_ssize_t, count=Py_ssize_t)
    cdef _write_small(self, bytes data)
    cdef _write_pieces(self, list pieces)
    @cython.locals(session=TlsSession, size=Py_ssize_t, count=Py_ssize_t, offset=Py_ssize_t,
                   piece=bytes, chunk=bytes)
    cdef _seal_pieces(self, list pieces, list chunks)
    cdef _hold(self, list pieces, Py_ssize_t first, Py_ssize_t offset)
    cdef _note_held(self)
    cdef _retry(self)
    cdef _drop_held(self)
    cdef _send_many(self, list chunks)
    cdef _send(self, bytes data)
    @cython.locals(pending=Py_ssize_t)
    cdef _flush(self)
    cdef _count_lost_write(self)
    @cython.locals(buffer=WriteBuffer)
    cdef _learn_marks(self)
    @cython.locals(before=int)
    cdef _become_full(self, int why)
    @cython.locals(before=int)
    cdef _become_free(self, int why)
    cdef lower_paused(self)
    cdef lower_resumed(self)


@cython.locals(joined=list, small=list, size=Py_ssize_t)
cdef list _joined(list pieces)
