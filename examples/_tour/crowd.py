"""Chapter 7: a server and thousands of clients in one process, every answer verified.

Both ends of every connection live here, so each client costs two descriptors. Clients connect in
batches, because a server's queue of connections that it has not accepted yet (its backlog) is
short; and they are protocols, not coroutines, because that is the cheapest way to hold a
connection that is quiet most of the time.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

from .lines import LineProtocol
from .listening import listening
from .scale import Scale
from .stage import Bar, Figures, Stage, TourFailed, check

TITLE = "7 · A crowd"
EXPLANATION = """
    Because a waiting connection costs a little memory and no thread, one process can hold
    thousands of them. Here a server and all its clients share one thread; every client sends
    messages with its own number in them, and verifies that the answers are its own.
"""

BATCH = 250
BACKLOG = 1024
RESERVE = 100
"""Descriptors that are left for everything else: standard streams, the loop, imports."""

PATIENCE = 60.0
"""Seconds after which a phase is given up: a tour must not hang."""


def most_clients() -> int:
    """How many clients the limit on open files allows; raises the soft limit if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # some systems allow less than they say: live with the old limit
    if soft == resource.RLIM_INFINITY:
        soft = wanted
    return max(0, (soft - RESERVE) // 2)


@dataclass
class Count:
    """What happened so far, over all connections."""

    open: int = 0  # connections that the server holds now
    most_open: int = 0
    accepted: int = 0
    answered: int = 0  # answers that arrived and were right
    finished: int = 0  # clients that have all their answers
    ended: int = 0  # clients whose connection is gone
    complaints: list[str] = field(default_factory=list)


class Desk(LineProtocol):
    """The server's side of one connection: `17 0` is answered by `17 0 seen`."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more is here."""
        super().connection_made(transport)
        self._count.accepted += 1
        self._count.open += 1
        self._count.most_open = max(self._count.most_open, self._count.open)

    def line_received(self, line: bytes) -> None:
        """Answer."""
        self.transport.write(line + b" seen\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """One fewer."""
        self._count.open -= 1


class Visitor(LineProtocol):
    """A client: sends its next message when the answer to the last one has come."""

    def __init__(self, count: Count, number: int, messages: int) -> None:
        self._count = count
        self._number = number
        self._messages = messages
        self._asked = 0

    def ask(self) -> None:
        """Send the next message."""
        self.transport.write(b"%d %d\n" % (self._number, self._asked))

    def line_received(self, line: bytes) -> None:
        """Verify the answer; then ask again, or be done."""
        if line != b"%d %d seen" % (self._number, self._asked):
            self._count.complaints.append(f"client {self._number} received {line!r}")
            self.transport.abort()
            return
        self._count.answered += 1
        self._asked += 1
        if self._asked < self._messages:
            self.ask()
        else:
            self._count.finished += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone; too early if there are answers missing."""
        self._count.ended += 1
        if self._asked < self._messages:
            self._count.complaints.append(f"client {self._number} lost its connection ({exc!r})")


@asynccontextmanager
async def following(bar: Bar, progress: Callable[[], int]) -> AsyncIterator[None]:
    """Fill `bar` as `progress()` grows, by looking now and then instead of at every step."""

    async def look() -> None:
        while True:
            bar.move_to(progress())
            await asyncio.sleep(0.05)

    bar.start()
    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        bar.move_to(progress())


async def until(reached: Callable[[], bool], count: Count, what: str) -> None:
    """Wait until `reached()`; give up at the first complaint or when patience ends."""
    give_up = perf_counter() + PATIENCE
    while not reached():
        check(not count.complaints, f"Wrong in the crowd: {'; '.join(count.complaints[:3])}.")
        check(perf_counter() < give_up, f"Not {what} within {PATIENCE:.0f} s: {count}.")
        await asyncio.sleep(0.005)


async def connect_all(count: Count, port: int, clients: int, messages: int) -> list[Visitor]:
    """Connect all clients, a batch at a time; returns when the server holds them all."""
    loop = asyncio.get_running_loop()
    visitors: list[Visitor] = []

    async def connect(number: int) -> None:
        def visitor() -> Visitor:
            return Visitor(count, number, messages)

        visitors.append((await loop.create_connection(visitor, "127.0.0.1", port))[1])

    try:
        for first in range(0, clients, BATCH):
            batch = range(first, min(first + BATCH, clients))
            await asyncio.gather(*(connect(number) for number in batch))
    except OSError as error:
        raise TourFailed(f"Client {len(visitors)} could not connect: {error}.") from error
    await until(lambda: count.open == clients, count, "all accepted")
    return visitors


async def talk(count: Count, visitors: list[Visitor]) -> None:
    """Every visitor exchanges its messages; returns when the last answer has come."""
    for index, visitor in enumerate(visitors):
        visitor.ask()
        if index % BATCH == BATCH - 1:
            await asyncio.sleep(0)  # let the loop turn: answers to the first may be there
    await until(lambda: count.finished == len(visitors), count, "all answered")


async def show(stage: Stage, scale: Scale) -> Figures:
    """Connect everybody, let everybody talk, say goodbye to everybody; time each."""
    loop = asyncio.get_running_loop()
    count = Count()
    clients, total = scale.clients, scale.clients * scale.messages
    server = await loop.create_server(lambda: Desk(count), "127.0.0.1", 0, backlog=BACKLOG)
    async with listening(server) as port:
        with stage.bars() as bars:
            connecting, talking = bars.add("connected", clients), bars.add("answers", total)
            leaving = bars.add("said goodbye", clients)
            begin = perf_counter()
            async with following(connecting, lambda: count.open):
                visitors = await connect_all(count, port, clients, scale.messages)
            connected = perf_counter()
            async with following(talking, lambda: count.answered):
                await talk(count, visitors)
            talked = perf_counter()
            async with following(leaving, lambda: min(count.ended, clients - count.open)):
                for visitor in visitors:
                    visitor.transport.close()
                await until(lambda: count.ended == clients and not count.open, count, "all gone")
    check(not count.complaints, f"Wrong in the crowd: {'; '.join(count.complaints[:3])}.")
    check(count.most_open == clients, f"Only {count.most_open} were open at the same moment.")
    check(count.answered == total, f"{count.answered} answers of {total} came.")
    stage.say(
        f"[bold]{count.most_open:,} clients were open at the same moment[/bold] "
        f"({2 * count.most_open:,} sockets in one process); {total:,} answers, all verified, "
        f"at {total / (talked - connected):,.0f} per second."
    )
    if clients == most_clients():
        stage.say("That is as many as the limit on open files allows here (ulimit -n).")
    return {
        "clients": clients,
        "open_at_once": count.most_open,
        "messages": total,
        "verified": count.answered,
        "connect_s": round(connected - begin, 3),
        "talk_s": round(talked - connected, 3),
    }
