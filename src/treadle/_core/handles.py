"""Handles: a callback, its arguments and the context it runs in.

A handle may not know the clock, the driver or the queue that it sits in; a timer handle knows only
that its queue wants to hear of a cancellation.

asyncio's own ``Handle`` cannot be a base of a compiled class (its slots and ours would claim the
same memory), so ``__class__`` names it instead: ``isinstance(handle, asyncio.Handle)`` holds.
"""

from __future__ import annotations

import asyncio
from asyncio import format_helpers
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["Handle", "TimerHandle", "TimerHolder", "new_handle", "new_timer_handle"]


class Handle:
    """A callback that the loop will call once, unless it is cancelled before.

    The fields carry asyncio's private names because libraries and tests read them.
    """

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: Any,
        context: Context | None = None,
    ) -> None:
        self._callback: Any = callback  # None once cancelled
        self._args: Any = args  # a tuple; None once cancelled
        self._loop = loop
        self._context: Any = context
        self._cancelled = False
        self._source_traceback: Any = None  # where it was made; only in debug mode
        self._repr: str | None = None  # kept by a cancelled handle in debug mode

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Handle

    def cancel(self) -> None:
        """Make sure that the callback will not be called. Cancelling twice does nothing."""
        self.drop()

    def cancelled(self) -> bool:
        """Say whether `cancel` was called."""
        return self._cancelled

    def get_context(self) -> Context:
        """Return the context that the callback runs in."""
        context: Context = self._context
        return context

    def drop(self) -> bool:
        """Let go of callback and arguments; False when that had happened already."""
        if self._cancelled:
            return False
        self._cancelled = True
        if self._source_traceback is not None:
            self._repr = repr(self)
        # let go through locals: what dies may look at this handle, and must find it consistent
        callback, args = self._callback, self._args
        self._callback = None
        self._args = None
        del callback, args
        return True

    def forget(self) -> bool:
        """Make the handle ready for another callback; False for one that is more than a handle."""
        callback, args, context = self._callback, self._args, self._context
        self._callback = None
        self._args = None
        self._context = None
        self._cancelled = False
        del callback, args, context
        return self._source_traceback is None and type(self) is Handle

    def describe(self) -> list[str]:
        """Return the words between the brackets of ``repr``."""
        info = [type(self).__name__]
        if self._cancelled:
            info.append("cancelled")
        if self._callback is not None:
            info.append(format_helpers._format_callback_source(self._callback, self._args))
        if self._source_traceback:
            frame = self._source_traceback[-1]
            info.append(f"created at {frame[0]}:{frame[1]}")
        return info

    def __repr__(self) -> str:
        if self._repr is not None:
            return self._repr
        return f"<{' '.join(self.describe())}>"

    def _run(self) -> None:
        self._loop._run_now(self)


class TimerHolder:
    """Where timer handles sit; the base of the timer queue."""

    def note_cancelled(self, handle: TimerHandle) -> None:
        """Hear from a handle that sits here that it was cancelled."""
        raise NotImplementedError


class TimerHandle(Handle):
    """A handle with a deadline.

    The deadline is kept twice: in nanoseconds, which the loop compares, and in the seconds that the
    caller gave, which `when` returns unchanged.
    """

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: Any,
        context: Context | None = None,
    ) -> None:
        Handle.__init__(self, callback, args, loop, context)
        self._when = when
        self._scheduled = False  # True while it sits in `_queue`
        self.deadline = 0  # nanoseconds on the loop's clock; set with the holder
        self.sequence = 0  # order of insertion, for equal deadlines
        self._holder: Any = None  # a TimerHolder, the queue it was pushed to

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.TimerHandle

    def cancel(self) -> None:
        """Make sure that the callback will not be called. Cancelling twice does nothing."""
        if self.drop() and self._scheduled:
            self._holder.note_cancelled(self)

    def when(self) -> float:
        """Return the deadline in seconds on the loop's clock."""
        return self._when

    def describe(self) -> list[str]:
        """Return the words between the brackets of ``repr``."""
        info = Handle.describe(self)
        info.insert(2 if self._cancelled else 1, f"when={self._when}")
        return info

    def __hash__(self) -> int:
        return hash(self._when)

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, asyncio.TimerHandle):
            return self._when < other._when  # type: ignore[attr-defined,no-any-return]
        return NotImplemented

    def __le__(self, other: Any) -> bool:
        if isinstance(other, asyncio.TimerHandle):
            return self._when <= other._when  # type: ignore[attr-defined,no-any-return]
        return NotImplemented

    def __gt__(self, other: Any) -> bool:
        if isinstance(other, asyncio.TimerHandle):
            return self._when > other._when  # type: ignore[attr-defined,no-any-return]
        return NotImplemented

    def __ge__(self, other: Any) -> bool:
        if isinstance(other, asyncio.TimerHandle):
            return self._when >= other._when  # type: ignore[attr-defined,no-any-return]
        return NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, asyncio.TimerHandle):
            return (
                self._when == other._when  # type: ignore[attr-defined]
                and self._callback == other._callback  # type: ignore[attr-defined]
                and self._args == other._args
                and self._cancelled == other._cancelled
            )
        return NotImplemented


def new_handle(
    callback: Callable[..., object], args: tuple[Any, ...], loop: Any, context: Context
) -> Handle:
    """Make a handle without the cost of parsing arguments; the loop's own way to make one."""
    handle: Handle = Handle.__new__(Handle)
    handle._callback = callback
    handle._args = args
    handle._loop = loop
    handle._context = context
    handle._cancelled = False
    handle._source_traceback = None
    handle._repr = None
    return handle


def new_timer_handle(
    when: float,
    deadline: int,
    callback: Callable[..., object],
    args: tuple[Any, ...],
    loop: Any,
    context: Context,
    holder: TimerHolder,
) -> TimerHandle:
    """Make a timer handle for `holder` without the cost of parsing arguments."""
    handle: TimerHandle = TimerHandle.__new__(TimerHandle)
    handle._callback = callback
    handle._args = args
    handle._loop = loop
    handle._context = context
    handle._cancelled = False
    handle._source_traceback = None
    handle._repr = None
    handle._when = when
    handle._scheduled = False
    handle.deadline = deadline
    handle.sequence = 0
    handle._holder = holder
    return handle
