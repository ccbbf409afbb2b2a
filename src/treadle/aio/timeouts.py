# cython: nonecheck=True
"""Timeouts: a block of code that is cancelled when it takes too long.

Facts. A timeout never interrupts: at its deadline it cancels the task that entered it, and the task
meets a CancelledError at its next await. On the way out the timeout must tell its own cancellation
from somebody else's. It can, because tasks count: `cancelling` says how many requests there are,
`uncancel` takes one back. Only when the count falls to what it was at the entry was the timeout the
only one that asked, and only then does the CancelledError become a TimeoutError.

Hazards. The deadline may pass when the block has already left its last await: the count is taken
back, and whatever the block did stands. The block may turn the CancelledError into another
exception: then the TimeoutError is put into the chain of that exception's contexts, so that who
reads the traceback sees why. The task may be cancelled from outside in the same turn: that request
stays in the count, and the CancelledError passes.

Design. Entering and leaving never wait, so neither makes a coroutine (``operation.py``). The timer
is the wheel's own (``shortcuts.py``); one that is cancelled as the last of the wheel's is forgotten
at once.

Cost. One object, one timer handle with what it calls, a copy of the context.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from treadle._core.invoke import own_methods
from treadle.aio.operation import Finished, Operation, Scope, new_operation
from treadle.aio.shortcuts import alarm_at, cancel_alarm, current_task_of, time_of
from treadle.aio.stand_in import StandIn

__all__ = ["Timeout", "TimeoutCore", "timeout", "timeout_at"]

_running_loop = asyncio.get_running_loop
_NOTHING = Finished()
_CancelledError = asyncio.CancelledError

CREATED, ENTERED, EXPIRING, EXPIRED, EXITED = range(5)
_NAMES = ("created", "active", "expiring", "expired", "finished")


class TimeoutCore(Scope):
    """What `Timeout` does."""

    def __init__(self, when: float | None) -> None:
        self._state = CREATED
        self._cancelling = 0  # requests to cancel the task at the entry
        self._when = when
        self._handle: Any = None  # the timer; None when none is set
        self._task: Any = None  # whom to cancel; None outside of the block
        self._loop: Any = None  # the task's

    def when(self) -> float | None:
        """Return the deadline, in seconds on the loop's clock; None for none."""
        return self._when

    def reschedule(self, when: float | None) -> None:
        """Set another deadline; RuntimeError outside of the block and after the deadline."""
        if self._state != ENTERED:
            if self._state == CREATED:
                raise RuntimeError("Timeout has not been entered")
            raise RuntimeError(f"Cannot change state of {_NAMES[self._state]} Timeout")
        self._when = when
        self._set()

    def expired(self) -> bool:
        """Say whether the deadline passed while the block was running."""
        return self._state == EXPIRING or self._state == EXPIRED

    def __repr__(self) -> str:
        info = ""
        if self._state == ENTERED:
            when = round(self._when, 3) if self._when is not None else None
            info = f" when={when}"
        return f"<Timeout [{_NAMES[self._state]}]{info}>"

    def __aenter__(self) -> Operation:
        """Begin to count: RuntimeError outside of a task, and the second time."""
        return new_operation(self, 0, None)

    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Finished:
        """Stop counting; TimeoutError when the deadline, and nothing else, ended the block."""
        self._leave(exc_val)
        return _NOTHING

    def _enter(self) -> None:
        if self._state != CREATED:
            raise RuntimeError("Timeout has already been entered")
        loop = _running_loop()
        task = current_task_of(loop)
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self._state = ENTERED
        self._task = task
        self._loop = loop
        self._cancelling = task.cancelling()
        if self._when is not None:
            self._set()

    def _set(self) -> None:
        """Set the timer for the deadline, in place of the one before."""
        if self._handle is not None:
            cancel_alarm(self._handle)
            self._handle = None
        when = self._when
        if when is None:
            return
        if when <= time_of(self._loop):
            self._handle = self._loop.call_soon(bell_of(self))
        else:
            self._handle = alarm_at(self._loop, when, bell_of(self), ())

    def _on_timeout(self) -> None:
        """Hear that the deadline has passed."""
        self._handle = None
        if self._state == ENTERED:
            self._state = EXPIRING
            self._task.cancel()

    def _leave(self, exc: BaseException | None) -> None:
        """Leave the block with `exc`; raise the TimeoutError that it becomes."""
        task = self._task
        self._task = None  # nobody is cancelled from here on
        if self._handle is not None:
            cancel_alarm(self._handle)
            self._handle = None
        if self._state == ENTERED:
            self._state = EXITED
            return
        if self._state != EXPIRING:
            raise RuntimeError(f"Cannot leave a {_NAMES[self._state]} Timeout")
        self._state = EXPIRED
        if task.uncancel() > self._cancelling or exc is None:
            return
        if isinstance(exc, _CancelledError):
            raise TimeoutError from exc
        _explain(exc)
        if isinstance(exc, ExceptionGroup):
            for member in exc.exceptions:
                _explain(member)


