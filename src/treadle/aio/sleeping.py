# cython: binding=True, nonecheck=True
"""Sleeping: a task that lets others run, or waits for a while.

`sleep` returns a coroutine by registration: a small object that does by hand what the compiler
would make of the few lines of an ``async def``. ``sleep(0)`` is the most frequent await of all, and
so it costs one object and two calls.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
import warnings
from collections.abc import Coroutine
from typing import Any

from treadle._core.invoke import give
from treadle.aio.finished import thrown
from treadle.aio.shortcuts import alarm_in, cancel_alarm, new_future

__all__ = ["Nap", "sleep"]

_running_loop = asyncio.get_running_loop

FRESH, WAITING, OVER = range(3)


class Nap:
    """What `sleep` returns: the coroutine of one sleep."""

    def __init__(self, delay: float, result: Any) -> None:
        self._state = FRESH
        self._delay = delay  # seconds
        self._result = result
        self._handle: Any = None  # the timer; None when it needs none
        self._future: Any = None  # what the timer sets
        self._waiter: Any = None  # the iterator of the future; None when it needs none

    def __await__(self) -> Nap:
        if self._state == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        return self

    def __iter__(self) -> Nap:
        return self.__await__()

    def __next__(self) -> Any:
        """Begin the sleep, or go on with it; StopIteration has the result."""
        if self._state == FRESH:
            self._state = OVER  # in case that something fails
            if self._delay <= 0:
                self._state = WAITING
                return None
            return self._begin()
        if self._state == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if self._future is not None and not self._future.done():
            return self._go_on()
        result = self._finish()
        if result is not None:
            give(result)
        raise StopIteration

    def send(self, value: Any) -> Any:
        """Do what ``next`` does: nothing can be sent to a sleep."""
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """End the sleep with an exception; a cancelled sleep leaves no timer behind."""
        self._end()
        raise thrown(kind, value, traceback)

    def close(self) -> None:
        """End the sleep."""
        self._end()

    def _begin(self) -> Any:
        if math.isnan(self._delay):
            raise ValueError("Invalid delay: NaN (not a number)")
        loop = _running_loop()
        self._future = new_future(loop)
        self._handle = alarm_in(loop, self._delay, _wake, (self._future, self._result))
        self._waiter = self._future.__await__()
        self._state = WAITING
        return self._go_on()

    def _go_on(self) -> Any:
        """Let the task wait for the future, or ask it to, should it be resumed too early."""
        try:
            return self._waiter.send(None)
        except BaseException:
            self._end()
            raise

    def _finish(self) -> Any:
        """Return the result; raise what became of a future that was not set by the timer."""
        future = self._future
        self._end()
        return self._result if future is None else future.result()

    def _end(self) -> None:
        self._state = OVER
        if self._handle is not None:
            cancel_alarm(self._handle)
            self._handle = None
        self._waiter = self._future = None

    def __del__(self) -> None:
        if self._state == WAITING:
            self._end()
        elif self._state == FRESH:
            warnings.warn("coroutine 'sleep' was never awaited", RuntimeWarning, stacklevel=2)


Coroutine.register(Nap)


def _wake(future: Any, result: Any) -> None:
    if not future.done():
        future.set_result(result)


def sleep(delay: float, result: Any = None) -> Nap:
    """Wait for `delay` seconds and return `result`; with 0 or less let others run for one turn.

    ValueError for a delay that is not a number. A cancellation ends the sleep and leaves no timer.

    >>> import treadle
    >>> treadle.run(treadle.sleep(0.001, "rested"))
    'rested'
    """
    nap: Nap = Nap.__new__(Nap)
    nap._state = FRESH
    nap._delay = delay
    nap._result = result
    nap._handle = nap._future = nap._waiter = None
    return nap


# As for asyncio's, which is an ``async def``, `iscoroutinefunction` says yes: so a test that
# patches it gets an AsyncMock.
if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(sleep)
else:
    sleep._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
