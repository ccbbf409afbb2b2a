"""What the programs under fault are made of, and what must hold of them whatever fails.

Each client has a token and sends messages that are made of it; the server echoes. Each end checks
what it receives against everything that the client has sent: it may only be the beginning of that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

TOKEN = 4  # bytes
SIZE = 48  # bytes of a short message


def message(token: bytes, ordinal: int, size: int) -> bytes:
    """A message of `size` bytes that no other client and no other ordinal has."""
    unit = token + ordinal.to_bytes(2, "big")
    return (unit * (size // len(unit) + 1))[:size]


class World:
    """What one run of a program leaves to be judged."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.wrong: list[str] = []  # what must never happen
        self.errors: list[BaseException] = []  # what was raised to the program
        self.sent: dict[bytes, bytearray] = {}  # token -> what that client has sent so far
        self.datagrams: set[bytes] = set()  # that have been sent, maybe more than once
        self.bound: set[bytes] = set()  # tokens that arrived at a server end
        self.ends: list[Any] = []  # protocols that were connected
        self.finished = 0  # clients that got back all that they sent
        self.clients = 0

    def new_token(self) -> bytes:
        self.clients += 1
        token = self.clients.to_bytes(2, "big") + b"\xfe\xed"
        self.sent[token] = bytearray()
        return token

    def check_at_client(self, token: bytes, received: bytes) -> None:
        if not self.sent[token].startswith(received):
            self.wrong.append(f"client {token.hex()} received what it had not sent")

    def check_at_server(self, received: bytes) -> None:
        if not any(sent.startswith(received) for sent in self.sent.values()):
            self.wrong.append("a server received what no client had sent")

    def check_datagram(self, token: bytes, data: bytes) -> None:
        """Check what arrived at the client of this token, or (if it is empty) at a server."""
        if data not in self.datagrams or not data.startswith(token):
            self.wrong.append(f"a datagram came to {token.hex() or 'a server'} from nowhere")

    def bind(self, received: bytes) -> None:
        """Note that a server end has heard of a client; each may have one."""
        token = bytes(received[:TOKEN])
        if len(token) < TOKEN:
            return
        if token in self.bound:
            self.wrong.append(f"two servers received from client {token.hex()}")
        self.bound.add(token)

    async def attempt(self, coro: Any) -> Any:
        """Await what a fault may end with an OSError; return None then."""
        try:
            return await coro
        except (OSError, EOFError) as exc:
            self.errors.append(exc)
            return None


class End:
    """A protocol that notes how often it is told what."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.transport: Any = None
        self.received = bytearray()
        self.made = 0
        self.lost = 0
        self.paused = False
        self.ended = False  # eof_received was called
        self.closed = world.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.made += 1
        self.transport = transport
        self.world.ends.append(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1
        if not (exc is None or isinstance(exc, OSError)):
            self.world.wrong.append(f"connection_lost({exc!r})")
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        if self.paused:
            self.world.wrong.append("paused twice")
        self.paused = True

    def resume_writing(self) -> None:
        if not self.paused:
            self.world.wrong.append("resumed without a pause")
        self.paused = False

    def data_received(self, data: bytes) -> None:
        if not data or not self.made or self.lost or self.ended:
            self.world.wrong.append("data out of turn")
        self.received += data
        self.heard(bytes(data))

    def eof_received(self) -> bool | None:
        if self.ended or self.lost:
            self.world.wrong.append("the end of the stream out of turn")
        self.ended = True
        return self.heard_end()

    def heard(self, data: bytes) -> None:
        raise NotImplementedError

    def heard_end(self) -> bool | None:
        return None


class Buffered(asyncio.BufferedProtocol):
    """Receives into a buffer that is smaller than some messages."""

    buffer: memoryview | None = None  # no bytearray: asyncio's TLS would slice, and copy, it

    def get_buffer(self, sizehint: int) -> memoryview:
        if self.buffer is None:
            self.buffer = memoryview(bytearray(700))
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self.buffer is not None
        self.data_received(bytes(self.buffer[:nbytes]))  # type: ignore[attr-defined]


class EchoEnd(End, asyncio.Protocol):
    """Sends back what comes, and after the end of the stream the rest of it."""

    def heard(self, data: bytes) -> None:
        if len(self.received) >= TOKEN > len(self.received) - len(data):
            self.world.bind(self.received)
        self.world.check_at_server(self.received)
        if self.paused:
            self.transport.pause_reading()
        self.transport.writelines([data[:10], data[10:]])

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()


class TalkEnd(End, asyncio.Protocol):
    """Sends a message of each size, each after the echo of the one before; then ends.

    `ending` is the name of the method by which it does: close, abort, or write_eof, after which it
    waits for the other end.
    """

    def __init__(self, world: World, sizes: tuple[int, ...], ending: str) -> None:
        super().__init__(world)
        self.token = world.new_token()
        self.sizes = sizes
        self.ending = ending
        self.ordinal = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.next()

    def next(self) -> None:
        if self.ordinal < len(self.sizes):
            data = message(self.token, self.ordinal, self.sizes[self.ordinal])
            self.ordinal += 1
            self.world.sent[self.token] += data
            self.transport.write(data)
        else:
            self.world.finished += 1
            getattr(self.transport, self.ending)()

    def heard(self, data: bytes) -> None:
        self.world.check_at_client(self.token, self.received)
        if len(self.received) == len(self.world.sent[self.token]):
            self.next()


class BufferedEchoEnd(Buffered, EchoEnd):
    pass


class BufferedTalkEnd(Buffered, TalkEnd):
    pass


class PipeEnd(End, asyncio.Protocol):
    """An end of a pipe; what comes out is the beginning of what its client has written."""

    def __init__(self, world: World, token: bytes) -> None:
        super().__init__(world)
        self.token = token

    def heard(self, data: bytes) -> None:
        self.world.check_at_client(self.token, self.received)


class DatagramEnd(asyncio.DatagramProtocol):
    """A protocol for datagrams that notes how often it is told what; `heard` does the rest."""

    def __init__(self, world: World, heard: Callable[[DatagramEnd, bytes, Any], None]) -> None:
        self.world = world
        self.heard = heard
        self.transport: Any = None
        self.made = 0
        self.lost = 0
        self.closed = world.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.made += 1
        self.transport = transport
        self.world.ends.append(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1
        if not (exc is None or isinstance(exc, OSError)):
            self.world.wrong.append(f"connection_lost({exc!r})")
        if not self.closed.done():
            self.closed.set_result(None)

    def error_received(self, exc: BaseException) -> None:
        if not isinstance(exc, OSError):
            self.world.wrong.append(f"error_received({exc!r})")
        self.world.errors.append(exc)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.made or self.lost:
            self.world.wrong.append("a datagram out of turn")
        self.heard(self, data, addr)


def listener() -> socket.socket:
    """A non-blocking listening socket on a port that the kernel chose."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
    except BaseException:
        sock.close()
        raise
    return sock
