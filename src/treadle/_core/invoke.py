"""Calling out: user code runs in its own context, and we know when it was a task's step.

This is the plain twin; the compiled one is ``invoke_native.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context, copy_context
from typing import Any

from treadle._core.quick import Quick

__all__ = [
    "current_context",
    "exception_of",
    "hear_of_end",
    "invoke_method",
    "invoke_method1",
    "invoke_method2",
    "is_settled",
    "make_future",
    "make_task",
    "mark_awaited",
    "own_methods",
    "quicken_method",
    "result_of",
    "settle",
    "shed_dict",
    "stepped_task",
    "task_is_cancelled",
    "task_is_done",
    "unregister",
]

_Task = asyncio.Task


def current_context() -> Context:
    """Return a copy of the current context."""
    return copy_context()


def invoke_method(context: Context, owner: Any, name: str) -> Any:
    """Call ``owner.name()`` in `context` and return what it returns."""
    return context.run(getattr(owner, name))


def invoke_method1(context: Context, owner: Any, name: str, argument: Any) -> Any:
    """Call ``owner.name(argument)`` in `context` and return what it returns."""
    return context.run(getattr(owner, name), argument)


def invoke_method2(context: Context, owner: Any, name: str, first: Any, second: Any) -> Any:
    """Call ``owner.name(first, second)`` in `context` and return what it returns."""
    return context.run(getattr(owner, name), first, second)


def make_future(keywords: dict[str, Any]) -> asyncio.Future[Any]:
    """Make a future; `keywords` stays the caller's and is not changed."""
    return asyncio.Future(**keywords)


def settle(future: Any, value: Any) -> None:
    """Do what ``future.set_result(value)`` does."""
    future.set_result(value)


def is_settled(future: Any) -> bool:
    """Do what ``future.done()`` does."""
    done: bool = future.done()
    return done


def mark_awaited(future: Any) -> None:
    """Tell the task that gets `future` from an await that it was awaited, not yielded."""
    future._asyncio_future_blocking = True


def make_task(coro: Any, keywords: dict[str, Any]) -> asyncio.Task[Any]:
    """Make a task of asyncio's own class; `keywords` stays the caller's and is not changed."""
    return _Task(coro, **keywords)


def stepped_task(callback: Any) -> Any:
    """Return the C task whose step or wake-up `callback` is, or None.

    A bound method of a task that is no step (``task.cancel``) may be returned as well: whoever asks
    looks at the task afterwards, and a look does no harm.
    """
    owner = getattr(callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None


def unregister(task: Any) -> None:
    """Take a done task out of asyncio's register of all tasks.

    Nobody sees a difference: `asyncio.all_tasks` leaves out what is done. The register is a
    `WeakSet`, which would call a Python function when the task dies; the compiled twin spares that.
    """


def shed_dict(owner: Any) -> None:
    """Give back the empty `__dict__` of an object of a compiled class.

    Cython gives one to each object whose class may have attributes set by users; 64 bytes for what
    hardly anybody does.
    """


def hear_of_end(future: Any, listener: Any) -> None:
    """Do what ``future.add_done_callback(listener)`` does."""
    future.add_done_callback(listener)


def result_of(future: Any) -> Any:
    """Do what ``future.result()`` does."""
    return future.result()


def exception_of(future: Any) -> BaseException | None:
    """Do what ``future.exception()`` does."""
    exc: BaseException | None = future.exception()
    return exc


def task_is_done(task: Any) -> bool:
    """Say whether a task returned by `stepped_task` is done."""
    done: bool = task.done()
    return done


def task_is_cancelled(task: Any) -> bool:
    """Say whether a C task was cancelled."""
    cancelled: bool = task.cancelled()
    return cancelled


def own_methods(cls: type, names: Iterable[str]) -> None:
    """Make compiled methods that a class inherits its own.

    The interpreter checks the object of a call against the class that has the method, and that is
    short only where it is exactly the object's. What ``async with`` binds for one call is bound to
    objects that are used again.
    """


def quicken_method(method: Any, quick: Quick) -> None:
    """Have ``method(argument)`` call ``quick.call(self, argument)``; other calls stay as they are.

    For a handful of methods, whose classes live as long as the program.
    """
