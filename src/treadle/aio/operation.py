"""Operations: what our asynchronous methods return in place of a coroutine.

This is the plain twin; the compiled one is ``operation_native.py``.

Facts. ``await queue.get()`` on an interpreted method makes a coroutine object with a frame, runs it
and throws it away, also when there is nothing to wait for. Most calls of a queue's or a lock's
methods need not wait. asyncio asks little of what it awaits: `send`, `throw` and `close`, and that
futures come out of it.

Design. An `Operation` has three stages: new, waiting, done. What it does is in three methods of its
`owner`, who tells its own operations apart by `verb`:

- `begin` runs when the operation is awaited, never before. It returns what `await` gives; or it has
  the operation wait, for a future (`wait_for`) or a turn of the loop (`pass_turn`), and returns
  what that returns;
- `woken` runs when the future has its result, or the turn is over, and returns as `begin` does;
- `failed` runs when an exception came instead: it was thrown in (a cancellation), it came from the
  future, or the operation was closed or dropped. It gives back what the operation held, and the
  exception goes on.

In `woken` and `failed` the future is in `waiting`; after `pass_turn` that is None. The stage is
"done" while each of them runs: an operation that is resumed out of its own work raises, as a
coroutine that was awaited twice does.

Dropped. An operation that was never awaited is warned of, as a coroutine is. One that is dropped
while it waits is closed.

Cost. The compiled twin is resumed through type slots and needs no exception to say that it is done
with None; see there.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine
from typing import Any

__all__ = [
    "Finished",
    "Operation",
    "Owner",
    "Scope",
    "new_operation",
]

NEW, WAITING, DONE = 0, 1, 2
_InvalidStateError = asyncio.InvalidStateError


class Owner:
    """What has asynchronous methods; the base of queues, locks and streams."""

    def begin(self, operation: Operation) -> Any:
        """Do what is asked for and return the outcome, or ``operation.wait_for(future)``."""
        raise NotImplementedError

    def woken(self, operation: Operation) -> Any:
        """Go on after `waiting` had its result; return as `begin` does."""
        raise NotImplementedError

    def failed(self, operation: Operation) -> Any:
        """Give back what the operation holds."""
        raise NotImplementedError

    def title(self, operation: Operation) -> str:
        """Return the name of the method that made the operation."""
        raise NotImplementedError


class Operation:
    """An awaitable that is awaited once, and passes for a coroutine.

    It counts as one for ``asyncio.iscoroutine``, ``create_task``, ``wait_for`` and ``gather``.
    """

    def __init__(self, owner: Owner, verb: int, argument: Any) -> None:
        self.owner = owner  # whose method it is
        self.verb = verb  # which of them
        self.argument = argument  # what the method was given
        self.stage = NEW
        self.waiting: Any = None  # the future, while stage is WAITING; None for a turn
        self.number = 0  # these two are the owner's
        self.mark = 0

    def wait_for(self, future: Any) -> Any:
        """Let the operation wait for a future, which is returned."""
        self.waiting = future
        self.stage = WAITING
        future._asyncio_future_blocking = True  # how a task knows that it was `await`ed
        return future

    def pass_turn(self) -> Any:
        """Let the operation go on in the next turn; return what tells the task so."""
        self.waiting = None
        self.stage = WAITING

    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":
            return self.owner.title(self)
        if name == "__name__":
            return self.owner.title(self).rpartition(".")[2]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cr_await(self) -> Any:
        """What is waited for, or None."""
        return self.waiting if self.stage == WAITING else None

    @property
    def cr_running(self) -> bool:
        """False: no other code can look while an operation runs."""
        return False

    def __repr__(self) -> str:
        return f"<coroutine {self.owner.title(self)} at {id(self):#x}>"

    def __await__(self) -> Operation:
        return self

    def __iter__(self) -> Operation:  # for ``yield from`` in a generator
        return self

    def __next__(self) -> Any:
        returned, value = _advance(self)
        if returned:
            raise StopIteration(value)
        return value

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        if value is not None and self.stage == NEW:
            raise TypeError("can't send non-None value to a just-started coroutine")
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Go on with an exception, as a coroutine does."""
        error = _instance(kind, value, traceback)
        try:
            if self.stage == DONE:
                raise _awaited_twice()
            waits = self.stage == WAITING
            self.stage = DONE
            if waits:
                _fail(self, error)
            raise error
        finally:
            del error  # which knows this frame

    def close(self) -> None:
        """Give up, as a coroutine does."""
        waits = self.stage == WAITING
        self.stage = DONE
        if waits:
            self.owner.failed(self)

    def __del__(self) -> None:
        if self.stage == WAITING:
            self.close()
        elif self.stage == NEW:
            self.stage = DONE
            warn_never_awaited(self.owner.title(self))


class Finished:
    """An awaitable that is done with None, any number of times."""

    def __await__(self) -> Finished:
        return self

    def __iter__(self) -> Finished:
        return self

    def __next__(self) -> Any:
        raise StopIteration

    def send(self, value: Any) -> Any:
        """Finish."""
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise what is thrown in."""
        raise _instance(kind, value, traceback)

    def close(self) -> None:
        """Do nothing."""


class Scope(Owner):
    """What is entered without waiting, by ``async with``; the base of timeouts and task groups."""

    def _enter(self) -> None:
        """Enter."""
        raise NotImplementedError

    def begin(self, operation: Operation) -> Any:
        """Enter, and give the scope."""
        self._enter()
        return self

    def title(self, operation: Operation) -> str:
        """Return the name of the method."""
        return f"{type(self).__name__}.__aenter__"


def new_operation(owner: Owner, verb: int, argument: Any) -> Operation:
    """Return what an asynchronous method of `owner` returns."""
    return Operation(owner, verb, argument)


def warn_never_awaited(title: str) -> None:
    """Warn of an operation that was made and dropped."""
    warnings.warn(f"coroutine '{title}' was never awaited", RuntimeWarning, stacklevel=3)


def _advance(operation: Operation) -> tuple[bool, Any]:
    """Resume; return whether it is done, and the result or the future it waits for."""
    if operation.stage == NEW:
        operation.stage = DONE
        value = operation.owner.begin(operation)
    elif operation.stage == WAITING:
        operation.stage = DONE
        if operation.waiting is not None:
            _take_result(operation)
        value = operation.owner.woken(operation)
    else:
        raise _awaited_twice()
    return operation.stage == DONE, value


def _take_result(operation: Operation) -> None:
    """Raise what became of the future, if that is no result."""
    try:
        operation.waiting.result()
    except BaseException as error:
        if isinstance(error, _InvalidStateError) and not operation.waiting.done():
            operation.stage = WAITING
            raise RuntimeError("await wasn't used with future") from None
        _fail(operation, error)


def _fail(operation: Operation, error: BaseException) -> None:
    try:
        operation.owner.failed(operation)
        operation.waiting = None
        raise error
    finally:
        del error  # which knows this frame


def _instance(kind: Any, value: Any, traceback: Any) -> BaseException:
    """Return the exception that the arguments of `throw` mean."""
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    else:
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)


def _awaited_twice() -> RuntimeError:
    return RuntimeError("cannot reuse already awaited coroutine")


Coroutine.register(Operation)
Coroutine.register(Finished)
