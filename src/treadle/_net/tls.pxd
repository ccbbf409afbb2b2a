cimport cython

from treadle._core.invoke cimport invoke_method, invoke_method1
from treadle._net.footing cimport Footing
from treadle._net.scratch cimport Scratch
from treadle._net.tcp cimport StreamTransport
from treadle._net.tls_sending cimport TlsSending
from treadle._net.tls_session cimport TlsSession

cdef int _HANDSHAKE
cdef int _OPEN
cdef int _SHUTTING
cdef int _CLOSING
cdef int _LOST
cdef Py_ssize_t _LINGER
cdef Py_ssize_t _FILL_SIZE
cdef Py_ssize_t _INBOX_SIZE
cdef object _Transport
cdef object _BufferedProtocol


cdef class TlsTransport(TlsSending):
    cdef object _sslcontext
    cdef object _handshake_timeout
    cdef object _shutdown_timeout
    cdef object _waiter
    cdef object _timer
    cdef Py_ssize_t _dropped_before
    cdef Py_ssize_t _dropped
    cdef bint _peer_waits
    cdef bint _fills
    cdef bint _paused
    cdef bint _told_end
    cdef bint _lower_ended
    cdef bint _handshaken
    cdef bint _said_goodbye
    cdef dict __dict__
    cdef object __weakref__

    cpdef stand_on(self, lower)
    cdef face(self)

    cdef lower_made(self)
    cdef lower_buffer(self)
    cdef lower_filled(self, Py_ssize_t count)
    cdef lower_eof(self)
    cdef lower_lost(self, exc)
    cdef lower_resumed(self)

    @cython.locals(done=bint)
    cdef _shake(self)
    cdef _handshake_done(self)
    cdef _handshake_failed(self, exc)
    cdef _wake_waiter(self, exc)
    cdef _stop_timer(self)
    cdef _hand_over(self, Py_ssize_t count)
    cdef bint _give(self, Py_ssize_t count) except -1
    @cython.locals(count=Py_ssize_t)
    cdef bint _fill(self) except -1
    @cython.locals(session=TlsSession, count=Py_ssize_t)
    cdef _pump(self)
    @cython.locals(session=TlsSession)
    cdef _settle(self)
    cdef bint _tell_end(self) except -1
    cdef _shut_down(self)
    @cython.locals(over=bint)
    cdef _say_goodbye(self)
    @cython.locals(session=TlsSession)
    cdef _drop(self, Py_ssize_t count)
    cdef bint _is_too_much(self, Py_ssize_t count) except -1
    cdef _end_soon(self)
    cdef _report(self, exc, str message)


cdef Scratch _scratch_of(loop)
