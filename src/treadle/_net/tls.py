"""TLS on a stream transport: the transport that the user's protocol sees.

States. ``HANDSHAKE`` -> ``OPEN`` -> ``SHUTTING`` (our farewell is sent, the peer's awaited) ->
``CLOSING`` (the transport below was told to close; nothing more comes) -> ``LOST``
(connection_lost was called, or never will be). A failure goes from the first three to ``CLOSING``.

Below is a `StreamTransport`, reached by C calls (`Upper`), or another transport through a
`Footing`, which is how TLS runs in TLS. What is encrypted goes to the transport below at once and
waits, if it must, in that one's buffer; so the marks of the flow control are that one's, and there
is one queue, in one order. Only while the peer negotiates anew does data wait here (`_held`).

Receiving. Bytes arrive in the loop's `Scratch` and are read out of it before the protocol is
called, once, with all that came. Pausing stops the transport below: the kernel holds the peer back.

Farewell. `close` sends what is buffered and our close_notify, then waits for the peer's, as RFC
5246, section 7.2.1 wants it, for `ssl_shutdown_timeout` seconds at most. What the peer had sent
before it heard of that is dropped; but a peer that goes on sending is cut off after `LINGER` bytes.
"No more data will be received" is also a promise to the network. When the peer says farewell first,
or just ends the stream, the protocol hears ``eof_received`` and the connection is closed: TLS in
asyncio has no half-closed connections.

Hazard: a socket that is closed with bytes in it that nobody has read resets the connection, and
what the kernel had not delivered yet is lost. So while the transport below still holds bytes of
ours, `LINGER` bytes from the peer only make us stop reading (`_peer_waits`). When it has handed all
to the kernel, `lower_resumed` tells, and the peer may send as much again: it takes what is ours,
finds the farewell, and answers.

Hazards. Each call of a protocol method may do anything with this transport, so it comes last, or
the state is looked at again. Protocol methods run in the connection's context, which cannot be
entered twice: what is called from inside of it says so.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import constants
from contextvars import Context
from typing import Any

from treadle._core.invoke import invoke_method, invoke_method1
from treadle._core.log import logger
from treadle._net.failures import report, report_fatal
from treadle._net.footing import Footing
from treadle._net.scratch import INBOX_SIZE, Scratch
from treadle._net.tcp import StreamTransport
from treadle._net.tls_sending import CLOSING, HANDSHAKE, LOST, OPEN, SHUTTING, TlsSending
from treadle._net.tls_session import TlsSession

__all__ = ["LINGER", "TlsTransport"]

_HANDSHAKE = HANDSHAKE
_OPEN = OPEN
_SHUTTING = SHUTTING
_CLOSING = CLOSING
_LOST = LOST

_STATE_NAMES = {HANDSHAKE: "handshake", OPEN: "open", SHUTTING: "closing", CLOSING: "closing"}

LINGER = 256 * 1024  # bytes that a peer may send on: while ours wait, and after our farewell
_FILL_SIZE = 64 * 1024  # received at once for a protocol that has its own buffer
_INBOX_SIZE = INBOX_SIZE
_LINGER = LINGER

_BufferedProtocol = asyncio.BufferedProtocol


class SSLTransport(asyncio.Transport):
    """What `TlsTransport` gives as its class; programs look for these three letters in the name."""


_Transport = SSLTransport


class TlsTransport(TlsSending):
    """TLS between a transport and a protocol."""

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK

    def __init__(
        self, loop: Any, protocol: Any, layer: Any, context: Context, waiter: Any, known: bool
    ) -> None:
        """`layer` is a `Layer`; `known`: the protocol has heard connection_made already."""
        session = TlsSession(
            layer.sslcontext, layer.server_side, layer.server_hostname, _scratch_of(loop)
        )
        TlsSending.__init__(self, loop, context, session, known)
        self._sslcontext = layer.sslcontext
        self._handshake_timeout = layer.handshake_timeout
        self._shutdown_timeout = layer.shutdown_timeout
        self._waiter = waiter  # future: the handshake is done, or has failed
        self._timer: Any = None  # of the handshake, then of the shutdown
        self._paused = False  # reading paused by the user
        self._told_end = False  # the protocol has heard eof_received
        self._lower_ended = False  # the stream below has ended
        self._handshaken = False  # there is something to tell about the peer
        self._said_goodbye = False
        self._dropped_before = 0  # bytes that came after `close`, while ours waited below
        self._dropped = 0  # bytes that came after `close`, when ours were with the kernel
        self._peer_waits = False  # the peer has sent too much: it waits until ours are sent
        self.set_protocol(protocol)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _Transport

    def __repr__(self) -> str:
        state = _STATE_NAMES.get(self._state, "closed")
        return f"<{type(self).__name__} {state} on {self._lower!r}>"

    def stand_on(self, lower: Any) -> None:
        """Take the place of the protocol of `lower`."""
        self._lower = lower
        if isinstance(lower, StreamTransport):
            self._stream = lower
            self._stream.bear(self)
        else:
            lower.set_protocol(Footing(self, self._session.scratch, self._context))

    def begin(self, data: Any) -> None:
        """Begin the handshake where the transport below has long begun.

        `data` is what the protocol was given of the peer's TLS.
        """
        self._learn_marks()
        start = 0
        data = bytes(data)
        while start < len(data):
            count = self._session.scratch.load(data, start)
            self._session.feed(count)
            start += count
        self.lower_made()
        self._lower.resume_reading()

    def face(self) -> Any:
        """Return the transport that the user's protocol sees."""
        return self

    # the handshake -------------------------------------------------------------------------

    def lower_made(self) -> None:
        """Begin the handshake."""
        self._timer = self._loop.call_later(
            self._handshake_timeout, self._handshake_timed_out, context=self._context
        )
        self._shake()

    def _shake(self) -> None:
        """Go on with the handshake."""
        try:
            done = self._session.handshake()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._handshake_failed(exc)
            return
        self._flush()
        if done:
            self._handshake_done()

    def _handshake_done(self) -> None:
        self._stop_timer()
        if self._state != _HANDSHAKE:
            return
        self._state = _OPEN
        self._handshaken = True
        if not self._known:
            self._known = True
            try:
                invoke_method1(self._context, self._protocol, "connection_made", self)
            except (SystemExit, KeyboardInterrupt):
                self._loop.call_soon(self._go_on)
                raise
            except BaseException as exc:
                self._report(exc, "Error in protocol.connection_made()")
        self._wake_waiter(None)
        self._pump()

    def _handshake_failed(self, exc: BaseException) -> None:
        if self._state != _HANDSHAKE:
            return
        self._flush()  # the alert that tells the peer why
        self._wake_waiter(exc)
        if isinstance(exc, ssl.CertificateError):
            message = "SSL handshake failed on verifying the certificate"
        else:
            message = "SSL handshake failed"
        self._fatal_error(exc, message)

    def _handshake_timed_out(self) -> None:
        self._timer = None
        seconds = self._handshake_timeout
        self._handshake_failed(
            ConnectionAbortedError(
                f"SSL handshake is taking longer than {seconds} seconds: aborting the connection"
            )
        )

    def _wake_waiter(self, exc: BaseException | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if exc is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # receiving -----------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Say whether the protocol gets what arrives."""
        return self._state == _OPEN and not self._paused

    def pause_reading(self) -> None:
        """Stop calling the protocol with data; harmless when repeated."""
        if self._state != _OPEN or self._paused:
            return
        self._paused = True
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`; harmless when repeated."""
        if self._state != _OPEN or not self._paused:
            return
        self._paused = False
        self._loop.call_soon(self._go_on)

    def lower_buffer(self) -> Any:
        """Return the loop's inbox."""
        return self._session.scratch.inbox(0, _FILL_SIZE if self._fills else _INBOX_SIZE)

    def lower_filled(self, count: int) -> None:
        """Take what arrived in the inbox."""
        if self._state == _OPEN:
            if self._fills or self._paused:
                self._session.feed(count)
                self._pump()
            else:
                self._hand_over(self._session.receive(count))
        elif self._state == _HANDSHAKE:
            if self._session.feed(count):
                self._shake()
        elif self._state == _SHUTTING:
            self._session.feed(count)
            self._drop(count)

    def _hand_over(self, count: int) -> None:
        """Give the protocol what lies in the plain buffer, then see to the rest."""
        if count and not self._give(count):
            return
        if not self._session.quiet:
            self._pump()

    def _give(self, count: int) -> bool:
        """Give the protocol `count` bytes from the plain buffer; False when it failed."""
        data = self._session.scratch.take(count)
        try:
            invoke_method1(self._context, self._protocol, "data_received", data)
        except (SystemExit, KeyboardInterrupt):
            self._loop.call_soon(self._go_on)
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.data_received() call failed.")
            return False
        return True

    def _fill(self) -> bool:
        """Read into the protocol's own buffer; False when there is nothing, or it failed."""
        message = "Fatal error: protocol.get_buffer() call failed."
        try:
            buffer = invoke_method1(self._context, self._protocol, "get_buffer", -1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            if self._state != _OPEN:
                return False
            count = self._session.fill(buffer)
            if not count:
                return False
            message = "Fatal error: protocol.buffer_updated() call failed."
            invoke_method1(self._context, self._protocol, "buffer_updated", count)
        except (SystemExit, KeyboardInterrupt):
            self._loop.call_soon(self._go_on)
            raise
        except BaseException as exc:
            self._fatal_error(exc, message)
            return False
        return True

    def _pump(self) -> None:
        """Hand over what is there, as long as the protocol takes it, and see to the rest."""
        session = self._session
        while self._state == _OPEN and not self._paused and session.more and not session.ended:
            if session.failure is not None:
                break
            if self._fills:
                if not self._fill():
                    break
            else:
                count = session.read()
                if count and not self._give(count):
                    return
        if self._state == _OPEN:
            self._settle()

    def _settle(self) -> None:
        """Do what reading has brought about beside data."""
        session = self._session
        if self._held is not None:
            self._retry()
        self._flush()
        if self._state != _OPEN or self._paused:
            return
        if session.failure is not None:
            self._fatal_error(session.failure, "Fatal error on SSL protocol")
        elif (session.ended or self._lower_ended) and self._tell_end():
            self._shut_down()

    def _go_on(self) -> None:
        """Hand over what the session holds; then let the transport below receive again."""
        if self._state == _OPEN and not self._paused:
            self._pump()
        if self._state == _OPEN and not self._paused:
            self._lower.resume_reading()

    def lower_eof(self) -> None:
        """Hear that the stream below has ended, with or without the peer's farewell."""
        self._lower_ended = True
        if self._state == _HANDSHAKE:
            self._handshake_failed(
                ConnectionResetError("the peer ended the connection during the TLS handshake")
            )
        elif self._state == _OPEN:
            self._pump()
        elif self._state == _SHUTTING:
            self._end_soon()

    def _tell_end(self) -> bool:
        """Tell the protocol that the peer sends nothing more; False when it failed."""
        self._told_end = True
        try:
            keep_open = invoke_method(self._context, self._protocol, "eof_received")
        except (SystemExit, KeyboardInterrupt):
            self._loop.call_soon(self._go_on)
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Error calling eof_received()")
            return False
        if keep_open:
            logger.warning("returning true from eof_received() has no effect when using ssl")
        return True

    # closing -------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is buffered, say farewell, then call ``connection_lost(None)``.

        No more data is received. During the handshake it is the same as `abort`.
        """
        if self._state == _HANDSHAKE:
            self._force_close(None)
        elif self._state == _OPEN:
            self._shut_down()

    def abort(self) -> None:
        """Drop what is buffered and call ``connection_lost(None)``."""
        self._force_close(None)

    def is_closing(self) -> bool:
        """Say whether the transport is closed or about to be."""
        closing: bool = self._state >= _SHUTTING or self._lower.is_closing()
        return closing

    def _shut_down(self) -> None:
        """Stop handing data over, and say farewell to the peer."""
        if self._state != _OPEN:
            return
        self._state = _SHUTTING
        self._timer = self._loop.call_later(
            self._shutdown_timeout, self._shutdown_timed_out, context=self._context
        )
        self._lower.resume_reading()
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Say farewell, now or when what is held could be encrypted."""
        if self._held is not None:
            self._retry()
        if self._state != _SHUTTING:
            return
        if self._lower_ended and not self._session.ended:
            self._end_soon()  # the peer speaks no TLS any more; it would take ours for data
            return
        if self._held is not None:
            return
        self._said_goodbye = True
        try:
            over = self._session.goodbye()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error on SSL protocol")
            return
        self._flush()
        if over or self._lower_ended:
            self._end_soon()
        else:
            self._drop(0)

    def _drop(self, count: int) -> None:
        """Forget what has come, `count` more bytes of TLS; end when the peer has said farewell."""
        session = self._session
        session.drop()
        if session.failure is not None:
            self._flush()
            self._fatal_error(session.failure, "Fatal error on SSL protocol")
        elif session.ended or self._is_too_much(count):
            self._end_soon()
        elif not self._said_goodbye:
            self._say_goodbye()

    def _is_too_much(self, count: int) -> bool:
        """Count what the peer sends after `close`; say whether to wait for its farewell no longer.

        While bytes of ours wait, it may have to wait as well.
        """
        if not self._lower.get_write_buffer_size():
            self._dropped += count
            return self._dropped > _LINGER
        self._dropped_before += count
        if self._dropped_before > _LINGER and not self._peer_waits:
            self._peer_waits = True
            self._lower.pause_reading()
            self._lower.set_write_buffer_limits(0)  # `lower_resumed` shall tell: nothing waits
        return False

    def lower_resumed(self) -> None:
        """Hear that the transport below holds little, nothing at all when the peer waits for it."""
        TlsSending.lower_resumed(self)
        if self._peer_waits and self._state == _SHUTTING:
            self._peer_waits = False
            self._lower.resume_reading()
            self._drop(0)

    def _end_soon(self) -> None:
        self._lower.pause_reading()
        self._loop.call_soon(self._end, context=self._context)

    def _end(self) -> None:
        """Close the transport below: both sides have said farewell, or we wait no longer."""
        if self._state != _SHUTTING:
            return
        if self._session.ended or self._lower_ended:
            self._stop_timer()
            if not self._told_end:
                self._told_end = True
                try:
                    self._protocol.eof_received()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as exc:
                    self._fatal_error(exc, "Error calling eof_received()")
                    return
        self._state = _CLOSING
        self._lower.close()

    def _shutdown_timed_out(self) -> None:
        self._timer = None
        self._force_close(TimeoutError("SSL shutdown timed out"))

    def _force_close(self, exc: BaseException | None) -> None:
        if self._state == _LOST:
            return
        self._state = _CLOSING
        self._drop_held()
        force = getattr(self._lower, "_force_close", None)
        if force is None:
            self._lower.abort()
        else:
            force(exc)

    def lower_lost(self, exc: BaseException | None) -> None:
        """Let go of everything; the protocol hears the end. Runs in the connection's context."""
        if self._state == _LOST:
            return
        self._state = _LOST
        self._lost_writes = 1
        self._stop_timer()
        self._drop_held()
        protocol, self._protocol = self._protocol, None
        self._wake_waiter(
            exc or ConnectionAbortedError("the connection was closed during the TLS handshake")
        )
        if self._known:
            protocol.connection_lost(exc)

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        report_fatal(self._loop, self, self._protocol, exc, message)
        self._force_close(exc)

    def _report(self, exc: BaseException, message: str) -> None:
        report(self._loop, self, self._protocol, exc, message)

    # protocol and extra information --------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Have `protocol` hear what happens from now on."""
        self._protocol = protocol
        self._fills = isinstance(protocol, _BufferedProtocol)

    def get_protocol(self) -> Any:
        """Return the protocol, or None after ``connection_lost``."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the TLS session, or of the connection below.

        ``sslcontext``; after the handshake ``ssl_object``, ``peercert``, ``cipher`` and
        ``compression``; and what `StreamTransport` knows.
        """
        if name == "sslcontext":
            return self._sslcontext
        if name in _ABOUT_THE_SESSION:
            if not self._handshaken:
                return default
            return _ABOUT_THE_SESSION[name](self._session.ssl_object)
        return self._lower.get_extra_info(name, default)


_ABOUT_THE_SESSION = {
    "ssl_object": lambda ssl_object: ssl_object,
    "peercert": lambda ssl_object: ssl_object.getpeercert(),
    "cipher": lambda ssl_object: ssl_object.cipher(),
    "compression": lambda ssl_object: ssl_object.compression(),
}


def _scratch_of(loop: Any) -> Scratch:
    """Return the memory that the TLS connections of a loop share."""
    if loop._scratch is None:
        loop._scratch = Scratch()
    scratch: Scratch = loop._scratch
    return scratch
