"""Tasks are kept alive by the loop until they are done.

asyncio holds its tasks weakly, so a task that waits for a future nobody else holds can be collected
while it waits. Here a set holds each task strongly. Taking it out again must be cheap, because it
happens once per task: a done-callback would push the awaiter's own callback out of the future's
inlined slot and show up in every ``repr``. So the loop looks instead: a task can become done only
in a step, the loop runs the steps, and after each it asks the task (``Wheel.step_ended``).

Steps that the loop does not see (somebody calls a task's wake-up by hand) are made up for by a
sweep over the set whenever it has doubled. Tasks that are not asyncio's own C tasks (an exotic
factory) get a done-callback.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from treadle._core.invoke import task_is_done

__all__ = ["TaskKeeper"]

_PASSES_KEYWORDS = bool(asyncio.BaseEventLoop.create_task.__code__.co_flags & 0x08)
"""True where this Python's asyncio hands all keywords of create_task to the task (3.13.3)."""

_Task = asyncio.Task
_OWN_FOLDER = os.path.dirname(__file__)


class TaskKeeper:
    """Makes a loop's tasks and holds them until they are done."""

    def __init__(self) -> None:
        self.alive: set[Any] = set()
        self.sweep_at = 256  # size of `alive` at which done tasks are looked for
        self.factory: Callable[..., Any] | None = None

    def create(self, loop: Any, coro: Any, keywords: dict[str, Any]) -> Any:
        """Make a task for `coro` with the factory, or asyncio's own class, and hold it."""
        if self.factory is None:
            task: Any = _Task(coro, loop=loop, **keywords)
            if task._source_traceback:
                _drop_own_frames(task._source_traceback)
        else:
            task = self._from_factory(loop, coro, keywords)
        self.keep(task)
        return task

    def keep(self, task: Any) -> None:
        """Hold `task` until it is done."""
        if isinstance(task, _Task):
            if task_is_done(task):  # started eagerly, and finished at once
                return
        elif hasattr(task, "add_done_callback"):
            task.add_done_callback(self.discard)
        else:
            return
        self.hold(task)

    def hold(self, task: Any) -> None:
        """Hold a task that is not done, and whose steps the loop sees."""
        self.alive.add(task)
        if len(self.alive) >= self.sweep_at:
            self._sweep()

    def discard(self, task: Any) -> None:
        """Let go of a task that is done."""
        self.alive.discard(task)

    def _from_factory(self, loop: Any, coro: Any, keywords: dict[str, Any]) -> Any:
        factory: Any = self.factory
        if _PASSES_KEYWORDS:
            return factory(loop, coro, **keywords)
        name = keywords.pop("name", None)
        if keywords.get("context") is None:
            keywords.pop("context", None)
        task = factory(loop, coro, **keywords)
        if name is not None:
            _set_name(task, name)
        return task

    def _sweep(self) -> None:
        mixed = self.alive  # dies last: that runs destructors, which may make tasks
        self.alive = {task for task in list(mixed) if not task.done()}
        self.sweep_at = max(256, 2 * len(self.alive))


def _set_name(task: Any, name: object) -> None:
    try:
        set_name = task.set_name
    except AttributeError:
        return  # a factory may make tasks without names
    set_name(name)


def _drop_own_frames(traceback: list[Any]) -> None:
    """Let a traceback end where the loop was called; compiled code has no frames to drop."""
    while traceback and os.path.dirname(traceback[len(traceback) - 1].filename) == _OWN_FOLDER:
        traceback.pop()
