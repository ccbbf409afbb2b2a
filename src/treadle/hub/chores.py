"""The hub's own tasks, of which none is lost and none fails unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Chores"]


class Chores:
    """Tasks that end with the hub."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, None], report: Callable[[str, BaseException], None]
    ) -> asyncio.Task[None]:
        """Do it in a task; what it raises is reported."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (failure := task.exception()) is not None:
                report("a task of the hub failed", failure)

        task.add_done_callback(done)
        return task

    async def finish(self, timeout: float) -> None:
        """Wait for all of them, also for those that are begun meanwhile; cancel what is late."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            _, late = await asyncio.wait(set(self._tasks), timeout=max(left, 0))
            for task in late:
                task.cancel()