class Bell:
    """The timer's callback: `_on_timeout`, bound, for less than a bound method costs."""

    def __init__(self, scope: TimeoutCore) -> None:
        self.scope = scope

    def __call__(self) -> None:
        """Tell the timeout."""
        self.scope._on_timeout()

    def __repr__(self) -> str:
        return f"the deadline of {self.scope!r}"


def bell_of(scope: TimeoutCore) -> Bell:
    """Make a bell, without the cost of parsing arguments."""
    bell: Bell = Bell.__new__(Bell)
    bell.scope = scope
    return bell


def _explain(exc: BaseException) -> None:
    """Put a TimeoutError before the first CancelledError among the contexts of `exc`."""
    while exc.__context__ is not None:
        context = exc.__context__
        if isinstance(context, _CancelledError):
            cause = TimeoutError()
            cause.__context__ = cause.__cause__ = context
            exc.__context__ = cause
            return
        exc = context


def scope_of(delay: float | None) -> TimeoutCore:
    """Make a bare scope that ends in `delay` seconds, for `wait_for`."""
    scope: TimeoutCore = TimeoutCore.__new__(TimeoutCore)
    scope._state = CREATED
    scope._when = None if delay is None else time_of(_running_loop()) + delay
    scope._handle = scope._task = scope._loop = None
    return scope


class Timeout(TimeoutCore, asyncio.Timeout, StandIn):  # type: ignore[misc]
    """The asynchronous context manager that `timeout` and `timeout_at` return.

    `when` is the deadline in seconds on the loop's clock, None for none. `reschedule` moves it,
    `expired` says whether it was missed.

    >>> import asyncio, treadle
    >>> async def main():
    ...     async with treadle.timeout(None) as scope:
    ...         scope.reschedule(asyncio.get_running_loop().time() + 10)
    ...     return scope, scope.expired()
    >>> treadle.run(main())
    (<Timeout [finished]>, False)
    """

    __module__ = "treadle"


own_methods(Timeout, ("__aenter__", "__aexit__"))


def timeout(delay: float | None) -> Timeout:
    """Limit a block to `delay` seconds: `async with timeout(10):`; None for no limit.

    When the time is over, the task is cancelled inside the block, and the CancelledError becomes a
    TimeoutError on the way out. A cancellation that came from elsewhere stays a CancelledError,
    also in the same turn. Raises RuntimeError where no loop runs.

    >>> import treadle
    >>> async def main():
    ...     try:
    ...         async with treadle.timeout(0.001):
    ...             await treadle.sleep(3600)
    ...     except TimeoutError:
    ...         return "too slow"
    >>> treadle.run(main())
    'too slow'
    """
    loop = _running_loop()
    if delay is None:
        return Timeout(None)
    return Timeout(time_of(loop) + delay)


def timeout_at(when: float | None) -> Timeout:
    """Limit a block as `timeout` does, by a deadline on the clock that ``loop.time()`` reads.

    >>> import asyncio, treadle
    >>> async def main():
    ...     loop = asyncio.get_running_loop()
    ...     async with treadle.timeout_at(loop.time() + 10) as scope:
    ...         return scope.when() > loop.time()
    >>> treadle.run(main())
    True
    """
    return Timeout(when)
