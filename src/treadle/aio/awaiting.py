"""One operation that is awaited once: a coroutine without a frame.

What a coroutine does between two awaits is a method here: `begin` runs with the first step,
`resume` with each further one. Either returns the answer; or what `wait_for` or `pass_turn` return,
which make the task wait. What it raises, the operation raises.

To its user it is a coroutine: it does nothing until it is awaited, can be awaited once, warns when
it never was, and is a `collections.abc.Coroutine`, so that ``asyncio.create_task``, ``wait_for``
and ``gather`` take it. Only ``inspect.iscoroutine``, which asks for the interpreter's own type,
tells the difference.

Derived classes add methods and no fields: all kinds have the same size, and share the memory of
those that are done.

This is the plain twin; the compiled one is ``awaiting_native.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from typing import Any

__all__ = ["Awaiting", "start", "swift"]

FRESH = 0
WAITING = 1
DONE = 2


class Awaiting:
    """The operation; made with ``__new__`` alone and `start`.

    `owner` is whose it is; the other fields but `state` are for the derived class.
    """

    owner: Any = None
    argument: Any = None
    waiter: Any = None  # the future that the task waits for; None when it does not
    number = 0
    mark = 0
    state = FRESH

    # what a derived class defines ----------------------------------------------------------

    def begin(self) -> Any:
        """Do the first step (see the module)."""
        raise NotImplementedError

    def resume(self) -> Any:
        """Go on when what was waited for is there."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Hear that nobody waits any more: an exception was thrown in, or `close` called."""

    def title(self) -> str:
        """Return the name to show to users."""
        raise NotImplementedError

    # what it calls -------------------------------------------------------------------------

    def wait_for(self, future: Any) -> Any:
        """Return `future`, which the step then returns; the next step comes when it is done."""
        self.waiter = future
        self.state = WAITING
        future._asyncio_future_blocking = True
        return future

    def pass_turn(self) -> Any:
        """Return None, which the step then returns; the next step comes in the next turn."""
        self.state = WAITING

    def waited(self) -> None:
        """Take the outcome of the future: nothing, or the exception that it holds."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.result()  # one that is not done says so

    # the coroutine -------------------------------------------------------------------------

    def step(self) -> Any:
        """Do one step; `state` is ``DONE`` afterwards unless the operation waits."""
        state = self.state
        if state == DONE:
            raise RuntimeError(f"cannot reuse already awaited {self.title()}()")
        self.state = DONE
        return self.begin() if state == FRESH else self.resume()

    def __await__(self) -> Awaiting:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Do one step, as a coroutine does."""
        result = self.step()
        if self.state == DONE:
            raise StopIteration(result)
        return result

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """End the operation with an exception, as a coroutine does."""
        self.close()
        exc = kind if value is None else value
        if isinstance(exc, type):
            exc = exc()
        elif not isinstance(exc, BaseException):
            exc = kind(exc)
        if traceback is not None:
            exc = exc.with_traceback(traceback)
        raise exc

    def close(self) -> None:
        """End the operation; harmless when repeated."""
        waits = self.state == WAITING
        self.state = DONE
        if waits:
            self.abandon()
            self.waiter = None

    def __getattr__(self, name: str) -> Any:
        if name in ("__name__", "__qualname__"):  # for the repr of a task
            return self.title()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cr_await(self) -> Any:
        """What is waited for, or None."""
        return self.waiter

    @property
    def cr_running(self) -> bool:
        """False: between two steps nothing runs."""
        return False

    def __repr__(self) -> str:
        return f"<coroutine {self.title()} of {self.owner!r}>"

    def __del__(self) -> None:
        if self.state == WAITING:
            self.close()
        elif self.state == FRESH:
            warnings.warn(
                f"coroutine {self.title()!r} was never awaited", RuntimeWarning, stacklevel=1
            )


def start(operation: Awaiting, owner: Any, argument: Any, number: int) -> Awaiting:
    """Fill in an operation that was just made, and return it."""
    operation.owner = owner
    operation.argument = argument
    operation.number = number
    return operation


def swift(kind: type) -> None:
    """Let the interpreter step a derived class by C calls; here there is nothing to do."""


Coroutine.register(Awaiting)
