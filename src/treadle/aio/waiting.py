# cython: binding=True, nonecheck=True
"""Waiting: `wait` for futures, and `wait_for` one awaitable with a limit of time.

`wait` leaves the futures alone: it neither cancels them nor takes their results. `wait_for` is a
`timeout` around an ``await``, and nothing else. That is the whole cure for its old fault: as a race
between a task and a timer it had to decide what to do when both had happened, and could swallow a
cancellation that came in the turn in which the task ended. A timeout counts requests to cancel, so
it cannot.

`binding` makes the functions what `asyncio.iscoroutinefunction` looks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from treadle.aio.gathering import as_future
from treadle.aio.shortcuts import alarm_in, cancel_alarm, new_future
from treadle.aio.timeouts import TimeoutCore, scope_of

__all__ = ["Waiting", "wait", "wait_for"]

_running_loop = asyncio.get_running_loop
_CancelledError = asyncio.CancelledError
_isfuture = asyncio.isfuture
_iscoroutine = asyncio.iscoroutine
_CONDITIONS = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)

FIRST, FAILURE, ALL = range(3)


class Waiting:
    """Hears of the end of each future, and wakes who waits."""

    def __init__(self, waiter: Any, count: int, until: int) -> None:
        self.waiter = waiter
        self.count = count  # futures that are not done
        self.until = until  # FIRST, FAILURE or ALL

    def __call__(self, future: Any) -> None:
        """Hear that a future is done."""
        self.count -= 1
        if (
            self.count <= 0
            or self.until == FIRST
            or (self.until == FAILURE and not future.cancelled() and future.exception() is not None)
        ):
            self.wake()

    def wake(self) -> None:
        """End the wait; the timer calls this as well."""
        if not self.waiter.done():
            self.waiter.set_result(None)


async def wait(
    fs: Iterable[Any], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[set[Any], set[Any]]:
    """Wait for futures or tasks and return two sets: those that are done, and the others.

    Until all are done, or one (``asyncio.FIRST_COMPLETED``), or one has failed
    (``asyncio.FIRST_EXCEPTION``), or `timeout` seconds have passed, which raises nothing. Neither
    that nor a cancellation cancels the futures. TypeError for coroutines, ValueError for none.

    >>> import asyncio, treadle
    >>> async def main():
    ...     tasks = [asyncio.create_task(treadle.sleep(0, n)) for n in range(3)]
    ...     done, pending = await treadle.wait(tasks)
    ...     return len(done), len(pending)
    >>> treadle.run(main())
    (3, 0)
    """
    if _isfuture(fs) or _iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in _CONDITIONS:
        raise ValueError(f"Invalid return_when value: {return_when}")
    futures = set(fs)
    for future in futures:
        if not _isfuture(future) and _iscoroutine(future):
            raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    loop = _running_loop()
    waiter = new_future(loop)
    waiting: Waiting = Waiting(waiter, len(futures), _CONDITIONS.index(return_when))
    handle = None if timeout is None else alarm_in(loop, timeout, waiting.wake, ())
    for future in futures:
        future.add_done_callback(waiting)
    try:
        await waiter
    finally:
        if handle is not None:
            cancel_alarm(handle)
        for future in futures:
            if not future.done():
                future.remove_done_callback(waiting)
    done = set()
    pending = set()
    for future in futures:
        if future.done():
            done.add(future)
        else:
            pending.add(future)
    return done, pending


async def wait_for(fut: Any, timeout: float | None) -> Any:
    """Wait for an awaitable, at most `timeout` seconds, and return its result.

    When the time is over the awaitable is cancelled, and TimeoutError raised when it has ended; if
    it ends with a result or another exception in spite of that, so does this. A cancellation
    cancels the awaitable, and is never swallowed. With 0 or less, what is not done already does not
    begin.

    >>> import treadle
    >>> async def main():
    ...     try:
    ...         await treadle.wait_for(treadle.sleep(3600), 0.001)
    ...     except TimeoutError:
    ...         return "too slow"
    >>> treadle.run(main())
    'too slow'
    """
    if timeout is not None and timeout <= 0:
        future = as_future(fut, None)
        if future.done():
            return future.result()
        await _cancel_and_wait(future)
        try:
            return future.result()
        except _CancelledError as exc:
            raise TimeoutError from exc
    scope: TimeoutCore = scope_of(timeout)
    scope._enter()
    try:
        result = await fut
    except BaseException as exc:
        scope._leave(exc)
        raise
    scope._leave(None)
    return result


async def _cancel_and_wait(future: Any) -> None:
    """Cancel a future and wait for its end; not on itself, so that it can be cancelled."""
    waiter = new_future(_running_loop())
    waiting: Waiting = Waiting(waiter, 1, ALL)
    future.add_done_callback(waiting)
    try:
        future.cancel()
        await waiter
    finally:
        future.remove_done_callback(waiting)
