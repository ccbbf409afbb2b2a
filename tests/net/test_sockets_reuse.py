"""Descriptors are opened, used by ``sock_*`` calls, closed and used again at random.

Every line has a stream of bytes of its own. What a call receives must continue the stream of its
line; a byte that does not is a stray. Lines are closed while calls wait on them, with and without
telling the loop; their numbers are taken by other lines, by sockets that the loop knows nothing of,
by callbacks and by transports; copies of their descriptors stay open. A call on a closed socket
must fail when the number is used again, a call on an open one must get all that was sent: whoever
waits in the end hangs.

``TREADLE_REUSE_STEPS`` sets how much happens. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket

import pytest

from tests.net.wire import listening

pytestmark = [pytest.mark.every_driver, pytest.mark.treadle_only]

STEPS = int(os.environ.get("TREADLE_REUSE_STEPS") or 1500)
POPULATION = 25
LENGTH = 1 << 16  # of a stream, after which it begins anew


class Line:
    """A connection: our end is served by calls, the other one by the test itself."""

    def __init__(self, world, token):
        self.world = world
        self.token = token
        self.stream = random.Random(token).randbytes(LENGTH) * 2
        self.sent = self.received = 0  # towards our end
        self.answered = self.heard = 0  # from it
        self.ours, self.peer = world.make_pair()
        self.number = self.ours.fileno()
        self.tasks = []
        self.receiving = []  # tasks
        self.answering = None  # the last task that did
        self.ended = False  # the peer has closed

    def piece(self, position, size):
        return self.stream[position % LENGTH :][:size]

    def check(self, data, position, who):
        if data != self.piece(position, len(data)):
            self.world.strays.append(f"{who} of line {self.token} at {position}: {data[:20]!r}")

    def take(self, data):
        self.check(data, self.received, "a receiver")
        self.received += len(data)

    async def receive(self):
        """Receive until the end of the stream."""
        buffer = bytearray(5000)
        loop, sock = self.world.loop, self.ours
        while True:
            if self.world.random.random() < 0.5:
                data = await loop.sock_recv(sock, self.world.random.choice((1, 100, 5000)))
            else:
                data = bytes(buffer[: await loop.sock_recv_into(sock, buffer)])
            if not data:
                return
            self.take(data)

    async def answer(self):
        size = self.world.random.choice((1, 1000, 30_000))
        data = self.piece(self.answered, size)
        self.answered += len(data)
        await self.world.loop.sock_sendall(self.ours, data)

    def start(self, coroutine):
        self.tasks.append(self.world.loop.create_task(coroutine))
        return self.tasks[-1]

    def reply(self):
        if self.answering is None or self.answering.done():
            self.answering = self.start(self.answer())

    def start_receiver(self):
        self.receiving.append(self.start(self.receive()))

    def change_receiver(self):
        self.world.random.choice(self.receiving).cancel()
        self.start_receiver()

    def speak(self):
        with contextlib.suppress(OSError):
            self.sent += self.peer.send(self.piece(self.sent, self.world.random.randrange(1, 9000)))

    def listen(self):
        """Hear what has been answered; what a cancelled call has sent is anybody's guess."""
        with contextlib.suppress(OSError):
            data = self.peer.recv(LENGTH // 2)
            self.check(data, self.heard, "the peer")
            self.heard += len(data)

    def finish(self):
        """Send a last word and nothing after it; whatever the peer has not heard is left there."""
        self.speak()
        self.peer.shutdown(socket.SHUT_WR)
        if self.answering is not None:
            self.answering.cancel()

    def end(self):
        self.ended = True
        self.peer.close()


class Heir(asyncio.Protocol):
    """Goes on with a line whose socket was given to a transport."""

    def __init__(self, line):
        self.line = line
        self.gone = line.world.loop.create_future()

    def data_received(self, data):
        self.line.take(data)

    def connection_lost(self, exc):
        self.gone.set_result(None)


class World:
    def __init__(self, loop, listener, seed):
        self.loop = loop
        self.listener = listener
        self.random = random.Random(seed)
        self.strays = []
        self.lines = []
        self.deserted = []  # lines whose socket was closed
        self.heirs = []
        self.litter = []
        self.copies = []
        self.made = 0
        self.habits = (
            (Line.speak, 45),
            (Line.reply, 15),
            (Line.listen, 15),
            (Line.change_receiver, 7),
            (self.desert, 6),
            (self.bequeath, 3),
            (self.call_back, 3),
            (self.litter_about, 4),
            (self.retire, 2),
        )

    def make_pair(self):
        if self.random.random() < 0.5:
            ours, theirs = socket.socketpair()
        else:
            theirs = socket.create_connection(self.listener.getsockname())
            ours, _ = self.listener.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        return ours, theirs

    def open(self):
        self.made += 1
        line = Line(self, self.made)
        self.lines.append(line)
        for _ in range(self.random.choice((1, 1, 2))):
            line.start_receiver()

    def desert(self, line):
        """Close a socket while calls wait on it."""
        self.lines.remove(line)
        self.deserted.append(line)
        if self.random.random() < 0.3:
            self.copies.append(os.dup(line.number))
        if self.random.random() < 0.3:
            with contextlib.suppress(RuntimeError):
                self.loop.remove_reader(line.ours)
        line.ours.close()
        if self.random.random() < 0.5:
            line.peer.close()
        if self.random.random() < 0.7:
            self.open()

    def bequeath(self, line):
        """Give a socket to a transport while calls wait on it."""
        self.lines.remove(line)
        heir = Heir(line)
        self.heirs.append(heir)
        line.start(self.loop.create_connection(lambda: heir, sock=line.ours))

    def retire(self, line):
        """Have the peer close."""
        self.lines.remove(line)
        self.deserted.append(line)
        line.end()

    def litter_about(self, _):
        """Take numbers for sockets that the loop knows nothing of."""
        self.litter.append(socket.socket())
        while len(self.litter) > 4:
            self.litter.pop(self.random.randrange(len(self.litter))).close()

    def call_back(self, line):
        """Have callbacks on the same descriptor for a while."""

        def readable():
            if self.random.random() < 0.5:
                self.loop.remove_reader(number)

        number = line.number
        self.loop.add_reader(number, readable)

    def act(self):
        """Do something to some line."""
        if len(self.lines) < POPULATION:
            self.open()
        actions, weights = zip(*self.habits, strict=True)
        [action] = self.random.choices(actions, weights)
        action(self.random.choice(self.lines))

    async def settle_accounts(self):
        """End each line, use each deserted number again, and return what all tasks came to."""
        for line in self.lines:
            line.finish()
        living = [task for line in self.lines for task in line.tasks]
        results = await asyncio.gather(*living, return_exceptions=True)
        for line in self.lines:
            if line.received != line.sent:
                self.strays.append(f"line {line.token} got {line.received} of {line.sent}")
            self.loop.remove_reader(line.number)
        for line in self.everyone():
            line.end()
        for heir in self.heirs:
            await heir.gone
        await self.haunt()
        others = [task for line in self.everyone() for task in line.tasks if task not in living]
        return results + await asyncio.gather(*others, return_exceptions=True)

    async def haunt(self):
        """Use every number on which somebody may wait."""
        self.free_numbers()
        for line in self.deserted:
            if line.ours.fileno() >= 0:
                continue
            spare = []
            while True:
                sock = socket.socket(type=socket.SOCK_DGRAM)
                sock.setblocking(False)
                spare.append(sock)
                if sock.fileno() >= line.number:
                    break
            for sock in spare:
                if sock.fileno() == line.number:
                    task = self.loop.create_task(self.loop.sock_recvfrom(sock, 1))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
            for sock in spare:
                sock.close()

    def everyone(self):
        """All lines that there have been."""
        return self.lines + self.deserted + [heir.line for heir in self.heirs]

    def close(self):
        for line in self.everyone():
            line.ours.close()
            line.peer.close()
        self.free_numbers()

    def free_numbers(self):
        """Close what only occupies numbers."""
        while self.litter:
            self.litter.pop().close()
        while self.copies:
            os.close(self.copies.pop())


@pytest.mark.parametrize("seed", range(4))
async def test_no_byte_goes_astray_and_nobody_hangs(loop, seed):
    with listening() as listener:
        world = World(loop, listener, seed)
        try:
            for _ in range(STEPS):
                world.act()
                if world.random.random() < 0.6:
                    await asyncio.sleep(0)
                assert not world.strays, f"seed {seed}"
            results = await world.settle_accounts()
        finally:
            world.close()
    assert not world.strays, f"seed {seed}"
    expected = (OSError, RuntimeError, asyncio.CancelledError, type(None), tuple)
    assert [result for result in results if not isinstance(result, expected)] == []
    await asyncio.sleep(0)
