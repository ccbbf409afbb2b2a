# cython: binding=True, nonecheck=True
"""Gathering: many awaitables, one future of all their results.

Facts. The future that `gather` returns is the only thing its user holds: cancelling it cancels the
children, and it is done when they are. The first failure makes it done at once and leaves the other
children running; with `return_exceptions` a failure is a result.

Hazards. The same awaitable may be given twice, and is run once. A child may be done before `gather`
has looked at it. A child that is cancelled by somebody else is a failure, the whole is not
cancelled by it. Cancelling the whole must show as a cancellation also when every exception is a
result.

Design. One `Gathering` hears of the end of every child. The future is a Python class, because it
must be an `asyncio.Future`; it has only what `cancel` needs.

Cost, per child: its place in a list and in a dictionary, and one callback. A coroutine goes to the
loop without a question in between.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable
from typing import Any

from treadle._core.invoke import (
    exception_of,
    hear_of_end,
    is_settled,
    result_of,
    task_is_cancelled,
)
from treadle._core.listener import Listener
from treadle.aio.shortcuts import new_future, spawn

__all__ = ["Gathering", "GatheringFuture", "as_future", "gather"]

_Coroutine = types.CoroutineType
_CancelledError = asyncio.CancelledError
_Task = asyncio.Task
_Future = asyncio.Future
_isfuture = asyncio.isfuture
_iscoroutine = asyncio.iscoroutine
_get_event_loop = asyncio.get_event_loop
_running_loop_or_none = asyncio._get_running_loop
# call graphs (3.14): who waits for whom; None where this Python has none
_add_awaiter: Any = getattr(asyncio, "future_add_to_awaited_by", None)
_discard_awaiter: Any = getattr(asyncio, "future_discard_from_awaited_by", None)


def as_future(awaitable: Any, loop: Any) -> Any:
    """Return a future as it is; make a task of any other awaitable.

    `loop` None means the running one. TypeError for what is not awaitable, ValueError for a future
    of another loop.
    """
    if type(awaitable) is _Coroutine:
        return _as_task(awaitable, loop)
    if _isfuture(awaitable):
        if loop is not None and loop is not loop_of(awaitable):
            raise ValueError(
                "The future belongs to a different loop than the one specified as the loop argument"
            )
        return awaitable
    if _iscoroutine(awaitable):
        return _as_task(awaitable, loop)
    if isinstance(awaitable, Awaitable):
        return _as_task(_await(awaitable), loop)
    if type(awaitable) is types.GeneratorType and awaitable.gi_code.co_flags & 0x100:
        return _as_task(_await(awaitable), loop)  # of @types.coroutine
    raise TypeError("An asyncio.Future, a coroutine or an awaitable is required")


def _as_task(coro: Any, loop: Any) -> Any:
    try:
        if loop is None:
            loop = _running_loop_or_none()
            if loop is None:
                loop = _get_event_loop()
        return spawn(loop, coro)
    except RuntimeError:
        coro.close()
        raise


def loop_of(future: Any) -> Any:
    """Return the loop of a future."""
    if type(future) is _Task or type(future) is _Future:
        return future._loop
    try:
        return future.get_loop()
    except AttributeError:
        return future._loop


async def _await(awaitable: Any) -> Any:
    return await awaitable


class GatheringFuture(asyncio.Future):  # type: ignore[type-arg]
    """The future that `gather` returns."""

    def __init__(self, children: list[Any], *, loop: Any) -> None:
        super().__init__(loop=loop)
        self._children = children
        self._cancel_requested = False

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the children that are not done; False when there was nothing to cancel."""
        if self.done():
            return False
        cancelled = False
        for child in self._children:
            if child.cancel(msg=msg):
                cancelled = True
        if cancelled:
            self._cancel_requested = True
        return cancelled


