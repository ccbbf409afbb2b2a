"""The ``sock_*`` coroutines: calls on the user's own non-blocking sockets.

A call is tried first, unless the kernel is known to block. Only when it would block, the socket is
watched; the watch stays (``_core/watch.py`` tells how, and for how long), so the next call that has
to wait needs no system call before the one that succeeds.

Every call is made by the coroutine, after it was woken, and never when the event comes: what is
received has a receiver then. A call that is cancelled while it waits has taken nothing.

All calls are methods of the object that the user passes; it may be a subclass or a stand-in. Of a
plain ``socket.socket`` it is known how the kernel behaves: after a short count a TCP socket has no
more, or takes no more. So a message that fits is received with one system call.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

from treadle._core.watch import Watch, Watches
from treadle._drivers.base import READ, WRITE

__all__ = ["SocketMethods"]

_Socket = socket.socket


class SocketMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio.

    Each method returns a coroutine. The socket must not block: in debug mode ValueError says so.
    """

    def sock_recv(self, sock: Any, n: int) -> Any:
        """Receive up to `n` bytes; empty at the end of the stream."""
        return receive(self, sock, n)

    def sock_recv_into(self, sock: Any, buf: Any) -> Any:
        """Receive into `buf`; return the number of bytes."""
        return receive_into(self, sock, buf)

    def sock_recvfrom(self, sock: Any, bufsize: int) -> Any:
        """Receive a datagram of up to `bufsize` bytes; return (bytes, address)."""
        return receive_datagram(self, sock, bufsize)

    def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> Any:
        """Receive a datagram into `buf`; return (number of bytes, address)."""
        return receive_datagram_into(self, sock, buf, nbytes)

    def sock_sendall(self, sock: Any, data: Any) -> Any:
        """Send all of `data`; after a failure or a cancellation nobody knows how much was sent."""
        return send_all(self, sock, data)

    def sock_sendto(self, sock: Any, data: Any, address: Any) -> Any:
        """Send a datagram to `address`; return the number of bytes."""
        return send_datagram(self, sock, data, address)

    def sock_accept(self, sock: Any) -> Any:
        """Accept a connection; return a non-blocking socket and the peer's address."""
        return accept(self, sock)

    def sock_connect(self, sock: Any, address: Any) -> Any:
        """Connect to `address`; a name in it is looked up first."""
        return connect(self, sock, address)

    def sock_sendfile(
        self,
        sock: Any,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> Any:
        """Send `file` from `offset` on, `count` bytes or all of it; return the number of bytes.

        Where the kernel cannot do it, the file is read in a thread, unless `fallback` is false:
        then `asyncio.SendfileNotAvailableError`.
        """
        from treadle._net import sendfile

        return sendfile.to_socket(self, sock, file, offset, count, fallback)

    def sendfile(
        self,
        transport: Any,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> Any:
        """Send `file` from `offset` on, `count` bytes or all of it; return the number of bytes.

        `transport` does not read meanwhile, and must not be written to. Where the kernel cannot do
        it, the file is read in a thread, unless `fallback` is false: then RuntimeError (the
        transport cannot) or `asyncio.SendfileNotAvailableError` (the file cannot). ConnectionError
        when the connection is lost in the middle.
        """
        from treadle._net import sendfile

        return sendfile.to_transport(self, transport, file, offset, count, fallback)

    def _sendfile_native(self, transport: Any, file: Any, offset: int, count: int | None) -> Any:
        """The kernel's part of `sendfile`; has this name in asyncio, where tests replace it."""
        from treadle._net import sendfile

        return sendfile.by_kernel(self, transport, file, offset, count)


# The three that move streams wait by themselves: a coroutine less for each message.


async def receive(loop: Any, sock: Any, size: int) -> bytes:
    """Do the work of ``sock_recv``."""
    watch = begin(loop, sock)
    while True:
        if may_receive(watch, size):
            try:
                data: bytes = sock.recv(size)
            except BlockingIOError:
                pass
            except InterruptedError:
                await asyncio.sleep(0)
                continue
            else:
                received(watch, len(data), size)
                return data
        watch, future = wait(loop, sock, READ)
        try:
            await future
        except BaseException:
            leave(watch, future)
            raise
        watch = find(loop, sock)


async def receive_into(loop: Any, sock: Any, buffer: Any) -> int:
    """Do the work of ``sock_recv_into``."""
    watch = begin(loop, sock)
    while True:
        if may_receive_into(watch, buffer):
            try:
                count: int = sock.recv_into(buffer)
            except BlockingIOError:
                pass
            except InterruptedError:
                await asyncio.sleep(0)
                continue
            else:
                received(watch, count, memoryview(buffer).nbytes)
                return count
        watch, future = wait(loop, sock, READ)
        try:
            await future
        except BaseException:
            leave(watch, future)
            raise
        watch = find(loop, sock)


async def send_all(loop: Any, sock: Any, data: Any) -> None:
    """Do the work of ``sock_sendall``."""
    watch = begin(loop, sock)
    rest: Any = data if type(data) is bytes else memoryview(data).cast("B")
    while True:
        if may_send(watch, rest):
            try:
                sent: int = sock.send(rest)
            except BlockingIOError:
                pass
            except InterruptedError:
                await asyncio.sleep(0)
                continue
            else:
                if sent == len(rest):
                    return
                rest = memoryview(rest)[sent:]
                if sent and not takes_no_more(watch):
                    continue
        watch, future = wait(loop, sock, WRITE)
        try:
            await future
        except BaseException:
            leave(watch, future)
            raise
        watch = find(loop, sock)


async def receive_datagram(loop: Any, sock: Any, size: int) -> Any:
    """Do the work of ``sock_recvfrom``."""
    return await _tried(loop, sock, READ, "recvfrom", (size,))


async def receive_datagram_into(loop: Any, sock: Any, buffer: Any, size: int) -> Any:
    """Do the work of ``sock_recvfrom_into``."""
    return await _tried(loop, sock, READ, "recvfrom_into", (buffer, size or len(buffer)))


async def send_datagram(loop: Any, sock: Any, data: Any, address: Any) -> Any:
    """Do the work of ``sock_sendto``."""
    return await _tried(loop, sock, WRITE, "sendto", (data, address))


async def accept(loop: Any, sock: Any) -> Any:
    """Do the work of ``sock_accept``."""
    conn, address = await _tried(loop, sock, READ, "accept", ())
    try:
        conn.setblocking(False)
    except BaseException:
        conn.close()
        raise
    return conn, address


async def connect(loop: Any, sock: Any, address: Any) -> None:
    """Do the work of ``sock_connect``."""
    from treadle._net.resolve import resolve  # here and below: not every program needs them

    begin(loop, sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        infos = await resolve(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    try:
        sock.connect(address)
        return
    except InterruptedError:
        pass  # it goes on by itself, POSIX connect()
    except BlockingIOError as exc:
        if exc.errno == errno.EAGAIN:  # a full backlog; nothing has begun that could be waited for
            raise
    await until_ready(loop, sock, WRITE)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, f"Connect call failed {address}: {os.strerror(error)}")


async def until_ready(loop: Any, sock: Any, direction: int) -> None:
    """Wait until a call that would have blocked should be tried again."""
    watch, future = wait(loop, sock, direction)
    try:
        await future
    except BaseException:
        leave(watch, future)
        raise
    find(loop, sock)


async def _tried(loop: Any, sock: Any, direction: int, name: str, args: tuple[Any, ...]) -> Any:
    """Call a method of the socket until it does not block."""
    begin(loop, sock)
    while True:
        try:
            return getattr(sock, name)(*args)
        except BlockingIOError:
            await until_ready(loop, sock, direction)
        except InterruptedError:
            await asyncio.sleep(0)


# What is known -----------------------------------------------------------------------------------


def begin(loop: Any, sock: Any) -> Watch | None:
    """Check the socket; return the watch that knows it, or None.

    RuntimeError when a transport owns the descriptor.
    """
    if type(sock) is not _Socket:
        from treadle._net.layers import is_tls_socket

        if is_tls_socket(sock):
            raise TypeError("Socket cannot be of type SSLSocket")
    if loop._debug and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    return find(loop, sock)


def find(loop: Any, sock: Any) -> Watch | None:
    """Return the watch that knows the socket, or None (see `Watches.find`)."""
    watches: Watches = loop._watches
    return watches.find(sock)


def wait(loop: Any, sock: Any, direction: int) -> tuple[Watch, Any]:
    """Return a future to wait for, and the watch to `leave` when that is not done."""
    watches: Watches = loop._watches
    watch = watches.demand(sock)
    return watch, watch.wait(direction, type(sock) is _Socket)


def leave(watch: Watch, future: Any) -> None:
    """Forget a future that nobody waits for any more."""
    watch.leave(future)


def may_receive(watch: Watch | None, size: Any) -> bool:
    """Say whether to try: unless the kernel would block, and it is the kernel that is asked."""
    return watch is None or watch.readable or type(size) is not int or size <= 0


def may_receive_into(watch: Watch | None, buffer: Any) -> bool:
    """Say whether to try: unless the kernel would block, and it is the kernel that is asked."""
    if watch is None or watch.readable:
        return True
    try:
        view = memoryview(buffer)
    except TypeError:
        return True  # let the socket say so
    return view.readonly or not view.nbytes or not view.contiguous


def may_send(watch: Watch | None, data: Any) -> bool:
    """Say whether to try: unless the kernel would block, and it is the kernel that is asked."""
    return watch is None or watch.writable or not len(data)


def received(watch: Watch | None, count: int, size: Any) -> None:
    """Note what `count` bytes tell, where `size` bytes were asked for."""
    if watch is not None and watch.exhaustive and 0 < count < size:
        watch.readable = False


def takes_no_more(watch: Watch | None) -> bool:
    """Say whether a short count means that the kernel would block now."""
    return watch is None or watch.exhaustive  # an unknown socket is registered now, and tells
