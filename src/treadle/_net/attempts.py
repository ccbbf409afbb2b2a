# cython: nonecheck=True
"""One try of a call on a user's socket: what it brings, or a future to wait for before the next.

This is the inside of the ``sock_*`` coroutines, without the coroutines. A call is tried, unless the
kernel is known to block. Only when it would block, the socket is watched, and the watch stays
(``_core/watch.py`` tells how, and for how long); so the next call that has to wait needs no system
call before the one that succeeds.

The object that the user passes may be a subclass or a stand-in: then its methods are called, and
believed. Of a plain ``socket.socket`` it is known how the kernel behaves. After a short count a TCP
socket has no more, or takes no more: a message that fits is received with one system call, which is
made without a detour (``direct.py``).
"""

from __future__ import annotations

import socket
from typing import Any

from treadle._core.direct import receive_now, send_now
from treadle._core.watch import Watch, Watches
from treadle._drivers.base import READ, WRITE

__all__ = ["begin", "leave", "receive", "receive_into", "send", "wait"]

_Socket = socket.socket
_WOULD_BLOCK = (BlockingIOError, InterruptedError)


def begin(loop: Any, sock: Any) -> Watch | None:
    """Check the socket; return the watch that knows it, or None.

    TypeError for a socket of the ssl module, ValueError in debug mode for one that blocks,
    RuntimeError when a transport owns the descriptor.
    """
    if type(sock) is not _Socket:
        from treadle._net.layers import is_tls_socket  # imports much

        if is_tls_socket(sock):
            raise TypeError("Socket cannot be of type SSLSocket")
    if loop._debug and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    watches: Watches = loop._watches
    return watches.find(sock)


def wait(loop: Any, sock: Any, direction: int) -> Any:
    """Return a future that is done when the call should be tried; `leave` it if that fails."""
    watches: Watches = loop._watches
    watch: Watch = watches.demand(sock)
    return watch.wait(direction, type(sock) is _Socket)


def leave(loop: Any, sock: Any, future: Any) -> None:
    """Forget a future that nobody waits for any more."""
    watches: Watches = loop._watches
    watches.leave(sock, future)


def receive(loop: Any, sock: Any, size: Any) -> Any:
    """Receive up to `size` bytes; return them, or a future to wait for."""
    watch = begin(loop, sock)
    plain = type(sock) is _Socket
    if watch is None or watch.readable or type(size) is not int or size <= 0:
        data: Any = None
        if plain:
            data = receive_now(sock, size)
        else:
            try:
                data = sock.recv(size)
            except _WOULD_BLOCK:
                pass
        if data is not None:
            if watch is not None and watch.exhaustive and 0 < len(data) < size:
                watch.readable = False
            return data
    if watch is None or not plain:
        return wait(loop, sock, READ)
    return watch.wait(READ, True)


def receive_into(loop: Any, sock: Any, buffer: Any) -> Any:
    """Receive into `buffer`; return the number of bytes, or a future to wait for."""
    watch = begin(loop, sock)
    if watch is None or watch.readable or not _can_be_filled(buffer):
        try:
            count: int = sock.recv_into(buffer)
        except _WOULD_BLOCK:
            pass
        else:
            if watch is not None and watch.exhaustive and 0 < count < memoryview(buffer).nbytes:
                watch.readable = False
            return count
    return wait(loop, sock, READ)


def send(loop: Any, sock: Any, data: Any) -> Any:
    """Send `data`; return None, or a pair: a future to wait for, and what is left to be sent."""
    watch = begin(loop, sock)
    plain = type(sock) is _Socket
    if type(data) is not bytes:
        data = memoryview(data).cast("B")
    while watch is None or watch.writable or not len(data):
        count = -1
        if plain:
            count = send_now(sock, data)
        else:
            try:
                count = sock.send(data)
            except _WOULD_BLOCK:
                pass
        if count == len(data):
            return None
        if count > 0:
            data = memoryview(data)[count:]
        if count <= 0 or watch is None or watch.exhaustive:
            break  # the kernel is full; an unknown socket is registered now, and tells
    return wait(loop, sock, WRITE), data


def _can_be_filled(buffer: Any) -> bool:
    """Say whether `buffer` is one to receive into; the socket says best what is wrong with it."""
    try:
        view = memoryview(buffer)
    except TypeError:
        return False
    return view.nbytes > 0 and view.contiguous and not view.readonly
