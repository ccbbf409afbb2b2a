# cython: binding=True, nonecheck=True
"""Shielding: a future that can be cancelled without what it stands for.

The shield is a future of its own, which is told how the shielded one ends. When the shield is
cancelled nobody waits for the other any more, so a failure of that is reported to the loop: it
would be lost otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Any

from treadle.aio.gathering import as_future, loop_of
from treadle.aio.shortcuts import current_task_of, new_future

__all__ = ["Shield", "shield"]

_running_loop_or_none = asyncio._get_running_loop
# call graphs (3.14): who waits for whom; None where this Python has none
_add_awaiter: Any = getattr(asyncio, "future_add_to_awaited_by", None)
_discard_awaiter: Any = getattr(asyncio, "future_discard_from_awaited_by", None)


class Shield:
    """Hears of the end of the shielded future, the inner, and ends the shield, the outer."""

    def __init__(self, inner: Any, outer: Any) -> None:
        self.inner = inner
        self.outer = outer
        self.awaiter: Any = None  # the task that is known to wait for the inner one (3.14)

    def __call__(self, inner: Any) -> None:
        """Hear that the inner future is done."""
        if self.awaiter is not None:
            _discard_awaiter(inner, self.awaiter)
        outer = self.outer
        if outer.done():
            return
        if inner.cancelled():
            outer.cancel()
            return
        exc = inner.exception()
        if exc is not None:
            outer.set_exception(exc)
        else:
            outer.set_result(inner.result())

    def outer_done(self, outer: Any) -> None:
        """Hear that the shield is done; if before the inner one, its failure is to be reported."""
        inner = self.inner
        if not inner.done():
            inner.remove_done_callback(self)
            if self.awaiter is not None:
                _discard_awaiter(inner, self.awaiter)
            inner.remove_done_callback(_report)  # one report is enough, however many shields
            inner.add_done_callback(_report)


def _report(inner: Any) -> None:
    """Report the failure of a future whose shield was cancelled."""
    if inner.cancelled():
        return
    exc = inner.exception()
    if exc is None:
        return
    context = {
        "message": f"{type(exc).__name__} exception in shielded future",
        "exception": exc,
        "future": inner,
    }
    if getattr(inner, "_source_traceback", None):
        context["source_traceback"] = inner._source_traceback
    loop_of(inner).call_exception_handler(context)


def shield(arg: Any) -> Any:
    """Return a future of what `arg` gives; cancelling it does not cancel `arg`.

    A coroutine becomes a task: hold on to it yourself, on loops other than treadle's. When `arg` is
    cancelled by somebody else, so is the shield. When the shield was cancelled and `arg` fails
    later, the loop's exception handler is told.

    >>> import asyncio, treadle
    >>> async def main():
    ...     task = asyncio.create_task(treadle.sleep(0, "saved"))
    ...     treadle.shield(task).cancel()
    ...     return await task
    >>> treadle.run(main())
    'saved'
    """
    inner = as_future(arg, None)
    if inner.done():
        return inner
    loop = loop_of(inner)
    outer = new_future(loop)
    made: Shield = Shield(inner, outer)
    if _add_awaiter is not None and _running_loop_or_none() is loop:
        made.awaiter = current_task_of(loop)
        if made.awaiter is not None:
            _add_awaiter(inner, made.awaiter)
    inner.add_done_callback(made)
    outer.add_done_callback(made.outer_done)
    return outer
