"""The ``sock_*`` coroutines: calls on the user's own non-blocking sockets.

Every call is made by the coroutine, after it was woken, and never when the event comes: what is
received has a receiver then. A call that is cancelled while it waits has taken nothing. What one
try is, and what is known of a socket, is in ``attempts.py``.

These coroutines are not compiled: the interpreter awaits its own in place, and passes their result
on without an exception.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

from treadle._drivers.base import READ, WRITE
from treadle._net import attempts

__all__ = ["SocketMethods", "until_ready"]

_Future = asyncio.Future


class SocketMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio.

    The socket must not block: in debug mode ValueError says so.
    """

    async def sock_recv(self, sock: Any, n: int) -> bytes:
        """Receive up to `n` bytes; empty at the end of the stream."""
        found = attempts.receive(self, sock, n)
        while type(found) is _Future:
            try:
                await found
            except BaseException:
                attempts.leave(self, sock, found)
                raise
            found = attempts.receive(self, sock, n)
        return found  # type: ignore[no-any-return]

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """Receive into `buf`; return the number of bytes."""
        found = attempts.receive_into(self, sock, buf)
        while type(found) is _Future:
            try:
                await found
            except BaseException:
                attempts.leave(self, sock, found)
                raise
            found = attempts.receive_into(self, sock, buf)
        return found  # type: ignore[no-any-return]

    async def sock_recvfrom(self, sock: Any, bufsize: int) -> tuple[bytes, Any]:
        """Receive a datagram of up to `bufsize` bytes; return it and its sender's address."""
        return await _tried(self, sock, READ, "recvfrom", bufsize)  # type: ignore[no-any-return]

    async def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        """Receive a datagram into `buf`; return the number of bytes and the sender's address."""
        size = nbytes or len(buf)
        return await _tried(self, sock, READ, "recvfrom_into", buf, size)  # type: ignore[no-any-return]

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """Send all of `data`; after a failure or a cancellation nobody knows how much was sent."""
        found = attempts.send(self, sock, data)
        while found is not None:
            future, data = found
            try:
                await future
            except BaseException:
                attempts.leave(self, sock, future)
                raise
            found = attempts.send(self, sock, data)

    async def sock_sendto(self, sock: Any, data: Any, address: Any) -> int:
        """Send a datagram to `address`; return the number of bytes."""
        return await _tried(self, sock, WRITE, "sendto", data, address)  # type: ignore[no-any-return]

    async def sock_accept(self, sock: Any) -> tuple[Any, Any]:
        """Accept a connection; return a non-blocking socket and the peer's address."""
        conn, address = await _tried(self, sock, READ, "accept")
        try:
            conn.setblocking(False)
        except BaseException:
            conn.close()
            raise
        return conn, address

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect to `address`; a name in it is looked up first."""
        attempts.begin(self, sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            address = await _resolved(self, sock, address)
        try:
            sock.connect(address)
            return
        except InterruptedError:
            pass  # it goes on by itself, POSIX connect()
        except BlockingIOError as exc:
            if exc.errno == errno.EAGAIN:  # a full backlog; nothing has begun that could go on
                raise
        await until_ready(self, sock, WRITE)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"Connect call failed {address}: {os.strerror(error)}")

    async def sock_sendfile(
        self,
        sock: Any,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send `file` from `offset` on, `count` bytes or all of it; return the number of bytes.

        Where the kernel cannot do it, the file is read in a thread, unless `fallback` is false:
        then `asyncio.SendfileNotAvailableError`.
        """
        from treadle._net import sendfile

        return await sendfile.to_socket(self, sock, file, offset, count, fallback)

    async def sendfile(
        self,
        transport: Any,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send `file` from `offset` on, `count` bytes or all of it; return the number of bytes.

        `transport` does not read meanwhile, and must not be written to. Where the kernel cannot do
        it, the file is read in a thread, unless `fallback` is false: then RuntimeError (the
        transport cannot) or `asyncio.SendfileNotAvailableError` (the file cannot). ConnectionError
        when the connection is lost in the middle.
        """
        from treadle._net import sendfile

        return await sendfile.to_transport(self, transport, file, offset, count, fallback)

    def _sendfile_native(self, transport: Any, file: Any, offset: int, count: int | None) -> Any:
        """The kernel's part of `sendfile`; has this name in asyncio, where tests replace it."""
        from treadle._net import sendfile

        return sendfile.by_kernel(self, transport, file, offset, count)


async def until_ready(loop: Any, sock: Any, direction: int) -> None:
    """Wait until a call that would have blocked should be tried again."""
    future = attempts.wait(loop, sock, direction)
    try:
        await future
    except BaseException:
        attempts.leave(loop, sock, future)
        raise
    attempts.begin(loop, sock)


async def _tried(loop: Any, sock: Any, direction: int, name: str, *args: Any) -> Any:
    """Call a method of the socket until it does not block."""
    attempts.begin(loop, sock)
    while True:
        try:
            return getattr(sock, name)(*args)
        except (BlockingIOError, InterruptedError):
            await until_ready(loop, sock, direction)


async def _resolved(loop: Any, sock: Any, address: Any) -> Any:
    from treadle._net.resolve import resolve  # not every program needs it

    infos = await resolve(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
    return infos[0][4]
