"""Datagram transports: UDP, and every other socket that sends and receives whole datagrams.

The states and the ownership are those of ``tcp.py``: ``OPEN`` -> ``FLUSHING`` -> ``LOST`` ->
``CLOSED``. There is always a socket object here, the user's or one that `create_datagram_endpoint`
made, and the descriptor is closed with it.

Three kinds of endpoints differ in where a datagram goes. A *connected* socket has a peer in the
kernel, and ``send`` is all it takes. An endpoint with a *fixed* address (remote_addr together with
allow_broadcast) sends to that; the socket itself is not connected, for the answers to a broadcast
come from other addresses. All others are told the address each time.

Errors. What the network reports (an ICMP "port unreachable" for something that was sent earlier, a
datagram too long) goes to ``error_received``, and the endpoint stays. What shows that the program
is wrong (an address of the wrong type) ends it through `_fatal_error`, as in asyncio. A protocol
method that raises is reported; datagrams that follow are none of its fault.

Full. The kernel says EAGAIN when the socket's buffer is full, and reports room with an event. It
also says EAGAIN where a Unix receiver's queue is full, and ENOBUFS where a device's is: then the
socket counts as writable all the time, and waiting for that would keep the loop busy. So when the
first attempt after the event fails again, the endpoint rests for a moment instead.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio import trsock
from contextvars import Context
from typing import Any

from treadle._core.invoke import invoke_method1, invoke_method2
from treadle._core.log import logger
from treadle._drivers.base import READ, WRITE, Datagrams, Driver
from treadle._net.buffer import DEFAULT_HIGH, DatagramBuffer
from treadle._net.failures import report, report_fatal
from treadle._net.holding import hold, let_go

__all__ = ["DatagramTransport"]

OPEN = 0
FLUSHING = 1
LOST = 2
CLOSED = 3
_NEXT = {OPEN: (FLUSHING, LOST), FLUSHING: (LOST,), LOST: (CLOSED,), CLOSED: ()}
_STATE_NAMES = {OPEN: "", FLUSHING: "closing", LOST: "closing", CLOSED: "closed"}

_SILENT_WRITES = 5  # writes on a closed transport before a warning is logged, as in asyncio
_BATCH = 32  # datagrams per event, each way, before others get their turn
_REST = 0.001  # seconds without sending, where the kernel has no event for "try again"


class Kind(asyncio.Transport, asyncio.DatagramTransport):
    """What `DatagramTransport` says its class is; in asyncio it passes for both of them."""


class DatagramTransport(Datagrams):
    """A socket for datagrams and the protocol that it serves."""

    def __init__(self, loop: Any, sock: Any, protocol: Any, context: Context) -> None:
        Datagrams.__init__(self, sock)
        self.batch = _BATCH
        self._loop = loop
        self._driver: Driver = loop._driver
        self._context = context  # what protocol methods run in
        self._protocol = protocol  # None again after connection_lost
        self._state = OPEN
        self._fixed: Any = None  # remote_addr: the only address that may be sent to
        self._connected = False  # the socket itself has a peer
        self._lost_writes = 0  # writes since the transport was closed
        self._buffer: DatagramBuffer | None = None  # made when first needed
        self._resting: Any = None  # timer: the kernel is full and has no event for it
        self._extra: dict[str, Any] = {"socket": trsock.TransportSocket(sock)}
        self._number = -1  # descriptor number, for repr

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Kind

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._state != OPEN:
            info.append(_STATE_NAMES[self._state])
        info.append(f"fd={self._number}")
        if self.fd >= 0:
            info.append("read=polling" if self.interest & READ else "read=idle")
            polling = "polling" if self.interest & WRITE else "idle"
            info.append(f"write=<{polling}, bufsize={self.get_write_buffer_size()}>")
        return f"<{' '.join(info)}>"

    def __del__(self) -> None:
        if self.fd >= 0 and self._state != CLOSED:
            if not self._loop._inherited:
                warnings.warn(
                    f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self
                )
            self._release()

    # life ----------------------------------------------------------------------------------

    def start(self, fixed: Any, waiter: Any) -> None:
        """Own the socket and queue ``connection_made``; then receive, then wake `waiter`.

        `fixed` is the address of remote_addr, or None.
        """
        sock = self.sock
        self._driver.attach(self, sock.fileno())
        hold(sock)
        self._number = self.fd
        self._fixed = fixed
        self._extra["sockname"] = _name(sock.getsockname)
        self._extra["peername"] = _name(sock.getpeername)
        self._connected = self._extra["peername"] is not None  # "" is a peer without a name
        self._loop.call_soon(self._begin, waiter, context=self._context)

    def _begin(self, waiter: Any) -> None:
        if self._state != CLOSED:
            try:
                self._protocol.connection_made(self)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                self._report(exc, "Error in protocol.connection_made()")
        failure = self._attend(self.interest | READ) if self._state == OPEN else None
        if waiter is None or waiter.done():
            return
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)

    def _attend(self, interest: int) -> Any:
        """Watch for exactly these events; a kernel that cannot ends the transport. Return why."""
        try:
            self._driver.set_interest(self, interest)
        except OSError as exc:
            self._fatal_error(exc, "Fatal error: the kernel cannot watch the socket")
            return exc
        return None

    def is_closing(self) -> bool:
        """Say whether the transport is closed or about to be."""
        return self._state != OPEN

    def close(self) -> None:
        """Stop receiving, send what is buffered, then call ``connection_lost(None)``."""
        if self._state != OPEN:
            return
        if self._buffer is None or not self._buffer.waiting:
            self._lose(None)
        else:
            self._enter(FLUSHING)
            self._attend(self.interest & ~READ)

    def abort(self) -> None:
        """Drop what is buffered and call ``connection_lost(None)``."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._state < LOST:
            if self._buffer is not None:
                self._buffer.clear()
            self._lose(exc)

    def _lose(self, exc: BaseException | None) -> None:
        self._enter(LOST)
        self._lost_writes = 1
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._driver.set_interest(self, 0)
        self._loop.call_soon(self._call_connection_lost, exc, context=self._context)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._enter(CLOSED)
            self._release()
            self._protocol = None

    def _release(self) -> None:
        self._driver.detach(self)
        let_go(self.sock)
        self.sock.close()

    def _enter(self, state: int) -> None:
        assert state in _NEXT[self._state], (self._state, state)
        self._state = state

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        report_fatal(self._loop, self, self._protocol, exc, message)
        self._force_close(exc)

    def _report(self, exc: BaseException, message: str) -> None:
        report(self._loop, self, self._protocol, exc, message)

    # what the user asks --------------------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Switch to another protocol, which hears what comes from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol; None after ``connection_lost``."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``socket``, ``sockname`` or ``peername`` (None: not connected), or `default`."""
        return self._extra.get(name, default)

    # receiving -----------------------------------------------------------------------------

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Hand a datagram to the protocol (called by the driver)."""
        try:
            invoke_method2(self._context, self._protocol, "datagram_received", data, address)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.datagram_received() failed")

    def receive_failed(self, exc: Exception) -> None:
        """Hear that the socket reported an error (called by the driver)."""
        self._tell_error(exc)

    def _tell_error(self, exc: Exception) -> None:
        try:
            invoke_method1(self._context, self._protocol, "error_received", exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            self._report(failure, "protocol.error_received() failed")

    def _tell_error_here(self, exc: Exception) -> None:
        """The same in the context of whoever sends."""
        try:
            self._protocol.error_received(exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            self._report(failure, "protocol.error_received() failed")

    # sending -------------------------------------------------------------------------------

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram, which may be empty; at once, or when the kernel takes it. Never blocks.

        Without `addr` it goes to the peer. Failures of the network go to ``error_received``. After
        `close` the datagram is dropped, with a warning in the log when that goes on.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        if self._fixed is not None:
            if addr is not None and addr != self._fixed:
                raise ValueError(f"Invalid address: must be None or {self._fixed}")
            addr = self._fixed
        if self._state >= LOST:
            self._count_lost_write()
            return
        if self._connected:
            addr = None
        elif addr is None:
            self._fatal_error(
                TypeError("sendto() of a transport that is not connected needs an address"),
                "Fatal write error on datagram transport",
            )
            return
        idle = self._buffer is None or not self._buffer.waiting
        if idle and (
            self._send(data, addr, True) or self._attend(self.interest | WRITE) is not None
        ):
            return
        self._keep(data, addr)

    def _keep(self, data: Any, address: Any) -> None:
        """Buffer a datagram behind those that wait."""
        buffer = self._make_buffer()
        buffer.push(data if type(data) is bytes else bytes(data), address)
        self._maybe_pause()

    def _send(self, data: Any, address: Any, called: bool) -> bool:
        """Send a datagram, or hear that it cannot be sent at all; False when the kernel is full.

        `called`: by the user, maybe from a protocol method, in whose context we are already.
        """
        try:
            return self._driver.send_to(self, data, address)
        except OSError as exc:
            if called:
                self._tell_error_here(exc)
            else:
                self._tell_error(exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal write error on datagram transport")
        return True

    def send_ready(self) -> None:
        """Send what is buffered (called by the driver when the kernel takes datagrams)."""
        buffer = self._make_buffer()
        for i in range(_BATCH):
            if not buffer.waiting:
                break
            data, address = buffer.waiting[0]
            if not self._send(data, address, False):
                if i == 0:
                    self._rest()
                break
            if self._state >= LOST:  # over that datagram, or by the protocol
                return
            buffer.pop()
        if buffer.crossed_low():
            self._resume_protocol()
        if buffer.waiting or self._state >= LOST:  # the protocol sent, or closed
            return
        self._attend(self.interest & ~WRITE)
        if self._state == FLUSHING:
            self._lose(None)

    def _rest(self) -> None:
        if self._attend(self.interest & ~WRITE) is None:
            self._resting = self._loop.call_later(_REST, self._rested)

    def _rested(self) -> None:
        self._resting = None
        self._attend(self.interest | WRITE)

    def _count_lost_write(self) -> None:
        if self._lost_writes >= _SILENT_WRITES:
            logger.warning("socket.send() raised exception.")
        self._lost_writes += 1

    # flow control --------------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """Return how much waits to be sent: the datagrams' bytes, and 8 more for each."""
        return 0 if self._buffer is None else self._buffer.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        buffer = self._buffer
        return (DEFAULT_HIGH // 4, DEFAULT_HIGH) if buffer is None else (buffer.low, buffer.high)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, at which the protocol is asked to pause and to resume."""
        self._make_buffer().set_limits(high, low)
        self._maybe_pause()

    def _make_buffer(self) -> DatagramBuffer:
        if self._buffer is None:
            self._buffer = DatagramBuffer()
        return self._buffer

    def _maybe_pause(self) -> None:
        """Ask the protocol to pause if the buffer is too full; runs in the writer's context."""
        if not self._make_buffer().crossed_high():
            return
        self._tell_hooks(True)
        try:
            self._protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.pause_writing() failed")

    def _resume_protocol(self) -> None:
        self._tell_hooks(False)
        try:
            self._context.run(self._protocol.resume_writing)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.resume_writing() failed")

    def _tell_hooks(self, waiting: bool) -> None:
        if self._loop._hooks is not None:
            self._loop._hooks.tell("resource_waits", self, waiting)


def _name(ask: Any) -> Any:
    """Return the address that a method of a socket answers with, None where it has none."""
    try:
        return ask()
    except OSError:
        return None
