# cython: binding=True, nonecheck=True
"""Completion: awaitables in the order in which they are done.

The iterator keeps what is done in a queue of its own, and hands it to whoever asks first. It never
waits for more than what it was given: each place is asked for once, and filled by a future that is
done, or by the end of the time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Iterable
from typing import Any

from treadle.aio.gathering import as_future
from treadle.aio.shortcuts import alarm_in, new_future

__all__ = ["Completion", "as_completed"]

_get_event_loop = asyncio.get_event_loop
_running_loop = asyncio.get_running_loop


class Completion:
    """What `as_completed` returns: an iterator and an asynchronous iterator."""

    def __init__(self, awaitables: Iterable[Any], timeout: float | None) -> None:
        loop = _get_event_loop()
        self._done: deque[Any] = deque()  # futures; None for one that the time was not enough for
        self._waiters: deque[Any] = deque()  # those who asked when nothing was done
        self._handle: Any = None  # the timer
        self._todo = {as_future(awaitable, loop) for awaitable in set(awaitables)}
        self._left = len(self._todo)  # places not asked for
        for future in list(self._todo):
            future.add_done_callback(self)
        if self._todo and timeout is not None:
            self._handle = alarm_in(loop, timeout, self._give_up, ())

    def __iter__(self) -> Completion:
        return self

    def __aiter__(self) -> Completion:
        return self

    def __next__(self) -> Any:
        if self._left <= 0:
            raise StopIteration
        self._left -= 1
        return self._next(True)

    def __anext__(self) -> Any:
        if self._left <= 0:
            raise StopAsyncIteration
        self._left -= 1
        return self._next(False)

    def __call__(self, future: Any) -> None:
        """Hear that a future is done."""
        if future not in self._todo:
            return  # the time was over
        self._todo.remove(future)
        if not self._todo and self._handle is not None:
            self._handle.cancel()
        self._put(future)

    def _give_up(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self)
        count = len(self._todo)
        self._todo = set()
        for _ in range(count):
            self._put(None)

    def _put(self, future: Any) -> None:
        self._done.append(future)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _next(self, resolve: bool) -> Any:
        """Give the next one that is done, or its result; TimeoutError when the time is over."""
        while not self._done:
            waiter = new_future(_running_loop())
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.cancelled():
                    if waiter in self._waiters:  # `_wake` takes out those that it passes over
                        self._waiters.remove(waiter)
                elif self._done:
                    self._wake()  # what woke us belongs to somebody else
                raise
        future = self._done.popleft()
        if future is None:
            raise TimeoutError
        return future.result() if resolve else future


def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Completion:
    """Run awaitables at the same time and give them in the order in which they are done.

    ``async for future in as_completed(tasks)`` gives the futures and tasks themselves, done, and
    tasks for other awaitables. ``for next in as_completed(...)`` gives coroutines: each returns the
    result, or raises the exception, of the next one that is done. TimeoutError is raised, by
    either, when `timeout` seconds are over and something is not done. Nothing is cancelled then. A
    step that is cancelled leaves what it waited for to the next one.

    >>> import asyncio, treadle
    >>> async def main():
    ...     slow = asyncio.create_task(treadle.sleep(0.001))
    ...     fast = asyncio.create_task(treadle.sleep(0))
    ...     return [task is fast async for task in treadle.as_completed([slow, fast])]
    >>> treadle.run(main())
    [True, False]
    """
    if inspect.isawaitable(fs):
        raise TypeError(f"expects an iterable of awaitables, not {type(fs).__name__}")
    return Completion(fs, timeout)
