"""What a waiting task and a pending timer take: private memory of this process, per object.

All of them are made between two readings; what holds them, a list of futures or of handles, is part
of the figure, as it would be part of a program's.
"""

import asyncio
import gc
from collections.abc import Callable

from bench.effort import Effort
from bench.loops import new_loop
from bench.outcome import Outcome
from bench.servers import memory

FIRST = 1000
"""Made before the first reading: what is made once, or grows in steps, is there then."""
FAR_SECONDS = 3600.0


async def _wait(future: "asyncio.Future[None]") -> None:
    await future


def _nothing() -> None:
    pass


def _task(loop: asyncio.AbstractEventLoop, number: int) -> object:
    return loop.create_task(_wait(loop.create_future()))


def _timer(loop: asyncio.AbstractEventLoop, number: int) -> object:
    return loop.call_later(FAR_SECONDS + number, _nothing)


MAKERS: dict[str, Callable[[asyncio.AbstractEventLoop, int], object]] = {
    "idle_task": _task,
    "idle_timer": _timer,
}


def run(name: str, loop_name: str, effort: Effort) -> Outcome:
    """KiB per object."""
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    kept: list[object] = []

    async def make(count: int) -> int:
        """Private bytes with so many more of them."""
        maker = MAKERS[name]
        kept.extend([maker(loop, len(kept) + i) for i in range(count)])
        for _ in range(3):  # tasks begin, and whatever the loop puts off is done
            await asyncio.sleep(0)
        gc.collect()
        return memory()["private"]

    before = loop.run_until_complete(make(FIRST))
    after = loop.run_until_complete(make(effort.objects))
    detail: dict[str, object] = {
        "objects": effort.objects,
        "private_before": before,
        "private_after": after,
    }
    return Outcome(figure=(after - before) / effort.objects / 1024, detail=detail)
