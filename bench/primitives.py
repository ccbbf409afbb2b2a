"""What programs wait with, one operation each: streams in memory, queues, locks, timeouts, groups.

Each program takes the names from the namespace that it is handed (`bench.loops.names`): asyncio's
own ones on every loop, and treadle's on treadle. It looks them up at each use, as programs do. What
is not named here, as `create_task` of the loop, is the loop's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from bench.loops import names
from bench.stopwatch import Micro, Program

Names = Any
"""A module with asyncio's public names."""

Body = Callable[[Names, int], Awaitable[None]]
"""Does n batches; everything in it counts."""

MESSAGE = b"x" * 63 + b"\n"

BUFFERED = 500
"""Messages that lie in a reader's buffer before the first is read: half of the default limit."""

CONTENDERS = 10

CHILDREN = 100
"""Tasks in a group, and awaitables gathered."""

NEVER_SECONDS = 10.0
"""A timeout that no operation comes near."""


@dataclass(frozen=True)
class Primitive:
    """A micro workload for any namespace."""

    body: Body
    what: str
    operations: int = 1
    """Operations in one batch."""

    def micro(self, loop: str) -> Micro:
        """The workload with the names that go with a loop."""
        return Micro(_timed(self.body, names(loop)), self.what, self.operations)


def _timed(body: Body, aio: Names) -> Program:
    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def main() -> float:
            start = perf_counter()
            await body(aio, n)
            return perf_counter() - start

        return loop.run_until_complete(main())

    return program


async def _trivial() -> None:
    pass


async def readline(aio: Names, n: int) -> None:
    reader = aio.StreamReader()
    data = MESSAGE * BUFFERED
    for _ in range(n):
        reader.feed_data(data)
        for _ in range(BUFFERED):
            await reader.readline()


async def readexactly(aio: Names, n: int) -> None:
    reader = aio.StreamReader()
    data = MESSAGE * BUFFERED
    size = len(MESSAGE)
    for _ in range(n):
        reader.feed_data(data)
        for _ in range(BUFFERED):
            await reader.readexactly(size)


async def queue(aio: Names, n: int) -> None:
    line = aio.Queue()
    for i in range(n):
        await line.put(i)
        await line.get()


async def queue_handoff(aio: Names, n: int) -> None:
    """Items go to and fro between two tasks, so that every get waits."""
    there, back = aio.Queue(), aio.Queue()

    async def echo() -> None:
        for _ in range(n):
            await back.put(await there.get())

    async def ask() -> None:
        for i in range(n):
            await there.put(i)
            await back.get()

    await aio.gather(ask(), echo())


async def lock(aio: Names, n: int) -> None:
    mutex = aio.Lock()
    for _ in range(n):
        async with mutex:
            pass


async def semaphore(aio: Names, n: int) -> None:
    permits = aio.Semaphore(CONTENDERS)
    for _ in range(n):
        async with permits:
            pass


async def lock_contended(aio: Names, n: int) -> None:
    mutex = aio.Lock()

    async def contend() -> None:
        for _ in range(n):
            async with mutex:
                await aio.sleep(0)

    await aio.gather(*[contend() for _ in range(CONTENDERS)])


async def event(aio: Names, n: int) -> None:
    ping, pong = aio.Event(), aio.Event()

    async def play(mine: Any, theirs: Any) -> None:
        for _ in range(n):
            await mine.wait()
            mine.clear()
            theirs.set()

    ping.set()
    await aio.gather(play(ping, pong), play(pong, ping))


async def sleep(aio: Names, n: int) -> None:
    for _ in range(n):
        await aio.sleep(0)


async def timeout(aio: Names, n: int) -> None:
    for _ in range(n):
        async with aio.timeout(NEVER_SECONDS):
            pass


async def wait_for(aio: Names, n: int) -> None:
    for _ in range(n):
        await aio.wait_for(_trivial(), NEVER_SECONDS)


async def task_group(aio: Names, n: int) -> None:
    for _ in range(n):
        async with aio.TaskGroup() as group:
            for _ in range(CHILDREN):
                group.create_task(_trivial())


async def gather(aio: Names, n: int) -> None:
    for _ in range(n):
        await aio.gather(*[_trivial() for _ in range(CHILDREN)])


PRIMITIVES: dict[str, Primitive] = {
    "readline": Primitive(readline, "reader.readline() of a line that is there", BUFFERED),
    "readexactly": Primitive(readexactly, "reader.readexactly(64), all of it is there", BUFFERED),
    "queue": Primitive(queue, "await queue.put(item), await queue.get(), neither waits"),
    "queue_handoff": Primitive(queue_handoff, "an item put for a task that waits in get()", 2),
    "lock": Primitive(lock, "async with lock, which is free"),
    "semaphore": Primitive(semaphore, "async with semaphore, which is free"),
    "lock_contended": Primitive(
        lock_contended, f"async with lock, for which {CONTENDERS} tasks queue", CONTENDERS
    ),
    "event": Primitive(event, "event.set() for the task that waits; two tasks take turns", 2),
    "sleep": Primitive(sleep, "await sleep(0) in one task"),
    "timeout": Primitive(timeout, "async with timeout(10), which does not expire"),
    "wait_for": Primitive(wait_for, "await wait_for(trivial coroutine, 10)"),
    "task_group": Primitive(
        task_group, f"one of {CHILDREN} trivial tasks of a TaskGroup", CHILDREN
    ),
    "gather": Primitive(gather, f"one of {CHILDREN} trivial coroutines gathered", CHILDREN),
}
