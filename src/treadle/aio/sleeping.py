# cython: binding=True, nonecheck=True
"""Sleeping: a task that lets others run, or waits for a while.

``sleep(0)`` is the most frequent await of all: it is an `Operation` that passes its turn, and costs
no other object.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
from typing import Any

from treadle.aio.operation import Operation, Owner, new_operation
from treadle.aio.shortcuts import alarm_in, cancel_alarm, new_future

__all__ = ["sleep"]

_running_loop = asyncio.get_running_loop

PLAIN, WITH_RESULT = 0, 1  # verbs: the argument is the delay; or delay and result


class Sleeping(Owner):
    """The one owner of all sleeps. Once begun, the argument is the result, or else the timer."""

    def begin(self, operation: Operation) -> Any:
        """Pass the turn, or set a timer."""
        delay, result = operation.argument, None
        if operation.verb == WITH_RESULT:
            delay, result = operation.argument
        if delay <= 0:
            operation.argument = result
            return operation.pass_turn()
        if math.isnan(delay):
            raise ValueError("Invalid delay: NaN (not a number)")
        loop = _running_loop()
        future = new_future(loop)
        operation.argument = alarm_in(loop, delay, _wake, (future, result))
        return operation.wait_for(future)

    def woken(self, operation: Operation) -> Any:
        """Return the result."""
        if operation.waiting is None:
            return operation.argument
        cancel_alarm(operation.argument)  # it may not have been the timer that set the future
        return operation.waiting.result()

    def failed(self, operation: Operation) -> None:
        """Stop the timer, if there is one."""
        if operation.waiting is not None:
            cancel_alarm(operation.argument)

    def title(self, operation: Operation) -> str:
        """Return the name to show to users."""
        return "sleep"


_sleeping = Sleeping()


def _wake(future: Any, result: Any) -> None:
    if not future.done():
        future.set_result(result)


def sleep(delay: float, result: Any = None) -> Operation:
    """Wait for `delay` seconds and return `result`; with 0 or less let others run for one turn.

    ValueError for a delay that is not a number. A cancellation ends the sleep and leaves no timer.

    >>> import treadle
    >>> treadle.run(treadle.sleep(0.001, "rested"))
    'rested'
    """
    if result is None:
        return new_operation(_sleeping, PLAIN, delay)
    return new_operation(_sleeping, WITH_RESULT, (delay, result))


# As for asyncio's, which is an ``async def``, `iscoroutinefunction` says yes: so a test that
# patches it gets an AsyncMock.
if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(sleep)
else:
    sleep._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
