"""Stream transports over sockets: TCP, and any other connected stream socket.

States. ``OPEN`` -> ``FLUSHING`` (closed by us, bytes still to be sent) -> ``LOST``
(connection_lost is queued) -> ``CLOSED`` (descriptor closed, everything let go). `_NEXT` is the
whole table; an abort or a failure goes from the first two straight to ``LOST``.

Ownership. The transport owns its descriptor from `start` to `_finish`, where the driver closes it.
A socket object handed in by the user is kept open by one more reference of its own count until
then, so closing it behind our back cannot free the number while we use it. A socket object that we
make for ``get_extra_info("socket")`` is a view, emptied before the descriptor is closed.

A layer above (`Upper`, TLS for one) may stand in the place of the protocol, from the beginning or
from some moment on (`start_tls`). Then it is told what a protocol would be told.

Every call of a protocol method may close this transport, switch its protocol or raise. So each is
the last thing its method does, or the method looks at the state again afterwards.

Errors. A protocol method that raises, or a socket that fails, ends the connection through
`_fatal_error`: failures of the network go to ``connection_lost``, all others to the loop's
exception handler as well.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from asyncio import constants, trsock
from contextvars import Context
from typing import Any

from treadle._core.invoke import invoke_method, invoke_method1, shed_dict
from treadle._core.log import logger
from treadle._drivers.base import READ, WRITE, Driver
from treadle._net.batching import Batcher
from treadle._net.buffer import as_bytes, as_piece
from treadle._net.failures import report, report_fatal
from treadle._net.hearer import Hearer, as_hearer
from treadle._net.holding import hold, let_go
from treadle._net.upper import Upper

__all__ = ["StreamTransport"]

OPEN = 0
FLUSHING = 1
LOST = 2
CLOSED = 3
_NEXT = {OPEN: (FLUSHING, LOST), FLUSHING: (LOST,), LOST: (CLOSED,), CLOSED: ()}
_STATE_NAMES = {OPEN: "", FLUSHING: "closing", LOST: "closing", CLOSED: "closed"}

_SILENT_WRITES = 5  # writes on a lost connection before a warning is logged, as in asyncio

_Transport = asyncio.Transport
_BufferedProtocol = asyncio.BufferedProtocol


class StreamTransport(Batcher):
    """A connected stream socket and the protocol that it serves."""

    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE
    _start_tls_compatible = True

    def __init__(self, loop: Any, protocol: Any, context: Context) -> None:
        Batcher.__init__(self, loop)
        self._driver: Driver = loop._driver
        self._context = context  # what protocol methods run in
        self._state = OPEN
        self._paused = False  # reading paused by the user
        self._eof_sent = False  # write_eof() was called
        self._eof_received = False  # the peer sends nothing more
        self._lost_writes = 0  # writes since the connection was lost
        self._server: Any = None  # the server that accepted it
        self._sock: Any = None  # the user's socket, or our view of the descriptor
        self._sock_is_ours = False  # `_sock` is a view
        self._peer: Any = None  # peer address, or what the driver's peer_name reads
        self._extra: dict[str, Any] | None = None  # answers of get_extra_info
        self._drained: Any = None  # future: the buffer ran empty; made by _make_empty_waiter
        self._number = -1  # descriptor number, for repr
        self._upper: Upper | None = None  # stands in the place of the protocol
        self._hearer: Hearer | None = None  # the protocol, if it takes data by a C call
        self._protocol: Any = None  # None again after connection_lost
        shed_dict(self)
        self.set_protocol(protocol)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _Transport

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._state != OPEN:
            info.append(_STATE_NAMES[self._state])
        info.append(f"fd={self._number}")
        if self.fd >= 0:
            info.append("read=polling" if self.interest & READ else "read=idle")
            polling = "polling" if self.interest & WRITE else "idle"
            waiting = 0 if self._buffer is None else self._buffer.size
            info.append(f"write=<{polling}, bufsize={waiting}>")
        return f"<{' '.join(info)}>"

    def __del__(self) -> None:
        if self.fd >= 0 and self._state != CLOSED:
            if not self._loop._inherited:
                warnings.warn(
                    f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self
                )
            self._release()

    # life ----------------------------------------------------------------------------------

    def start(self, fd: int, server: Any, peer: Any, waiter: Any) -> None:
        """Own `fd` and queue ``connection_made``; then receive, then wake `waiter`."""
        self._driver.attach(self, fd)
        self._number = fd
        self._peer = peer
        if server is not None:
            self._server = server
            server._attach(self)
        self._loop.call_soon(self._begin, waiter, context=self._context)

    def adopt(self, sock: Any, waiter: Any) -> None:
        """Own the descriptor of a user's socket object."""
        try:
            peer = sock.getpeername()
        except OSError:
            peer = None
        try:
            self._extra = {"sockname": sock.getsockname()}
        except OSError:
            self._extra = {"sockname": None}
        self._sock = sock
        hold(sock)
        try:
            self.start(sock.fileno(), None, peer, waiter)
        except BaseException:  # the descriptor has another owner, or the loop is closed
            self._driver.detach(self)
            let_go(sock)
            raise

    def _begin(self, waiter: Any) -> None:
        if self._state != CLOSED:
            try:
                if self._upper is not None:
                    self._upper.lower_made()
                else:
                    self._protocol.connection_made(self)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                self._report(exc, "Error in protocol.connection_made()")
        if self._state == OPEN and not self._paused:
            try:
                self._driver.start_receiving(self)
            except OSError as exc:  # no memory for one more, or as many as the user may have
                self._fatal_error(exc)
                if waiter is not None and not waiter.done():
                    waiter.set_exception(exc)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """Stop receiving, send what is buffered, then call ``connection_lost(None)``."""
        if self._held:
            self._send_held()
        if self._state != OPEN:
            return
        if self._buffer is None or self._buffer.size == 0:
            self._lose(None)
        else:
            self._enter(FLUSHING)
            self._attend(self.interest & ~READ)

    def abort(self) -> None:
        """Drop what is buffered and call ``connection_lost(None)``."""
        if self._held:  # would have been sent by now, had it not been held
            self._send_held()
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._state < LOST:
            if self._buffer is not None:
                self._buffer.clear()
            self._lose(exc)

    def _lose(self, exc: BaseException | None) -> None:
        self._enter(LOST)
        self._lost_writes = 1
        self._driver.set_interest(self, 0)
        self._loop.call_soon(self._call_connection_lost, exc, context=self._context)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            if self._upper is not None:
                self._upper.lower_lost(exc)
            else:
                self._protocol.connection_lost(exc)
        finally:
            self._finish()

    def _finish(self) -> None:
        """Close the descriptor and let go of everything; the protocol has heard the end."""
        self._enter(CLOSED)
        self._release()
        self._protocol = None
        self._upper = self._hearer = None
        server, self._server = self._server, None
        if server is not None:
            server._detach(self)
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionError("Connection is closed by peer"))

    def _release(self) -> None:
        sock = self._sock
        if sock is None or self._sock_is_ours:
            self._remember_name()
            if sock is not None:
                sock.detach()
            self._driver.close(self)
            return
        self._driver.detach(self)
        let_go(sock)
        sock.close()

    def _attend(self, interest: int) -> None:
        """Watch for exactly these events; a kernel that cannot ends the connection."""
        try:
            self._driver.set_interest(self, interest)
        except OSError as exc:
            self._fatal_error(exc, "Fatal error: the kernel cannot watch the socket")

    def _enter(self, state: int) -> None:
        assert state in _NEXT[self._state], (self._state, state)
        self._state = state

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        report_fatal(self._loop, self, self._protocol, exc, message)
        self._force_close(exc)

    def _report(self, exc: BaseException, message: str) -> None:
        report(self._loop, self, self._protocol, exc, message)

    # protocol and extra information --------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Have `protocol` hear what happens from now on."""
        self._upper = None
        self._protocol = protocol
        self._hearer = as_hearer(protocol)
        self.fills_buffer = isinstance(protocol, _BufferedProtocol)

    def bear(self, upper: Upper) -> None:
        """Have a layer above hear what happens from now on, in the place of a protocol."""
        if self._held:
            self._send_held()
        self._upper = upper
        self._hearer = None
        self._protocol = upper.face()
        self.fills_buffer = True

    def face(self) -> Any:
        """Return what the user knows as the transport: the layer above, if there is one."""
        return self if self._upper is None else self._upper.face()

    def get_protocol(self) -> Any:
        """Return the protocol, or None after ``connection_lost``."""
        return self._protocol

    def is_closing(self) -> bool:
        """Say whether the transport is closed or about to be."""
        return self._state != OPEN

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``socket``, ``peername`` or ``sockname``, or `default`."""
        if self._extra is None:
            self._extra = {}
        if name not in self._extra:
            value = self._find_out(name)
            if value is None:
                return default
            self._extra[name] = value
        value = self._extra[name]
        return default if value is None else value

    def _find_out(self, name: str) -> Any:
        if name == "peername":
            return None if self._peer is None else self._driver.peer_name(self._peer)
        if name == "socket" and self.fd >= 0:
            return trsock.TransportSocket(self._socket())
        if name == "sockname" and self.fd >= 0:
            return self._driver.local_name(self.fd)
        return None

    def _remember_name(self) -> None:
        """Ask for the local name while there is still a socket to ask."""
        if self.fd >= 0 and self._extra is not None and "sockname" not in self._extra:
            try:
                self._extra["sockname"] = self._driver.local_name(self.fd)
            except OSError:
                pass

    def _socket(self) -> Any:
        """Return the user's socket object, or a view of the descriptor."""
        if self._sock is None:
            self._sock = socket.socket(fileno=self.fd)
            self._sock_is_ours = True
            hold(self._sock)
        return self._sock

    # receiving -----------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Say whether the transport receives now."""
        return self._state == OPEN and not self._paused

    def pause_reading(self) -> None:
        """Stop calling the protocol with data; harmless when repeated."""
        if self._state != OPEN or self._paused:
            return
        self._paused = True
        self._attend(self.interest & ~READ)

    def resume_reading(self) -> None:
        """Go on after `pause_reading`; harmless when repeated."""
        if self._state != OPEN or not self._paused:
            return
        self._paused = False
        if not self._eof_received:
            self._attend(self.interest | READ)

    def received(self, data: bytes) -> None:
        """Take what arrived (called by the driver)."""
        try:
            if self._hearer is not None:
                self._hearer.hear(data)
            else:
                invoke_method1(self._context, self._protocol, "data_received", data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.data_received() call failed.")

    def receive_buffer(self) -> Any:
        """Return the protocol's buffer to receive into (called by the driver)."""
        if self._upper is not None:
            return self._upper.lower_buffer()
        try:
            buffer = invoke_method1(self._context, self._protocol, "get_buffer", -1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            return buffer
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.get_buffer() call failed.")
        return None

    def received_into(self, count: int) -> None:
        """Hear that `count` bytes are in the protocol's buffer (called by the driver)."""
        try:
            if self._upper is not None:
                self._upper.lower_filled(count)
                return
            invoke_method1(self._context, self._protocol, "buffer_updated", count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.buffer_updated() call failed.")

    def received_eof(self) -> None:
        """Hear that the peer sends nothing more (called by the driver)."""
        self._eof_received = True
        if self._upper is not None:
            self._attend(self.interest & ~READ)
        try:
            if self._upper is not None:
                self._upper.lower_eof()
                return
            keep_open = invoke_method(self._context, self._protocol, "eof_received")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.eof_received() call failed.")
            return
        if keep_open:
            # half-closed: what we still write goes out, there is nothing left to read
            self._attend(self.interest & ~READ)
        else:
            self.close()

    def receive_failed(self, exc: Exception) -> None:
        """Hear that receiving failed for good (called by the driver)."""
        self._fatal_error(exc, "Fatal read error on socket transport")

    # sending -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes: at once what the kernel takes, the rest when it can. Never blocks.

        After `close` or a lost connection the data is dropped, with a warning in the log when that
        goes on.
        """
        self._write(data)

    def _write(self, data: Any) -> None:
        data = as_piece(data)
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._drained is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        size = len(data)
        if size == 0:
            return
        if self._state >= LOST:
            self._count_lost_write()
        elif self._habit == 0 or not self._hold(data, size):
            self._put(data, size)
            self._note_write()

    def writelines(self, list_of_data: Any) -> None:
        """Send several pieces of bytes with one system call."""
        if self._eof_sent:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        if self._drained is not None:
            raise RuntimeError("unable to writelines; sendfile is in progress")
        chunks = [chunk for chunk in map(as_bytes, list_of_data) if chunk]
        if not chunks:
            return
        if self._state >= LOST:
            self._count_lost_write()
        else:
            self._put_many(chunks)

    def write_eof(self) -> None:
        """Tell the peer, after what is buffered, that nothing more will come."""
        if self._held:
            self._send_held()
        if self._state != OPEN or self._eof_sent:
            return
        self._eof_sent = True
        if self._buffer is None or self._buffer.size == 0:
            self._shutdown_send()

    def can_write_eof(self) -> bool:
        """Say that half-closing is possible."""
        return True

    def send_ready(self) -> None:
        """Send what is buffered (called by the driver when the kernel takes bytes)."""
        buffer = self._make_buffer()
        if self._state >= LOST or (buffer.size and not self._flush()):
            return
        if buffer.crossed_low():
            self._resume_protocol()
        if buffer.size or self._state >= LOST:  # the protocol wrote, or closed
            return
        self._attend(self.interest & ~WRITE)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._state == FLUSHING:
            self._lose(None)
        elif self._eof_sent:
            self._shutdown_send()

    def _put(self, data: Any, size: int) -> None:
        """Send, or keep, what nobody need check any more; the layer above writes here."""
        if self._state >= LOST:
            return
        sent = 0
        if self._buffer is None or self._buffer.size == 0:
            try:
                sent = self._driver.send(self, data, 0)
            except OSError as exc:
                self._fatal_error(exc, "Fatal write error on socket transport")
                return
        if sent < size:
            self._keep(data, sent)

    def _put_many(self, chunks: list[bytes]) -> None:
        """Like `_put`, for several pieces, none of them empty."""
        if self._state >= LOST:
            return
        buffer = self._make_buffer()
        idle = buffer.size == 0 or self._held
        for chunk in chunks:
            buffer.append(chunk)
        if idle:
            self._flush()
        if buffer.size and self._state < LOST:
            self._attend(self.interest | WRITE)
            self._maybe_pause()

    def _keep(self, data: Any, sent: int) -> None:
        """Buffer what was not sent, and have the driver say when it can be."""
        buffer = self._make_buffer()
        if isinstance(data, bytes):
            buffer.append(data, sent)
        else:
            buffer.append(bytes(memoryview(data)[sent:]))
        self._attend(self.interest | WRITE)
        self._maybe_pause()

    def _flush(self) -> bool:
        """Send from the buffer once; False when the connection broke over it."""
        self._held = False
        buffer = self._make_buffer()
        try:
            if len(buffer.chunks) == 1:
                count = self._driver.send(self, buffer.chunks[0], buffer.offset)
            else:
                count = self._driver.send_many(self, buffer.chunks, buffer.offset)
        except OSError as exc:
            if self._drained is not None and not self._drained.done():
                self._drained.set_exception(exc)
            self._fatal_error(exc, "Fatal write error on socket transport")
            return False
        buffer.consume(count)
        return True

    def _send_held(self) -> None:
        self._held = False
        buffer = self._make_buffer()
        if self._loop._closed:  # the loop of a forked child: the parent sends this
            buffer.clear()
        if buffer.size and self._flush() and buffer.size:
            self._attend(self.interest | WRITE)
            self._maybe_pause()

    def _shutdown_send(self) -> None:
        try:
            self._driver.shutdown_send(self)
        except OSError as exc:
            self._fatal_error(exc, "Fatal error: shutdown failed on socket transport")

    def _count_lost_write(self) -> None:
        if self._lost_writes >= _SILENT_WRITES:
            logger.warning("socket.send() raised exception.")
        self._lost_writes += 1

    # flow control --------------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, at which the protocol is asked to pause and to resume."""
        if self._held:
            self._send_held()
        self._make_buffer().set_limits(high, low)
        self._maybe_pause()

    def _maybe_pause(self) -> None:
        """Ask the protocol to pause if the buffer is too full; runs in the writer's context."""
        if not self._make_buffer().crossed_high():
            return
        self._tell_hooks(True)
        try:
            if self._upper is not None:
                self._upper.lower_paused()
            else:
                self._protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.pause_writing() failed")

    def _resume_protocol(self) -> None:
        self._tell_hooks(False)
        if self._upper is not None:
            self._upper.lower_resumed()
            return
        try:
            invoke_method(self._context, self._protocol, "resume_writing")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.resume_writing() failed")

    def _tell_hooks(self, waiting: bool) -> None:
        if self._loop._hooks is not None:
            self._loop._hooks.tell("resource_waits", self.face(), waiting)

    def _make_empty_waiter(self) -> Any:
        """Return a future that is done when the buffer is empty; writing is refused until reset."""
        if self._drained is not None:
            raise RuntimeError("Empty waiter is already set")
        self._drained = self._loop.create_future()
        if self.get_write_buffer_size() == 0:
            self._drained.set_result(None)
        return self._drained

    def _make_write_waiter(self) -> Any:
        """Return a future that is done when the kernel takes bytes; for who has the empty buffer.

        Only between `_make_empty_waiter` and `_reset_empty_waiter`.
        """
        self._drained = self._loop.create_future()
        self._driver.await_send(self)
        return self._drained

    def _reset_empty_waiter(self) -> None:
        self._drained = None
