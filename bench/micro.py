"""The micro programs: one operation of the loop each, many times over.

They know only asyncio's names, so that every loop runs the same code; what programs wait with, and
treadle has anew, is in `primitives.py`. They are written the way
programs are, down to looking `loop.call_soon` up at each call: what that costs, all users pay.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import perf_counter

from bench.stopwatch import Micro, Program

Body = Callable[[asyncio.AbstractEventLoop, int], Awaitable[None]]

TIMER_BATCH = 1000
"""Timers cancelled before the loop gets a turn, in which asyncio sweeps its heap."""

THREADSAFE_BATCH = 1000

SWITCHING_TASKS = 100


def _timed(body: Body) -> Program:
    """A program of which everything between its coroutine's first and last line counts."""

    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def main() -> float:
            start = perf_counter()
            await body(loop, n)
            return perf_counter() - start

        return loop.run_until_complete(main())

    return program


def _summed(batch: Callable[[asyncio.AbstractEventLoop], Awaitable[float]]) -> Program:
    """A program made of batches that say themselves how many of their seconds count."""

    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def main() -> float:
            total = 0.0
            for _ in range(n):
                await asyncio.sleep(0)  # loops that cache the time read the clock in a new turn
                total += await batch(loop)
            return total

        return loop.run_until_complete(main())

    return program


def _nothing() -> None:
    pass


async def _trivial() -> None:
    pass


def call_soon(loop: asyncio.AbstractEventLoop, n: int) -> float:
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    start = perf_counter()
    loop.run_forever()
    return perf_counter() - start


async def sleep0(loop: asyncio.AbstractEventLoop, n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def future(loop: asyncio.AbstractEventLoop, n: int) -> None:
    for _ in range(n):
        promise = loop.create_future()
        loop.call_soon(promise.set_result, None)
        await promise


async def timer(loop: asyncio.AbstractEventLoop, n: int) -> None:
    for _ in range(n):
        for _ in range(TIMER_BATCH):
            loop.call_later(60, _nothing).cancel()
        await asyncio.sleep(0)


def due(count: int) -> Program:
    """A program whose batch is `count` timers that are due together.

    Making them counts and so does the loop's work from finding them due to firing the last. The
    wait for their instant does not: it is spun away before the loop gets its turn. The instant lies
    far enough ahead for the slowest loop to have made them all, since a call_at for the past may
    take a shorter way through a loop; and the spin goes beyond it by more than the millisecond to
    which libuv rounds.

    A turn in which something is ready comes before the wait for the last timer. A loop that read
    the clock before the spin and not since would otherwise sleep away what it takes for the rest of
    the wait, and its sleep would be counted as work.
    """
    ahead = 0.002 + count * 4e-6
    beyond = 0.002

    async def batch(loop: asyncio.AbstractEventLoop) -> float:
        left = count
        fired = loop.create_future()

        def fire() -> None:
            nonlocal left
            left -= 1
            if not left:
                fired.set_result(None)

        start = perf_counter()
        when = loop.time() + ahead
        for _ in range(count):
            loop.call_at(when, fire)
        made = perf_counter()
        past = start + ahead + beyond
        while perf_counter() < past:
            pass
        resumed = perf_counter()
        await asyncio.sleep(0)
        await fired
        return (made - start) + (perf_counter() - resumed)

    return _summed(batch)


async def spawn(loop: asyncio.AbstractEventLoop, n: int) -> None:
    for _ in range(n):
        await loop.create_task(_trivial())


async def task_switch(loop: asyncio.AbstractEventLoop, n: int) -> None:
    await asyncio.gather(*[sleep0(loop, n) for _ in range(SWITCHING_TASKS)])


async def threadsafe_batch(loop: asyncio.AbstractEventLoop) -> float:
    """Another thread's calls, then the loop's draining of them.

    The loop's thread waits for the other one to finish, so that neither figure contains the two
    threads' struggle for the interpreter lock, which no loop decides.
    """
    left = THREADSAFE_BATCH
    drained = loop.create_future()
    calling = 0.0

    def arrive() -> None:
        nonlocal left
        left -= 1
        if not left:
            drained.set_result(None)

    def call() -> None:
        nonlocal calling
        start = perf_counter()
        for _ in range(THREADSAFE_BATCH):
            loop.call_soon_threadsafe(arrive)
        calling = perf_counter() - start

    caller = threading.Thread(target=call)
    caller.start()
    caller.join()
    resumed = perf_counter()
    await drained
    return calling + (perf_counter() - resumed)


async def to_thread(loop: asyncio.AbstractEventLoop, n: int) -> None:
    for _ in range(n):
        await asyncio.to_thread(_nothing)


PROGRAMS: dict[str, Micro] = {
    "call_soon": Micro(call_soon, "a callback that schedules itself again"),
    "sleep0": Micro(_timed(sleep0), "await asyncio.sleep(0) in one task"),
    "future": Micro(_timed(future), "a future made, resolved by call_soon, awaited"),
    "timer": Micro(_timed(timer), "call_later(60, callback).cancel()", TIMER_BATCH),
    "due_100": Micro(due(100), "one of 100 timers due together: made and fired", 100),
    "due_1000": Micro(due(1000), "one of 1,000 timers due together: made and fired", 1000),
    "spawn": Micro(_timed(spawn), "await loop.create_task(trivial coroutine)"),
    "task_switch": Micro(
        _timed(task_switch), "a switch between 100 tasks that sleep(0)", SWITCHING_TASKS
    ),
    "threadsafe": Micro(
        _summed(threadsafe_batch),
        "a call_soon_threadsafe from another thread, called and run",
        THREADSAFE_BATCH,
    ),
    "to_thread": Micro(_timed(to_thread), "await asyncio.to_thread(trivial function)"),
}
