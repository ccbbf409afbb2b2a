"""Micro programs whose cost may grow with how much else the loop holds: tasks, pending timers.

`tasks_N` and `timers_N` are workloads for any N. The programs know only asyncio's interface.
"""

import asyncio
import re
from collections.abc import Callable
from time import perf_counter

from bench.stopwatch import Micro, Program

TIMER_BATCH = 1000
"""Timers set and cancelled before the loop gets a turn."""

FAR_SECONDS = 1000.0
"""How far away the nearest pending timer is: none comes due in a run."""

SPREAD_SECONDS = 1000.0
PRIME = 7919
"""Steps of this size through the spread give an order that a heap cannot make use of."""

_NAME = re.compile(r"(tasks|timers)_([1-9]\d{0,6})")


def tasks(count: int) -> Micro:
    """A switch between `count` tasks.

    The first task reads the clock. Loops run what is ready in turn, so between two of its steps
    every other task has made one; making the tasks and their ends do not count.
    """

    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def timed() -> float:
            await asyncio.sleep(0)
            start = perf_counter()
            for _ in range(n):
                await asyncio.sleep(0)
            return perf_counter() - start

        async def other() -> None:
            for _ in range(n + 2):
                await asyncio.sleep(0)

        async def main() -> float:
            first = loop.create_task(timed())
            others = [loop.create_task(other()) for _ in range(count - 1)]
            seconds = await first
            await asyncio.gather(*others)
            return seconds

        return loop.run_until_complete(main())

    return Micro(program, f"a switch between {count:,} tasks that sleep(0)", count)


def timers(count: int) -> Micro:
    """`call_later(...).cancel()` while `count` others are pending, with deadlines in no order."""
    return Micro(
        _among(count),
        f"call_later(...).cancel() while {count:,} other timer(s) are pending",
        TIMER_BATCH,
    )


def _among(count: int) -> Program:
    pending: list[asyncio.TimerHandle] = []
    delays = [_delay(i, TIMER_BATCH) for i in range(TIMER_BATCH)]

    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def main() -> float:
            while len(pending) < count:  # they stay for the runs that follow
                pending.append(loop.call_later(_delay(len(pending), count), _nothing))
            await asyncio.sleep(0)
            start = perf_counter()
            for _ in range(n):
                for delay in delays:
                    loop.call_later(delay, _nothing).cancel()
                await asyncio.sleep(0)
            return perf_counter() - start

        return loop.run_until_complete(main())

    return program


def _delay(i: int, count: int) -> float:
    return FAR_SECONDS + i * PRIME % count / count * SPREAD_SECONDS


def _nothing() -> None:
    pass


KINDS: dict[str, Callable[[int], Micro]] = {"tasks": tasks, "timers": timers}


def known(name: str) -> bool:
    """Whether a name is one of these (`timers_1000`)."""
    return _NAME.fullmatch(name) is not None


def micro(name: str) -> Micro:
    """The program of this name."""
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return KINDS[match[1]](int(match[2]))
