"""The ``sock_*`` coroutines: calls on the user's own non-blocking sockets.

The call is tried first; only when the kernel would block is the descriptor watched, and the watch
goes as soon as the call is done or cancelled.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from treadle._net.layers import is_tls_socket
from treadle._net.resolve import resolve

__all__ = ["accept", "connect", "receive", "receive_into", "send_all"]

_T = TypeVar("_T")
_WOULD_BLOCK = (BlockingIOError, InterruptedError)


async def receive(loop: Any, sock: Any, size: int) -> bytes:
    """Receive up to `size` bytes; empty at the end of the stream."""
    _check(loop, sock)
    data: bytes = await _when_readable(loop, sock, sock.recv, size)
    return data


async def receive_into(loop: Any, sock: Any, buffer: Any) -> int:
    """Receive into `buffer`; return the number of bytes."""
    _check(loop, sock)
    count: int = await _when_readable(loop, sock, sock.recv_into, buffer)
    return count


async def accept(loop: Any, sock: Any) -> tuple[Any, Any]:
    """Accept a connection; return a non-blocking socket and the peer's address."""
    _check(loop, sock)
    conn, address = await _when_readable(loop, sock, sock.accept)
    try:
        conn.setblocking(False)
    except BaseException:
        conn.close()
        raise
    return conn, address


async def send_all(loop: Any, sock: Any, data: Any) -> None:
    """Send all of `data`. After a cancellation nobody knows how much was sent."""
    _check(loop, sock)
    view = memoryview(data).cast("B")
    while view:
        try:
            sent = sock.send(view)
        except _WOULD_BLOCK:
            await _ready(loop, sock, loop._watches.add_writer)
        else:
            view = view[sent:]


async def connect(loop: Any, sock: Any, address: Any) -> None:
    """Connect to `address`; a name in it is looked up first."""
    _check(loop, sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        infos = await resolve(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    try:
        sock.connect(address)
        return
    except _WOULD_BLOCK:
        pass  # EINPROGRESS; an interrupted connect goes on by itself, POSIX connect()
    await _ready(loop, sock, loop._watches.add_writer)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, f"Connect call failed {address}: {os.strerror(error)}")


async def _when_readable(loop: Any, sock: Any, call: Callable[..., _T], *args: Any) -> _T:
    while True:
        try:
            return call(*args)
        except _WOULD_BLOCK:
            await _ready(loop, sock, loop._watches.add_reader)


async def _ready(loop: Any, sock: Any, watch: Callable[..., Any]) -> None:
    """Wait until the kernel reports the socket; leave no watch of ours behind, whatever happens.

    When this call is cancelled, its end runs a turn later: another call may watch by then.
    """
    fd = sock.fileno()
    ready = loop.create_future()
    handle = watch(fd, _set_ready, (ready,))
    try:
        await ready
    finally:
        loop._watches.forget(fd, handle)


def _set_ready(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _check(loop: Any, sock: Any) -> None:
    if is_tls_socket(sock):
        raise TypeError("Socket cannot be of type SSLSocket")
    if loop.get_debug() and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
