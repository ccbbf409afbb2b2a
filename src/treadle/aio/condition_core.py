# cython: nonecheck=True, embedsignature.format=clinic
"""Condition, the compiled part.

Hazards. `wait` gives the lock back while it waits and must have it again when it ends, however it
ends: so a cancellation that comes while it waits for the lock is kept until the lock is there. And
a task that was notified and is cancelled before it could act on it must not be the only one who
knew: whenever `wait` ends with an exception it notifies another task. That one may be woken for
nothing, which a condition allows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from treadle.aio.lock_core import _described, _enter, plain_lock
from treadle.aio.loopbound import LoopBound, discard
from treadle.aio.operation import Finished

__all__ = ["ConditionCore"]

T = TypeVar("T")
_CancelledError = asyncio.CancelledError
_FINISHED = Finished()


class ConditionCore(LoopBound):
    """A condition. See `treadle.Condition`, its public face."""

    def __init__(self, lock: Any) -> None:
        self._loop = None
        self._lock = lock
        self.plain = plain_lock(lock)  # None for a lock of another kind
        self._waiters: Any = deque()
        self.acquire = lock.acquire
        self.locked = lock.locked
        self.release = lock.release

    def __repr__(self) -> str:
        return _described(self, "locked" if self.locked() else "unlocked")

    def __aenter__(self) -> Any:
        if self.plain is not None:
            return self.plain.enter()
        return _enter(self)

    def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        self.release()
        return _FINISHED

    async def wait(self) -> bool:
        """Give the lock back, wait for a notification, take the lock again; return True.

        May return without a notification: look at what is waited for again. Raises RuntimeError
        when the lock is not taken. A cancellation is raised when the lock is taken again; the
        notification that it may have cost goes to another task.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        future = self.future()
        self.release()
        try:
            try:
                self._waiters.append(future)
                try:
                    await future
                finally:
                    discard(self._waiters, future)
            finally:
                await self._take_again()
        except BaseException:
            self.notify_some(1)
            raise
        return True

    async def _take_again(self) -> None:
        """Take the lock; raise the last cancellation that came meanwhile."""
        cancelled = None
        while True:
            try:
                await self.acquire()
                break
            except _CancelledError as error:
                cancelled = error
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                cancelled = None  # which knows this frame

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Wait until `predicate()` is true, looking again at each notification; return its value.

        Cancellation is as in `wait`.
        """
        while True:
            result = predicate()
            if result:
                return result
            await self.wait()

    def notify(self, n: int = 1) -> None:
        """Wake `n` of the tasks that wait, the first ones, or all if they are fewer.

        They go on when they have the lock, so give it back. Raises RuntimeError when the lock is
        not taken.
        """
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        self.notify_some(n)

    def notify_all(self) -> None:
        """Wake all tasks that wait (see `notify`)."""
        self.notify(len(self._waiters))

    def notify_some(self, n: int) -> None:
        """Wake `n` of the tasks that wait."""
        for future in self._waiters:
            if n <= 0:
                break
            if not future.done():
                n -= 1
                future.set_result(False)
