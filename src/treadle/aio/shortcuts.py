# cython: nonecheck=True
"""Ways around a loop's methods, to what they do.

`asyncio` asks the loop through its methods, and so does everything here when the loop is not
treadle's. On treadle's own loop the methods are a detour: their arguments are packed and unpacked,
and the method is looked up, each costing as much as the work itself.

The detour is taken all the same when somebody may want to see the call: debug mode checks callers,
hooks are told, a task factory makes the tasks, and a loop whose methods were replaced, by a derived
class or by an assignment to the loop, is called by them (``Wheel._as_made``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from treadle._core.clock import deadline_after
from treadle._core.handles import TimerHandle
from treadle._core.invoke import make_future, make_task
from treadle._core.wheel import Wheel

__all__ = [
    "alarm_at",
    "alarm_in",
    "cancel_alarm",
    "current_task_of",
    "new_future",
    "spawn",
    "time_of",
]

current_task_of = asyncio.current_task


def time_of(loop: Any) -> float:
    """Return what ``loop.time()`` returns."""
    if isinstance(loop, Wheel):
        wheel: Wheel = loop
        if wheel._as_made:
            return wheel._given_clock.now_ns() / 1e9
    return loop.time()  # type: ignore[no-any-return]


def alarm_at(loop: Any, when: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> Any:
    """Do what ``loop.call_at(when, callback, *args)`` does."""
    if isinstance(loop, Wheel) and type(when) is float:
        wheel: Wheel = loop
        if wheel._as_made and not wheel._closed and not wheel._debug:
            return wheel._set_timer(when, deadline_after(0, when, when), callback, args, None)
    return loop.call_at(when, callback, *args)


def alarm_in(loop: Any, delay: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> Any:
    """Do what ``loop.call_later(delay, callback, *args)`` does."""
    if isinstance(loop, Wheel) and (type(delay) is float or type(delay) is int):
        wheel: Wheel = loop
        if wheel._as_made and not wheel._closed and not wheel._debug:
            return wheel._set_timer_in(delay, callback, args, None)
    return loop.call_later(delay, callback, *args)


def cancel_alarm(alarm: Any) -> None:
    """Do what ``alarm.cancel()`` does."""
    if isinstance(alarm, TimerHandle):
        handle: TimerHandle = alarm
        if handle.drop() and handle._scheduled:
            handle._holder.note_cancelled(handle)
    else:
        alarm.cancel()


def new_future(loop: Any) -> Any:
    """Do what ``loop.create_future()`` does."""
    if isinstance(loop, Wheel):
        wheel: Wheel = loop
        if wheel._as_made:
            return make_future(wheel._future_keywords)
    return loop.create_future()


def spawn(loop: Any, coro: Any, keywords: dict[str, Any] | None = None) -> Any:
    """Do what ``loop.create_task(coro, **keywords)`` does."""
    if isinstance(loop, Wheel) and not keywords:
        wheel: Wheel = loop
        if (
            wheel._as_made
            and not wheel._closed
            and not wheel._debug
            and wheel._hooks is None
            and wheel._tasks.factory is None
        ):
            task = make_task(coro, wheel._future_keywords)
            wheel._tasks.hold(task)
            return task
    if keywords:
        return loop.create_task(coro, **keywords)
    return loop.create_task(coro)
