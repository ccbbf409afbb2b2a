"""The plain driver: readiness from the standard library's `selectors`.

It runs wherever Python does (kqueue on macOS, epoll or poll elsewhere) and is the one to read
first: `epoll.py` does the same with the system calls at hand. Every kernel call goes through a
function of `os`, `socket` or `selectors`, so that a test can make any of them fail.

Kernel facts. A selector watches descriptor *numbers*; a number that was closed behind our back and
given to somebody else must not be unregistered in the name of its former owner, hence the
generation in the key's data. `select` rounds its timeout up to the selector's resolution.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Sequence
from itertools import islice
from typing import Any

from treadle._drivers.base import (
    CONNECTION,
    DATAGRAMS,
    HANGUP,
    LISTENER,
    MADE_ELSEWHERE,
    PIPE,
    READ,
    WATCH,
    WRITE,
    Connection,
    Driver,
    Endpoint,
    Listener,
)

__all__ = ["SelectorDriver"]

RECEIVE_SIZE = 256 * 1024  # bytes per receive at most
IOV_MAX = 1024  # buffers per writev(2); POSIX guarantees 16, Linux and macOS take 1024

_GONE = select.POLLERR | select.POLLHUP | getattr(select, "POLLRDHUP", 0)
_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class SelectorDriver(Driver):
    """Watches descriptors with `selectors.DefaultSelector`."""

    name = "selector"

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector
        self._owners: dict[int, Endpoint] = {}
        self._generation = 0  # of the endpoint attached last
        self._wake_receiver: Any = None  # socketpair; readable when somebody called `wake`
        self._wake_sender: Any = None
        self._ended = "Event loop is closed"  # what to tell who uses it without a selector

    def open(self) -> None:
        """Take the kernel objects that the driver needs; OSError when there are none."""
        try:
            if self._selector is None:
                self._selector = selectors.DefaultSelector()
            self._wake_receiver, self._wake_sender = socket.socketpair()
            self._wake_receiver.setblocking(False)
            self._wake_sender.setblocking(False)
            self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)
        except BaseException:
            self.close_driver()
            raise

    def close_driver(self) -> None:
        """Give them back; forget the endpoints, which (but for watches) still own descriptors."""
        self._forget()
        for sock in (self._wake_receiver, self._wake_sender):
            if sock is not None:
                sock.close()

    def disown(self) -> None:
        """Part with the parent's driver in a forked child (see `Driver.disown`)."""
        self._ended = MADE_ELSEWHERE
        self.close_driver()

    def _forget(self) -> None:
        forgotten = self._owners
        self._owners = {}
        for endpoint in forgotten.values():
            endpoint.interest = 0
            endpoint.generation = 0
            if endpoint.kind == WATCH:
                endpoint.fd = -1
        if self._selector is not None:
            self._selector.close()
            self._selector = None

    def attach(self, endpoint: Endpoint, fd: int) -> None:
        """Make `endpoint` the owner of `fd`; ValueError when the number has a living owner."""
        owner = self._owners.get(fd)
        if owner is not None:
            if owner.kind != WATCH:
                raise ValueError(f"file descriptor {fd} is already in use by {owner!r}")
            self.detach(owner)  # its user closed the number, or hands it to a transport now
            owner.evicted()
        self._generation += 1
        endpoint.fd = fd
        endpoint.generation = self._generation
        endpoint.interest = 0
        self._owners[fd] = endpoint

    def detach(self, endpoint: Endpoint) -> int:
        """End the ownership without closing; return the descriptor (-1 when there was none)."""
        fd = endpoint.fd
        if fd < 0:
            return fd
        if endpoint.interest:
            try:
                self._selector.unregister(fd)  # type: ignore[union-attr]
            except (KeyError, ValueError, OSError):
                pass  # closed behind our back: the kernel has forgotten it already
        if self._owners.get(fd) is endpoint:
            del self._owners[fd]
        endpoint.fd = -1
        endpoint.generation = 0
        endpoint.interest = 0
        return fd

    def owner(self, fd: int) -> Endpoint | None:
        """Return the endpoint that owns `fd`, or None."""
        return self._owners.get(fd)

    def set_interest(self, endpoint: Endpoint, interest: int) -> None:
        """Watch for exactly these events from now on; OSError when the kernel cannot."""
        if interest != endpoint.interest and endpoint.fd >= 0:
            self.renew_interest(endpoint, interest)

    def renew_interest(self, endpoint: Endpoint, interest: int) -> None:
        """Like `set_interest`, for a descriptor that may have been closed and opened meanwhile."""
        selector: Any = self._selector
        if selector is None:
            raise RuntimeError(self._ended)
        events = 0
        if interest & (READ | HANGUP):
            events |= selectors.EVENT_READ
        if interest & WRITE:
            events |= selectors.EVENT_WRITE
        data = (endpoint, endpoint.generation)
        if endpoint.interest:
            try:
                selector.unregister(endpoint.fd)
            except (KeyError, ValueError, OSError):
                pass  # closed behind our back: the kernel has forgotten it already
            endpoint.interest = 0
        if interest:
            selector.register(endpoint.fd, events, data)
        endpoint.interest = interest

    def wait(self, timeout_ns: int) -> None:
        """Wait for events and dispatch them."""
        selector: Any = self._selector
        timeout = None if timeout_ns < 0 else timeout_ns / 1e9
        for key, events in selector.select(timeout):
            if key.data is None:
                self._drain_wake()
                continue
            endpoint, generation = key.data
            if endpoint.generation == generation:
                mask = (READ if events & selectors.EVENT_READ else 0) | (
                    WRITE if events & selectors.EVENT_WRITE else 0
                )
                self._dispatch(endpoint, generation, mask)

    def wake(self) -> None:
        """Make the `wait` that is under way, or the next one, return; from any thread."""
        try:
            self._wake_sender.send(b"\0")
        except _WOULD_BLOCK:
            pass  # full: it will wake up anyway
        except OSError:
            pass  # closed in the meantime

    def send(self, connection: Connection, data: Any, offset: int) -> int:
        """Send from ``data[offset:]`` what the kernel takes now; return the count, 0 when full."""
        try:
            return os.write(connection.fd, memoryview(data)[offset:] if offset else data)
        except _WOULD_BLOCK:
            return 0

    def send_many(self, connection: Connection, chunks: Sequence[Any], offset: int) -> int:
        """Send a sequence of bytes objects, the first from `offset` on, in one system call."""
        buffers = list(islice(chunks, IOV_MAX))
        buffers[0] = memoryview(buffers[0])[offset:]
        try:
            return os.writev(connection.fd, buffers)
        except _WOULD_BLOCK:
            return 0

    def _drain_wake(self) -> None:
        try:
            while len(self._wake_receiver.recv(4096)) == 4096:
                pass
        except _WOULD_BLOCK:
            pass
        except OSError:
            if self._selector is not None:
                raise  # else: closed by a callback, in a forked child

    def _dispatch(self, endpoint: Endpoint, generation: int, mask: int) -> None:
        if endpoint.kind == CONNECTION:
            connection: Any = endpoint
            if mask & READ and connection.interest & READ:
                self.receive(connection)
            alive = connection.generation == generation
            if mask & WRITE and alive and connection.interest & WRITE:
                connection.send_ready()
        elif endpoint.kind == LISTENER:
            self._accept(endpoint)
        elif endpoint.kind == PIPE:
            self._dispatch_pipe(endpoint, generation, mask)
        elif endpoint.kind == DATAGRAMS:
            self._dispatch_datagrams(endpoint, generation, mask)
        else:
            endpoint.ready(mask)

    def _dispatch_pipe(self, endpoint: Any, generation: int, mask: int) -> None:
        pipe: Any = endpoint
        if mask & READ and pipe.interest & HANGUP:
            if _other_end_is_gone(pipe.fd):
                pipe.hung_up()
            else:  # data that nobody reads: it would be reported for ever
                self.set_interest(pipe, pipe.interest & ~HANGUP)
        if mask & READ and pipe.generation == generation and pipe.interest & READ:
            self.receive(pipe)
        if mask & WRITE and pipe.generation == generation and pipe.interest & WRITE:
            pipe.send_ready()

    def receive(self, connection: Any) -> None:
        """Receive once now (see `Driver.receive`)."""
        if connection.fills_buffer:
            self._receive_into(connection)
            return
        try:
            data = os.read(connection.fd, RECEIVE_SIZE)
        except _WOULD_BLOCK:
            return
        except OSError as exc:
            connection.receive_failed(exc)
            return
        if data:
            connection.received(data)
        else:
            connection.received_eof()

    def _receive_into(self, connection: Any) -> None:
        generation = connection.generation
        buffer = connection.receive_buffer()
        if buffer is None or connection.generation != generation:
            return
        try:
            count = os.readv(connection.fd, [buffer])
        except _WOULD_BLOCK:
            return
        except Exception as exc:  # an OSError, or not a buffer
            connection.receive_failed(exc)
            return
        if count:
            connection.received_into(count)
        else:
            connection.received_eof()

    def _dispatch_datagrams(self, endpoint: Any, generation: int, mask: int) -> None:
        if mask & READ and endpoint.interest & READ:
            self._receive_datagrams(endpoint)
        alive = endpoint.generation == generation
        if mask & WRITE and alive and endpoint.interest & WRITE:
            endpoint.send_ready()

    def _receive_datagrams(self, endpoint: Any) -> None:
        generation = endpoint.generation
        for _ in range(endpoint.batch):
            if not self.receive_from(endpoint):
                return
            if endpoint.generation != generation or not endpoint.interest & READ:
                return

    def _accept(self, endpoint: Any) -> None:
        listener: Listener = endpoint
        generation = listener.generation
        for _ in range(listener.batch):
            conn = None
            try:
                conn, peer = listener.sock.accept()
                conn.setblocking(False)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if conn is not None:
                    conn.close()
                listener.accept_failed(exc)
                return
            listener.accepted(conn.detach(), peer)
            if listener.generation != generation or not listener.interest:
                return


def _other_end_is_gone(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, _GONE)
    return any(events & _GONE for _, events in poll.poll(0))
