"""Servers: listening sockets, and the connections that came through them.

A `Server` owns its listening sockets; an `Acceptor` per socket is what the driver knows.

Running out of descriptors must not turn into a busy loop, fill the log, or lose a connection that
could be served. The acceptor rests, and finds the waiting connections in the backlog later: when a
connection of its server ends, which frees a descriptor, and else after a time that doubles from
`_FIRST_REST` to `_LONGEST_REST`, since other parts of the process free descriptors as well. A busy
server that is out of descriptors accepts one connection for each that ends, and fails after each;
that is one shortage, and reported once: the next report comes when `_QUIET` seconds have passed
without a failure.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from asyncio import trsock
from collections.abc import Callable
from typing import Any

from treadle._core.invoke import current_context
from treadle._core.log import logger
from treadle._drivers.base import WATCH, Listener
from treadle._net.holding import hold, let_go
from treadle._net.layers import Layer, wrap

__all__ = ["Server"]

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_FIRST_REST = 0.01  # seconds without accepting after running out of descriptors
_LONGEST_REST = 0.25  # seconds; a failed accept costs microseconds
_QUIET = 5.0  # seconds without a failure that end a shortage
_WAITS_FOR_CONNECTIONS = sys.version_info >= (3, 12)  # what wait_closed of this asyncio does


class Server(asyncio.Server):
    """What ``loop.create_server`` returns. Also an async context manager that closes it."""

    def __init__(
        self,
        loop: Any,
        sockets: list[socket.socket],
        protocol_factory: Callable[[], Any],
        layer: Layer | None,
        backlog: int,
        file: Any = None,
    ) -> None:
        # not super().__init__: its signature and fields differ between Python versions
        self._loop = loop
        self._sockets: Any = sockets  # None once closed
        self._protocol_factory = protocol_factory
        self._layer = layer
        self._backlog = backlog
        self._file = file  # what its socket left in the file system, to be removed; or None
        self._acceptors: list[Acceptor] = []  # while serving
        self._clients: set[Any] = set()  # the driver holds them as long
        self._waiters: Any = []  # None once closed and without connections
        self._serving_forever: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; empty once closed."""
        if self._sockets is None:
            return ()
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets)

    def get_loop(self) -> Any:
        """Return the loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Say whether connections are accepted."""
        return bool(self._acceptors)

    async def start_serving(self) -> None:
        """Start to accept connections; harmless when repeated."""
        self.listen()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; then close the server."""
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self.listen()
        self._serving_forever = self._loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever = None

    def listen(self) -> None:
        """Listen on every socket and hand it to the driver."""
        if self._acceptors:
            return
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._loop._check_closed()
        for sock in self._sockets:
            sock.listen(self._backlog)
        try:
            for sock in self._sockets:
                self._acceptors.append(Acceptor(self._loop, self, sock))
        except BaseException:
            self._stop_accepting()
            raise

    def close(self) -> None:
        """Stop accepting; connections that are open stay open."""
        sockets = self._sockets
        if sockets is None:
            return
        self._sockets = None
        self._stop_accepting()
        for sock in sockets:
            sock.close()
        if self._file is not None:
            self._file.remove()
        forever = self._serving_forever
        if forever is not None and not forever.done():
            self._serving_forever = None
            forever.cancel()
        if not self._clients:
            self._wake_waiters()

    def _stop_accepting(self) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        self._acceptors = []

    def close_clients(self) -> None:
        """Close every open connection; what is buffered is sent."""
        for transport in list(self._clients):
            transport.face().close()

    def abort_clients(self) -> None:
        """Abort every open connection; what is buffered is dropped."""
        for transport in list(self._clients):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its connections are gone.

        On Python 3.11 it returns at once when the server is closed, as that Python's asyncio does.
        """
        if self._waiters is None or (self._sockets is None and not _WAITS_FOR_CONNECTIONS):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _attach(self, transport: Any) -> None:
        self._clients.add(transport)

    def _detach(self, transport: Any) -> None:
        self._clients.discard(transport)
        for acceptor in self._acceptors:
            acceptor.descriptor_freed()
        if not self._clients and self._sockets is None:
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)


class Acceptor(Listener):
    """One listening socket; makes a transport of each connection that comes."""

    def __init__(self, loop: Any, server: Server, sock: socket.socket) -> None:
        Listener.__init__(self)
        self._loop = loop
        self._server = server
        self._context = current_context()
        self._resting: Any = None  # timer while out of descriptors
        self._rest = _FIRST_REST  # seconds; how long the next one is
        self._failed_at: float | None = None  # loop's time of the last failure
        self.sock = sock
        self.batch = max(1, server._backlog)
        _set_nodelay(sock)  # Linux hands it down to what is accepted
        loop._driver.attach(self, sock.fileno())
        hold(sock)
        try:
            loop._driver.start_accepting(self)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Leave the driver; the socket is the server's to close."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._loop._driver.detach(self)
        let_go(self.sock)

    def accepted(self, fd: int, peer: Any) -> None:
        """Make a protocol and a transport for a connection (called by the driver)."""
        self._rest = _FIRST_REST
        context = self._context.copy()
        try:
            protocol = context.run(self._server._protocol_factory)
            wrap(self._loop, fd, protocol, context, self._server, peer, self._server._layer)
        except (SystemExit, KeyboardInterrupt):
            _close_number(self._loop, fd)
            raise
        except BaseException as exc:
            _close_number(self._loop, fd)
            self._loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                }
            )

    def accept_failed(self, exc: OSError) -> None:
        """Rest, and report unless that was done (called by the driver)."""
        now = self._loop.time()
        before, self._failed_at = self._failed_at, now
        self._loop._driver.stop_accepting(self)
        self._take_rest()
        if before is None or now - before >= _QUIET:
            self._report(exc)

    def descriptor_freed(self) -> None:
        """Hear that there is a descriptor again."""
        if self._resting is not None:
            self._resting.cancel()
            self._go_on()

    def _go_on(self) -> None:
        self._resting = None
        if self.fd >= 0:
            try:
                self._loop._driver.start_accepting(self)
            except OSError:  # the lack is not over
                self._take_rest()

    def _take_rest(self) -> None:
        self._resting = self._loop.call_later(self._rest, self._go_on)
        self._rest = min(2 * self._rest, _LONGEST_REST)

    def _report(self, exc: OSError) -> None:
        if exc.errno not in _EXHAUSTED:
            logger.error("accept() on %r failed: %s", self.sock, exc)
            return
        self._loop.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": exc,
                "socket": trsock.TransportSocket(self.sock),
            }
        )


def _close_number(loop: Any, fd: int) -> None:
    """Close a descriptor that found no transport; one that did is the transport's."""
    owner = loop._driver.owner(fd)
    if owner is None or owner.kind == WATCH:  # a watch that its user forgot
        socket.socket(fileno=fd).close()


def _set_nodelay(sock: socket.socket) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass  # not TCP (MPTCP, SCTP): then there is no Nagle algorithm to switch off
