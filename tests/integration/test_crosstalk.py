"""No byte reaches a connection that it was not sent to.

Every connection has a token; every message carries its connection's token, its number and a body
made of the token. While messages go back and forth, connections are closed, aborted and reset at
random, by their own callbacks and by those of others in the middle of a turn; descriptors are taken
and given back at once by sockets that the loop knows nothing of; watches are moved from socket to
socket under the same number, or left behind on numbers whose sockets are closed. A token on the
wrong connection, a number out of order, a body with a foreign byte, a call after the last one and a
watch that is woken without cause are all strays.

``TREADLE_CROSSTALK_MESSAGES`` sets how many messages are exchanged. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from typing import Any

import pytest

import treadle

FRAME = struct.Struct("!QII")  # token, number, size of the body
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
LONGEST = 12_500  # times the token in the body of a message: too long for the kernel's buffer
POPULATION = 300  # connections at a time
MESSAGES = int(
    os.environ.get("TREADLE_CROSSTALK_MESSAGES") or (80_000 if treadle.COMPILED else 30_000)
)


class Ledger:
    """What was sent and received, and what arrived where it should not."""

    def __init__(self, loop: Any, target: int, seed: int) -> None:
        self.loop = loop
        self.random = random.Random(seed)
        self.target = target
        self.received = 0  # messages verified by a client
        self.opened = 0  # clients
        self.probed = 0  # times that a watch was woken rightly
        self.bound: set[int] = set()  # tokens that a server end has taken
        self.strays: list[str] = []
        self.ends: list[End] = []
        self.probes: list[Probe] = []
        self.litter: list[socket.socket] = []
        self.done = loop.create_future()

    def stray(self, text: str) -> None:
        self.strays.append(text)
        self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def mischief(self, end: End) -> None:
        """Do something that could make one connection's event another's."""
        dice = self.random.random()
        if dice < 0.01:
            end.transport.abort()
        elif dice < 0.02:
            end.transport.close()
        elif dice < 0.05:
            victim = self.random.choice(self.ends)
            self.random.choice((victim.transport.abort, victim.transport.close, victim.reset))()
        elif dice < 0.08:
            self.take_numbers()
        elif dice < 0.09:
            self.leave_watch_behind()
        elif dice < 0.11:
            end.transport.pause_reading()
            self.loop.call_soon(end.transport.resume_reading)
        elif dice < 0.15:
            self.random.choice(self.probes).move()

    def take_numbers(self) -> None:
        """Occupy the numbers that were freed last, and free others."""
        self.litter.append(socket.socket())
        while len(self.litter) > 5:
            self.litter.pop(self.random.randrange(len(self.litter))).close()

    def leave_watch_behind(self) -> None:
        """Watch a socket and close it without telling the loop.

        The watch is one of the number: being told of the number's next socket is all right, as long
        as that one's owner is told as well.
        """
        ours, theirs = socket.socketpair()
        self.loop.add_reader(ours.fileno(), int)
        theirs.send(b"x")
        ours.close()
        theirs.close()


class Probe:
    """A watched socket that moves to other numbers, or to another socket of the same number."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.word = b""
        self.open()

    def open(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.word = b""  # nothing said yet
        self.ledger.loop.add_reader(self.ours, self.readable, self.ours)
        if self.ledger.random.random() < 0.5:
            self.speak(self.ours)
        else:  # in the next turn; until then only the event of a former socket could wake it
            self.ledger.loop.call_soon(self.ledger.loop.call_soon, self.speak, self.ours)

    def speak(self, listener: socket.socket) -> None:
        if listener is self.ours and listener.fileno() >= 0 and not self.word:
            self.word = self.ledger.random.randbytes(8)
            self.theirs.send(self.word)

    def readable(self, watched: socket.socket) -> None:
        if watched is not self.ours:
            self.ledger.stray("a watch was told after remove_reader")
            return
        try:
            word = watched.recv(100)
        except BlockingIOError:
            self.ledger.stray("a watch was woken without cause")
            return
        if word != self.word:
            self.ledger.stray("a watch received what was not sent to it")
        self.ledger.probed += 1
        self.word = b""
        self.ledger.loop.call_soon(self.speak, watched)
        if self.ledger.random.random() < 0.2:
            self.move()

    def move(self) -> None:
        """Give the numbers back with a word unread, and take new ones: often the same two."""
        self.close()
        if self.ledger.random.random() < 0.5:
            self.ledger.take_numbers()
        self.open()

    def close(self) -> None:
        self.ledger.loop.remove_reader(self.ours)
        self.ours.close()
        self.theirs.close()


class End:
    """What the two ends of a connection have in common."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.pending = b""
        self.transport: Any = None
        self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ledger.ends.append(self)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            self.ledger.stray("data after connection_lost")
        data = self.pending + data
        begin = 0
        while begin + FRAME.size <= len(data):
            token, number, size = FRAME.unpack_from(data, begin)
            end = begin + FRAME.size + size
            if size > 8 * LONGEST:
                self.ledger.stray(f"no message has {size} bytes")
            elif end > len(data):
                break
            self.frame(token, number, data[begin + FRAME.size : end])
            begin = end
        self.pending = data[begin:]
        if not self.ledger.done.done():
            self.ledger.mischief(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1
        if self.lost > 1:
            self.ledger.stray("connection_lost twice")
        self.ledger.ends.remove(self)

    def reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RESET
        )
        self.transport.abort()

    def frame(self, token: int, number: int, body: bytes) -> None:
        raise NotImplementedError


class Buffered(asyncio.BufferedProtocol):
    """Receives into a buffer that is too small for some of the messages."""

    buffer: bytearray | None = None

    def get_buffer(self, sizehint: int) -> bytearray:
        if self.buffer is None:
            self.buffer = bytearray(1000)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self.buffer is not None
        self.data_received(bytes(self.buffer[:nbytes]))  # type: ignore[attr-defined]


class ServerEnd(End, asyncio.Protocol):
    """Binds the first token that comes, and sends back every message that carries it."""

    token: int | None = None
    number = 0

    def frame(self, token: int, number: int, body: bytes) -> None:
        if self.token is None:
            if token in self.ledger.bound:
                self.ledger.stray(f"token {token} came through a second connection")
            self.ledger.bound.add(token)
            self.token = token
        if token != self.token:
            self.ledger.stray(f"token {token} came to the connection of {self.token}")
        if number != self.number:
            self.ledger.stray(f"number {number} came to {self.token} instead of {self.number}")
        self.number += 1
        self.transport.write(FRAME.pack(token, number, len(body)) + body)


class ClientEnd(End, asyncio.Protocol):
    """Sends numbered messages, one to three at a time, and checks what comes back."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        ledger.opened += 1
        self.token = ledger.opened
        self.sent = 0
        self.number = 0
        self.closed = ledger.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.send()

    def body(self, number: int) -> bytes:
        """Return the body of a message: mostly short, now and then too long to be sent at once."""
        size = LONGEST if (self.token + number) % 200 == 0 else number % 8
        return self.token.to_bytes(8, "big") * size

    def send(self) -> None:
        frames = []
        for _ in range(self.ledger.random.randint(1, 3)):
            body = self.body(self.sent)
            frames.append(FRAME.pack(self.token, self.sent, len(body)) + body)
            self.sent += 1
        if self.ledger.random.random() < 0.5:
            self.transport.writelines(frames)
        else:
            self.transport.write(b"".join(frames))

    def frame(self, token: int, number: int, body: bytes) -> None:
        if token != self.token:
            self.ledger.stray(f"an answer to {token} came to {self.token}")
        if number != self.number:
            self.ledger.stray(f"answer {number} came to {self.token} instead of {self.number}")
        if body != self.body(number):
            self.ledger.stray(f"answer {number} came to {self.token} with another's bytes in it")
        self.number += 1
        self.ledger.received += 1
        if self.ledger.received >= self.ledger.target:
            self.ledger.finish()
        elif self.number == self.sent:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.closed.done():
            self.closed.set_result(None)


class BufferedServerEnd(Buffered, ServerEnd):
    pass


class BufferedClientEnd(Buffered, ClientEnd):
    pass


def server_end(ledger: Ledger) -> End:
    return ledger.random.choice((ServerEnd, BufferedServerEnd))(ledger)


def client_end(ledger: Ledger) -> End:
    return ledger.random.choice((ClientEnd, BufferedClientEnd))(ledger)


async def connected(loop: Any, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


async def keep_connected(ledger: Ledger, ports: tuple[int, int]) -> None:
    """Have one connection after the other until the target is reached."""
    loop = ledger.loop
    while not ledger.done.done():
        port = ledger.random.choice(ports)
        try:
            if ledger.random.random() < 0.5:
                _, end = await loop.create_connection(lambda: client_end(ledger), "127.0.0.1", port)
            else:
                sock = await connected(loop, port)
                _, end = await loop.create_connection(lambda: client_end(ledger), sock=sock)
                if ledger.random.random() < 0.5:
                    sock.close()  # behind the transport's back
        except ConnectionError:
            continue
        await end.closed


async def accept_by_hand(ledger: Ledger, listener: socket.socket) -> None:
    """Serve a listening socket without a server: accept, then connect_accepted_socket."""
    while True:
        conn, _ = await ledger.loop.sock_accept(listener)
        try:
            await ledger.loop.connect_accepted_socket(lambda: server_end(ledger), conn)
        except ConnectionError:
            conn.close()


async def exchange(target: int, seed: int) -> Ledger:
    """Exchange `target` messages amid closing and reopening; return the ledger."""
    loop = asyncio.get_running_loop()
    ledger = Ledger(loop, target, seed)
    loop.set_exception_handler(lambda _, context: ledger.stray(f"reported: {context}"))
    ledger.probes = [Probe(ledger) for _ in range(10)]
    server = await loop.create_server(lambda: server_end(ledger), "127.0.0.1", 0, backlog=512)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        for sock in (server.sockets[0], listener):  # what is accepted gets these small buffers
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.setblocking(False)
        ports = (server.sockets[0].getsockname()[1], listener.getsockname()[1])
        tasks = [loop.create_task(accept_by_hand(ledger, listener))]
        tasks += [loop.create_task(keep_connected(ledger, ports)) for _ in range(POPULATION)]
        await asyncio.wait([ledger.done, *tasks], return_when=asyncio.FIRST_COMPLETED)
        ledger.strays += [repr(task.exception()) for task in tasks if failed(task)]
        ledger.finish()
        for end in list(ledger.ends):
            end.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        server.close()
        while ledger.ends:
            await asyncio.sleep(0)
    for probe in ledger.probes:
        probe.close()
    for sock in ledger.litter:
        sock.close()
    return ledger


def failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def check(target: int, seed: int) -> None:
    ledger = treadle.run(exchange(target, seed))
    assert ledger.strays == [], f"seed {seed}"
    assert ledger.received >= target
    assert ledger.opened > POPULATION, "connections were to be reopened"
    assert ledger.probed > POPULATION, "watches were to be woken"


@pytest.mark.parametrize("seed", [1, 2])
def test_no_message_reaches_a_connection_that_it_was_not_sent_to(seed: int) -> None:
    check(MESSAGES // 2, seed)


@pytest.mark.slow
def test_a_million_messages_reach_the_connections_that_they_were_sent_to() -> None:
    check(1_000_000, random.randrange(2**32))
