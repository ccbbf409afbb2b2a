"""Sending files: from disk to socket inside the kernel, or read in a thread and written.

The kernel's way (``sendfile(2)``) is for sockets and for transports on plain sockets, with files
that it can map. Everything else goes the other way, if the caller allows it: TLS, files that exist
only in memory, pipes.

Both leave the file's position behind the last byte that was handed over, also after a failure or a
cancellation; so a caller can find out how much that was. One call of ``sendfile(2)`` moves `PIECE`
bytes at most: a receiver that keeps up would hold the loop for as long as the file lasts.

Nothing is remembered across a wait: the user may close file, socket or transport meanwhile, and
each number may be another's afterwards.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
from asyncio import constants, protocols
from collections.abc import Awaitable, Callable
from typing import Any

from treadle._drivers.base import WRITE
from treadle._net import attempts
from treadle._net.sockets import until_ready

__all__ = ["by_kernel", "to_socket", "to_transport"]

PIECE = 1024 * 1024  # bytes per sendfile(2)
BLOCK = 256 * 1024  # bytes per read in a thread

_MODE = constants._SendfileMode
_GONE = "Connection closed while a file was sent"


async def to_transport(
    loop: Any, transport: Any, file: Any, offset: int, count: int | None, fallback: bool
) -> int:
    """Do the work of ``loop.sendfile``."""
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", _MODE.UNSUPPORTED)
    if mode is _MODE.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if mode is _MODE.TRY_NATIVE:
        try:
            return await loop._sendfile_native(transport, file, offset, count)  # type: ignore[no-any-return]
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(
            f"fallback is disabled and native sendfile is not supported for transport {transport!r}"
        )
    _check(file, offset, count)
    stand_in = StandIn(loop, transport)
    try:
        return await _send_by_reading(loop, stand_in.write, file, offset, count)
    finally:
        stand_in.leave()


async def by_kernel(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    """Send by the kernel, after what the transport has buffered; it reads nothing meanwhile."""
    _check(file, offset, count)
    drained = transport._make_empty_waiter()
    resume = transport.is_reading()
    transport.pause_reading()
    try:
        await drained

        def number() -> int:
            if transport.is_closing():
                raise ConnectionError(_GONE)
            fd: int = transport.fd
            return fd

        async def ready() -> None:
            await transport._make_write_waiter()

        return await _send_by_kernel(number, ready, file, offset, count)
    except ConnectionError as exc:
        if not transport.is_closing():
            transport._fatal_error(exc, "Fatal write error on socket transport")
        raise
    finally:
        transport._reset_empty_waiter()
        if resume:
            transport.resume_reading()


async def to_socket(
    loop: Any, sock: Any, file: Any, offset: int, count: int | None, fallback: bool
) -> int:
    """Do the work of ``loop.sock_sendfile``."""
    attempts.begin(loop, sock)
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    _check(file, offset, count)

    async def ready() -> None:
        await until_ready(loop, sock, WRITE)

    async def send(data: bytes) -> None:
        await loop.sock_sendall(sock, data)

    try:
        return await _send_by_kernel(sock.fileno, ready, file, offset, count)
    except asyncio.SendfileNotAvailableError:
        if not fallback:
            raise
    return await _send_by_reading(loop, send, file, offset, count)


def _check(file: Any, offset: Any, count: Any) -> None:
    mode = getattr(file, "mode", "b")
    if isinstance(mode, str) and "b" not in mode:
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")


# the kernel's way ----------------------------------------------------------------------------


async def _send_by_kernel(
    number: Callable[[], int],
    ready: Callable[[], Awaitable[None]],
    file: Any,
    offset: int,
    count: int | None,
) -> int:
    """Send with ``sendfile(2)`` to the descriptor that `number` returns.

    SendfileNotAvailableError when not even the first byte could be sent in this way.
    """
    if not _can_be_mapped(file):
        raise asyncio.SendfileNotAvailableError("not a regular file")
    total = 0
    try:
        while count is None or total < count:
            size = PIECE if count is None else min(PIECE, count - total)
            try:
                sent = os.sendfile(number(), file.fileno(), offset + total, size)
            except (BlockingIOError, InterruptedError):
                await ready()
                continue
            except OSError as exc:
                raise _failure(exc, total) from exc
            if sent == 0:
                break  # the end of the file, wherever it is by now
            total += sent
            if sent == size:
                await asyncio.sleep(0)
        return total
    finally:
        if total:
            _place(file, offset + total)


def _can_be_mapped(file: Any) -> bool:
    """Say whether a file looks like one for ``sendfile(2)``; that one has the last word."""
    if not hasattr(os, "sendfile"):
        return False
    try:
        os.fstat(file.fileno())
    except (AttributeError, OSError, io.UnsupportedOperation):
        return False
    return True


def _failure(exc: OSError, total: int) -> Exception:
    """Return what to raise for a failed ``sendfile(2)`` after `total` bytes."""
    if exc.errno == errno.ENOTCONN:
        return ConnectionError(errno.ENOTCONN, "socket is not connected")
    if total or isinstance(exc, ConnectionError):
        return exc
    return asyncio.SendfileNotAvailableError("os.sendfile call failed")


# the other way -------------------------------------------------------------------------------


async def _send_by_reading(
    loop: Any,
    send: Callable[[bytes], Awaitable[None]],
    file: Any,
    offset: int,
    count: int | None,
) -> int:
    """Read in the default executor, and `send` what was read."""
    _place(file, offset)
    total = 0
    try:
        while count is None or total < count:
            size = BLOCK if count is None else min(BLOCK, count - total)
            data = await _read(loop, file, size)
            if not data:
                break
            await send(data)
            total += len(data)
        return total
    finally:
        _place(file, offset + total)


async def _read(loop: Any, file: Any, size: int) -> bytes:
    """Read in a thread, and do not leave before that is done: it moves the file's position."""
    reading = loop.run_in_executor(None, file.read, size)
    try:
        await asyncio.wait([reading])
    except asyncio.CancelledError:
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()  # nobody is left to be told
        raise
    data: bytes = reading.result()
    return data


