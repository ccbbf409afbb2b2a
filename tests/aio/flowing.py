"""What the tests of streams share."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from treadle.aio import streams as ours

LOCAL = "127.0.0.1"
STREAMS: dict[str, Any] = {
    "stock": SimpleNamespace(**{name: getattr(asyncio, name) for name in ours.__all__}),
    "ours": ours,
}


def on_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test that is a coroutine function on the `loop` that it asks for."""

    @functools.wraps(test)
    def run(loop: Any, **fixtures: Any) -> None:
        loop.run_until_complete(asyncio.wait_for(test(loop=loop, **fixtures), 60))

    return run


class Tap:
    """A transport that notes how it is paused."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


async def started(*operations: Any) -> list[asyncio.Task[Any]]:
    """Tasks for `operations`, each of which has come to where it waits."""
    tasks = [asyncio.ensure_future(operation) for operation in operations]
    await asyncio.sleep(0)
    return tasks


async def failure_of(operation: Any) -> BaseException:
    """The exception that `operation` raises."""
    (found,) = await asyncio.gather(operation, return_exceptions=True)
    assert isinstance(found, BaseException), found
    return found


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it is."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
