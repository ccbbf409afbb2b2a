"""Hooks: the points where a recorder, a watchdog or a test may look into the loop.

A loop without hooks pays one predictable branch per point. A hook that raises is reported through
the loop's exception handler and taken off: instrumentation must not harm the program.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["HookPoints", "Hooks"]


class Hooks:
    """Base of what can be given to ``loop.add_hooks``; every method does nothing.

    The methods run inside the loop, on its thread: they must be short and must not wait. Times are
    nanoseconds on the loop's clock.

    >>> import treadle
    >>> class Counter(treadle.Hooks):
    ...     steps = 0
    ...     def step_begins(self, task):
    ...         self.steps += 1
    >>> async def main(counter):
    ...     asyncio.get_running_loop().add_hooks(counter)
    ...     await asyncio.sleep(0)
    ...     return counter.steps
    >>> import asyncio
    >>> treadle.run(main(Counter()))
    1
    """

    def task_created(self, task: asyncio.Future[Any]) -> None:
        """Hear of a task right after ``create_task`` made it."""

    def step_begins(self, task: asyncio.Future[Any]) -> None:
        """Hear that the task's coroutine is about to be resumed."""

    def step_ends(self, task: asyncio.Future[Any]) -> None:
        """Hear that the task's coroutine waits again or is done."""

    def handle_queued(self, handle: asyncio.Handle) -> None:
        """Hear of a handle put in the ready queue by ``call_soon`` or ``call_soon_threadsafe``."""

    def poll_begins(self, timeout_ns: int) -> None:
        """Hear that the kernel is about to be asked; -1 means without a time limit."""

    def poll_ends(self) -> None:
        """Hear that the kernel has answered and its events have been dispatched."""

    def resource_waits(self, resource: object, waiting: bool) -> None:
        """Hear that a transport's write buffer crossed its high (True) or low (False) mark."""


class HookPoints:
    """What the loop calls: passes each event on to every `Hooks` object.

    The list is replaced, never changed, so that a hook may add or remove hooks.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.members: list[Hooks] = []

    def add(self, hooks: Hooks) -> None:
        """Start telling `hooks`."""
        self.members = [*self.members, hooks]

    def remove(self, hooks: Hooks) -> bool:
        """Stop telling `hooks`; False when it was not told anyway."""
        if hooks not in self.members:
            return False
        self.members = [member for member in self.members if member is not hooks]
        return True

    def tell(self, point: str, *args: Any) -> None:
        """Call the method `point` of every member."""
        for member in self.members:
            try:
                getattr(member, point)(*args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                if member in self.members:
                    self._loop.remove_hooks(member)
                self._loop.call_exception_handler(
                    {
                        "message": f"Hook {point} of {member!r} failed; it has been taken off",
                        "exception": exc,
                    }
                )