def _place(file: Any, position: int) -> None:
    """Set a file's position, if it has one and is open."""
    if getattr(file, "closed", False) or not hasattr(file, "seek"):
        return
    if hasattr(file, "seekable") and not file.seekable():
        return
    file.seek(position)


class StandIn(asyncio.Protocol):
    """Takes a protocol's place while a file is written to its transport.

    It hears when to pause and to resume. What else there is to hear goes to the protocol; in the
    end that is told to pause or to resume if the transport's mind has changed meanwhile.
    """

    def __init__(self, loop: Any, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._was_paused = bool(transport._protocol_paused)  # what the protocol was told last
        self._paused = self._was_paused
        self._lost = False
        self._waiter: Any = None  # future: the transport takes data again; None: nobody waits
        transport.pause_reading()
        transport.set_protocol(self)

    async def write(self, data: bytes) -> None:
        """Write as soon as the transport takes data; ConnectionError when it is gone."""
        if self._paused and not self._lost:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._lost or self._transport.is_closing():
            raise ConnectionError(_GONE)
        self._transport.write(data)

    def leave(self) -> None:
        """Give the protocol its place back."""
        if self._lost:
            return
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        if self._paused != self._was_paused:
            self._tell("pause_writing" if self._paused else "resume_writing")

    def _tell(self, name: str) -> None:
        try:
            getattr(self._protocol, name)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._loop.call_exception_handler(
                {
                    "message": f"protocol.{name}() failed",
                    "exception": exc,
                    "transport": self._transport,
                    "protocol": self._protocol,
                }
            )

    def pause_writing(self) -> None:
        """Hear that the transport has enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """Hear that the transport takes data again."""
        self._paused = False
        self._wake(None)

    def data_received(self, data: bytes) -> None:
        """Pass on what had been received before reading was paused."""
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            protocols._feed_data_to_buffered_proto(self._protocol, data)  # type: ignore[attr-defined]
        else:
            self._protocol.data_received(data)

    def eof_received(self) -> Any:
        """Pass on the end of the stream."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection, and fail what is being sent."""
        self._lost = True
        self._wake(exc if exc is not None else ConnectionError(_GONE))
        self._protocol.connection_lost(exc)

    def _wake(self, exc: BaseException | None) -> None:
        if self._waiter is None or self._waiter.done():
            return
        if exc is None:
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(exc)
