"""What the Python generators send: what bench/c/load.c, load_udp.c and handshakes.c do."""

import itertools
import selectors
import socket
import ssl
import time
from collections.abc import Callable

from bench.load import STALL_SECONDS, Load, LoadError, dial, payload, stamped
from bench.tls import client_context

RESEND_NS = 200_000_000
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """One connection with one message in flight."""

    def __init__(self, number: int, opened: socket.socket, message: bytes) -> None:
        opened.setblocking(False)
        self.socket = opened
        self._number = number
        self._ordinals = itertools.count()
        self._payload = message

    def begin(self, now: int) -> None:
        """Start sending the next message."""
        self._message = stamped(self._payload, self._number, next(self._ordinals))
        self._unsent = memoryview(self._message)
        self._returned = bytearray()
        self.started = now
        self.push()

    @property
    def events(self) -> int:
        """What the connection waits for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def push(self) -> None:
        """Send what the kernel takes of the rest."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except NOT_NOW:
            pass

    def pull(self) -> bool:
        """Receive; True when the whole message came back, unchanged."""
        try:
            while len(self._returned) < len(self._message):
                got = self.socket.recv(262144)
                if not got:
                    raise LoadError("the server closed a connection")
                self._returned += got
        except NOT_NOW:
            pass
        if len(self._returned) > len(self._message) - len(self._unsent):
            raise LoadError("more bytes came back than were sent")
        if len(self._returned) < len(self._message):
            return False
        if self._returned != self._message:
            raise LoadError("other bytes came back than were sent")
        return True


class StreamLoad:
    """Connections, those that are active in a closed loop, and how long each message took."""

    def __init__(
        self,
        where: str,
        connections: str,
        active: str,
        size: str,
        wrap: Callable[[socket.socket], socket.socket] = lambda opened: opened,
    ) -> None:
        message = payload(int(size))
        self.latencies: list[int] = []
        self.facts: dict[str, object] = {}
        self._selector = selectors.DefaultSelector()
        self._connections = [
            Connection(i, wrap(dial(where)), message) for i in range(int(connections))
        ]
        every = int(connections) // int(active)
        for connection in self._connections[::every][: int(active)]:
            connection.begin(time.monotonic_ns())
            self._selector.register(connection.socket, connection.events, connection)

    def run_until(self, end: int) -> None:
        while time.monotonic_ns() < end:
            ready = self._selector.select(STALL_SECONDS)
            if not ready:
                raise LoadError("the server sent nothing for 5 seconds")
            for key, events in ready:
                self._serve(key.data, key.events, events)

    def _serve(self, connection: Connection, watched: int, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.push()
        if events & selectors.EVENT_READ and connection.pull():
            now = time.monotonic_ns()
            self.latencies.append(now - connection.started)
            connection.begin(now)
        if connection.events != watched:
            self._selector.modify(connection.socket, connection.events, connection)


def tls_load(where: str, connections: str, active: str, size: str) -> StreamLoad:
    return StreamLoad(where, connections, active, size, client_context().wrap_socket)


class Line:
    """One socket with one datagram in flight."""

    def __init__(self, number: int, opened: socket.socket, message: bytes) -> None:
        opened.setblocking(False)
        self.socket = opened
        self._number = number
        self._ordinals = itertools.count()
        self._payload = message
        self._datagram = b""

    def begin(self, now: int) -> None:
        self._last, self._datagram = (
            self._datagram,
            stamped(self._payload, self._number, next(self._ordinals)),
        )
        self.started = now
        self.send(now)

    def send(self, now: int) -> None:
        """A full buffer is one more way to get lost."""
        self.sent = now
        try:
            self.socket.send(self._datagram)
        except OSError:
            pass

    def pull(self) -> bool:
        """True when the datagram came back, False when something late or nothing did."""
        try:
            got = self.socket.recv(65536)
        except OSError:
            return False
        if got == self._datagram:
            return True
        if got != self._last:
            raise LoadError("another datagram came back than was sent")
        return False


class DatagramLoad:
    """Sockets in a closed loop; what does not come back in time is sent again."""

    def __init__(self, where: str, sockets: str, size: str) -> None:
        message = payload(int(size))
        self.latencies: list[int] = []
        self.facts: dict[str, object] = {"resent": 0}
        self._resent = 0
        self._selector = selectors.DefaultSelector()
        self._lines = [
            Line(i, dial(where, socket.SOCK_DGRAM), message) for i in range(int(sockets))
        ]
        for line in self._lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)
            line.begin(time.monotonic_ns())

    def run_until(self, end: int) -> None:
        while (now := time.monotonic_ns()) < end:
            for key, _ in self._selector.select(RESEND_NS / 4e9):
                if key.data.pull():
                    back = time.monotonic_ns()
                    self.latencies.append(back - key.data.started)
                    key.data.begin(back)
            self._repeat(now)

    def _repeat(self, now: int) -> None:
        for line in self._lines:
            if now - line.sent >= RESEND_NS:
                if now - line.started > STALL_SECONDS * 1e9:
                    raise LoadError("the server sent nothing for 5 seconds")
                self._resent += 1
                self.facts["resent"] = self._resent
                line.send(now)


class Handshakes:
    """One TLS connection after the other, each with a full handshake and one byte."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._context = client_context()
        self.latencies: list[int] = []
        self.facts: dict[str, object] = {}

    def run_until(self, end: int) -> None:
        while (now := time.monotonic_ns()) < end:
            self._shake_hands()
            self.latencies.append(time.monotonic_ns() - now)

    def _shake_hands(self) -> None:
        opened = dial(self._where)
        opened.settimeout(STALL_SECONDS)
        with self._context.wrap_socket(opened) as connection:
            connection.sendall(b"\n")
            if connection.recv(1) != b"\n":
                raise LoadError("a byte did not come back")
            connection.unwrap()


LOADS: dict[str, Callable[..., Load]] = {
    "load": StreamLoad,
    "load_tls": tls_load,
    "load_udp": DatagramLoad,
    "handshakes": Handshakes,
}