class Gathering(Listener):
    """Hears of the end of each child, and ends the whole."""

    def __init__(self, outer: Any, children: list[Any], waiting: int, lenient: bool) -> None:
        self.outer = outer
        self.children = children
        self.waiting = waiting  # children that have not told their end
        self.lenient = lenient  # exceptions are results
        self.awaiter: Any = None  # the task that is known to wait for the children (3.14)

    def __call__(self, child: Any) -> None:
        """Hear that a child is done."""
        self.waiting -= 1
        if self.awaiter is not None:
            _discard_awaiter(child, self.awaiter)
        outer = self.outer
        if outer.done():
            if not child.cancelled():
                child.exception()  # nobody else will ask
            return
        if not self.lenient:
            if type(child) is _Task:
                try:
                    exc = exception_of(child)
                except _CancelledError as cancelled:
                    exc = cancelled
            elif child.cancelled():
                exc = _cancellation_of(child)
            else:
                exc = child.exception()
            if exc is not None:
                outer.set_exception(exc)
                return
        if self.waiting == 0:
            self._finish(child)

    def hear(self, child: Any) -> bool:
        """Hear of a child that has ended well, and is not the last."""
        if self.waiting <= 1 or type(child) is not _Task or self.awaiter is not None:
            return False
        if not self.lenient and (task_is_cancelled(child) or exception_of(child) is not None):
            return False
        if self.outer.done():
            return False
        self.waiting -= 1
        return True

    def _finish(self, last: Any) -> None:
        outer = self.outer
        if not self.lenient and not outer._cancel_requested:
            outer.set_result([result_of(child) for child in self.children])
            return
        results = [_outcome(child) for child in self.children]
        if outer._cancel_requested:
            outer.set_exception(_cancellation_of(last))
        else:
            outer.set_result(results)


def _cancellation_of(future: Any) -> BaseException:
    """Return the CancelledError of a cancelled future, with its message and origin."""
    if hasattr(future, "_make_cancelled_error"):
        return future._make_cancelled_error()  # type: ignore[no-any-return]
    try:
        future.result()
    except _CancelledError as exc:
        return exc
    return _CancelledError()


def _outcome(future: Any) -> Any:
    """Return the result of a future that is done, or its exception."""
    if future.cancelled():
        message = getattr(future, "_cancel_message", None)
        return _CancelledError("" if message is None else message)
    exc = future.exception()
    return future.result() if exc is None else exc


def gather(*coros_or_futures: Any, return_exceptions: bool = False) -> Any:
    """Run awaitables at the same time and return a future of the list of their results.

    Coroutines become tasks. The results stand in the order of the arguments. The first exception is
    raised to who awaits the future, and the others go on; with `return_exceptions` exceptions are
    results. Cancelling the future, or a task that awaits it, cancels the awaitables that are not
    done. All must belong to one loop: ValueError.

    >>> import treadle
    >>> async def main():
    ...     return await treadle.gather(treadle.sleep(0, "one"), treadle.sleep(0, "two"))
    >>> treadle.run(main())
    ['one', 'two']
    """
    if not coros_or_futures:
        outer = new_future(_get_event_loop())
        outer.set_result([])
        return outer
    gathering: Gathering = Gathering(None, [], 0, return_exceptions)
    children = gathering.children
    known: dict[Any, Any] = {}
    done: list[Any] = []
    loop: Any = None
    gathering.outer = _NOT_YET
    for awaitable in coros_or_futures:
        child = known.get(awaitable)
        if child is None:
            child = as_future(awaitable, loop)
            if loop is None:
                loop = loop_of(child)
            if child is not awaitable:
                child._log_destroy_pending = False  # the caller cannot know of it
            gathering.waiting += 1
            known[awaitable] = child
            if is_settled(child):
                done.append(child)
            else:
                hear_of_end(child, gathering)
        children.append(child)
    gathering.outer = GatheringFuture(children, loop=loop)
    if _add_awaiter is not None:
        _tell_awaiter(gathering, known, loop)
    for child in done:
        gathering(child)
    return gathering.outer


def _tell_awaiter(gathering: Gathering, known: dict[Any, Any], loop: Any) -> None:
    """Tell the call graph that the current task waits for the children."""
    if _running_loop_or_none() is not loop:
        return
    gathering.awaiter = asyncio.current_task(loop)
    if gathering.awaiter is not None:
        for child in known.values():
            _add_awaiter(child, gathering.awaiter)


class _NotYet:
    """Stands for a future while `gather` may still fail: what is told then is looked at, only."""

    def done(self) -> bool:
        """Say yes: nothing is to be set."""
        return True


_NOT_YET = _NotYet()
