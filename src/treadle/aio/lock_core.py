# cython: nonecheck=True, embedsignature.format=clinic
"""Lock, Event and Semaphore, the compiled part.

Facts. A lock that nobody holds is a flag to set. asyncio's makes three coroutines for one
``async with``: `__aenter__`, `acquire` in it, and `__aexit__`.

Hazards. A waiter is woken and cancelled before it runs: what it was woken for must go to the next.
A newcomer may not overtake those who wait. A user's class may have its own `acquire` or `release`,
and ``async with`` must call them.

Design. Waiters are futures in a deque, first come, first served, woken by `set_result`. A waiter of
a lock or semaphore stays in the deque until its task runs: so a newcomer sees that it is not first.
A semaphore gives its unit away when it wakes, a lock is taken by the task that runs.

``async with`` calls `__aenter__` and `__aexit__` and awaits what they return. Where nothing is to
be waited for, they do their work in the call itself and return one object that all share: between
the call and the ``await`` of ``async with`` nothing else can run. So who calls `__aenter__` by
hand, to make a task of what it returns for example, has a free lock from the call on, and not
from the first step of that task.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from treadle._core.invoke import is_settled, settle
from treadle.aio.loopbound import LoopBound, discard, keeps
from treadle.aio.operation import Finished, Operation, new_operation

__all__ = ["EventCore", "LockCore", "SemaphoreCore", "plain_lock"]

_FINISHED = Finished()
_HOOKS = ["acquire", "release"]  # what ``async with`` calls where a class overrides it


def _described(owner: Any, state: str) -> str:
    """Return the `repr` of a primitive."""
    text = object.__repr__(owner)[1:-1]
    if owner._waiters:
        state += f", waiters:{len(owner._waiters)}"
    return f"<{text} [{state}]>"


async def _enter(owner: Any) -> None:
    """Enter what has an `acquire` of its own."""
    await owner.acquire()


class Line(LoopBound):
    """What tasks acquire in the order in which they came."""

    _waiters: Any  # a deque once somebody had to wait

    def join_line(self) -> Any:
        """Return a future to wait for, last in the line."""
        future = self.future()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(future)
        return future

    def has_line(self) -> bool:
        """Return True if somebody who came before still wants it."""
        if self._waiters:
            for future in self._waiters:
                if not future.cancelled():
                    return True
        return False

    def title(self, operation: Operation) -> str:
        """Return the name of the method."""
        return f"{type(self).__name__}.acquire"


# Lock ------------------------------------------------------------------------------------------


class LockCore(Line):
    """A lock. See `treadle.Lock`, its public face."""

    def __init__(self) -> None:
        self._loop = None
        self._waiters: Any = None  # a deque once somebody had to wait
        self._locked = False
        self.plain = keeps(type(self), _HOOKS)

    def __repr__(self) -> str:
        return _described(self, "locked" if self._locked else "unlocked")

    def locked(self) -> bool:
        """Return True if the lock is taken."""
        return self._locked

    def acquire(self) -> Any:
        """Take the lock, after those who came before; return True.

        A cancellation leaves the lock to the next in line.
        """
        return new_operation(self, 0, True)

    def release(self) -> None:
        """Let go of the lock, and wake the first who waits. Whoever calls need not have taken it.

        Raises RuntimeError when it is not taken.
        """
        self.unlock()

    def __aenter__(self) -> Any:
        return self.enter() if self.plain else _enter(self)

    def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if self.plain:
            self.unlock()
        else:
            self.release()
        return _FINISHED

    def enter(self) -> Any:
        """Take the lock if it is free, or return what waits for it."""
        if not self.is_free():
            return new_operation(self, 0, None)
        self._locked = True
        return _FINISHED

    def is_free(self) -> bool:
        """Return True if a newcomer may take the lock now."""
        return not self._locked and not self.has_line()

    def unlock(self) -> None:
        """Do what `release` says."""
        if not self._locked:
            raise RuntimeError("Lock is not acquired.")
        self._locked = False
        if self._waiters:
            self.wake_first()

    def wake_first(self) -> bool:
        """Wake the first in line if it is not awake already."""
        if self._waiters:
            future = self._waiters[0]
            if not is_settled(future):
                settle(future, True)
                return True
        return False

    def begin(self, operation: Operation) -> Any:
        """Take the lock, or join the line."""
        if not self.is_free():
            return operation.wait_for(self.join_line())
        self._locked = True
        return operation.argument

    def woken(self, operation: Operation) -> Any:
        """Take the lock: it is free, and nobody else was let in."""
        discard(self._waiters, operation.waiting)
        self._locked = True
        return operation.argument

    def failed(self, operation: Operation) -> None:
        """Leave the line; wake the next if it is its turn."""
        discard(self._waiters, operation.waiting)
        if not self._locked:
            self.wake_first()


def plain_lock(lock: Any) -> LockCore | None:
    """Return the lock if it is one of ours whose methods are all ours."""
    if not isinstance(lock, LockCore):
        return None
    core = lock
    return core if core.plain else None


# Event -----------------------------------------------------------------------------------------


class EventCore(LoopBound):
    """An event. See `treadle.Event`, its public face."""

    def __init__(self) -> None:
        self._loop = None
        self._waiters: Any = deque()
        self._value = False

    def __repr__(self) -> str:
        return _described(self, "set" if self._value else "unset")

    def is_set(self) -> bool:
        """Return True if the event is set."""
        return self._value

    def set(self) -> None:
        """Set the event, and wake all who wait for it; they go on even if it is cleared again."""
        self._value = True
        waiters = self._waiters
        if len(waiters) == 1:  # the usual case needs no iterator
            if not is_settled(waiters[0]):
                settle(waiters[0], True)
            return
        for future in waiters:
            if not is_settled(future):
                settle(future, True)

    def clear(self) -> None:
        """Unset the event: who comes from now on waits for the next `set`."""
        self._value = False

    def wait(self) -> Any:
        """Wait until the event is set; return True. A cancellation leaves nothing behind."""
        return new_operation(self, 0, True)

    def begin(self, operation: Operation) -> Any:
        """Go on, or join those who wait."""
        if self._value:
            return True
        future = self.future()
        self._waiters.append(future)
        return operation.wait_for(future)

    def woken(self, operation: Operation) -> Any:
        """Go on."""
        discard(self._waiters, operation.waiting)
        return True

    def failed(self, operation: Operation) -> None:
        """Leave."""
        discard(self._waiters, operation.waiting)

    def title(self, operation: Operation) -> str:
        """Return the name of the method."""
        return f"{type(self).__name__}.wait"


# Semaphore -------------------------------------------------------------------------------------


class SemaphoreCore(Line):
    """A semaphore. See `treadle.Semaphore`, its public face."""

    def __init__(self, value: Any = 1) -> None:
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        self._loop = None
        self._waiters: Any = None  # a deque once somebody had to wait
        self._value = value
        self._bound_value: Any = None  # what a bounded one began with
        self.plain = keeps(type(self), _HOOKS)

    def __repr__(self) -> str:
        return _described(self, "locked" if self.locked() else f"unlocked, value:{self._value}")

    def locked(self) -> bool:
        """Return True if `acquire` would wait."""
        return self.is_locked()

    def acquire(self) -> Any:
        """Take a unit, after those who came before; return True.

        A cancellation leaves the unit to the next in line.
        """
        return new_operation(self, 0, True)

    def release(self) -> None:
        """Give back a unit, and wake the first who waits for one. Whoever calls need not have one.

        A bounded one raises ValueError when it has all that it began with.
        """
        self.give_back()

    def __aenter__(self) -> Any:
        if not self.plain:
            return _enter(self)
        if self.is_locked():
            return new_operation(self, 0, None)
        self._value -= 1
        return _FINISHED

    def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if self.plain:
            self.give_back()
        else:
            self.release()
        return _FINISHED

    def is_locked(self) -> bool:
        """Return True if a newcomer has to wait: for a unit, or for those who came before."""
        return self._value == 0 or self.has_line()

    def give_back(self) -> None:
        """Do what `release` says."""
        if self._bound_value is not None and self._value >= self._bound_value:
            raise ValueError("BoundedSemaphore released too many times")
        self._value += 1
        if self._waiters:
            self.wake_one()

    def wake_one(self) -> bool:
        """Give a unit to the first who still waits; return False if nobody does."""
        if self._waiters:
            for future in self._waiters:
                if not is_settled(future):
                    self._value -= 1
                    settle(future, True)
                    return True
        return False

    def wake_all_allowed(self) -> None:
        """Give out what there is: who came while others were first had to wait for no lack."""
        while self._value > 0 and self.wake_one():
            pass

    def begin(self, operation: Operation) -> Any:
        """Take a unit, or join the line."""
        if self.is_locked():
            return operation.wait_for(self.join_line())
        self._value -= 1
        return operation.argument

    def woken(self, operation: Operation) -> Any:
        """Go on with the unit that came with the wake-up."""
        discard(self._waiters, operation.waiting)
        self.wake_all_allowed()
        return operation.argument

    def failed(self, operation: Operation) -> None:
        """Leave the line; give back the unit if there was one."""
        future = operation.waiting
        discard(self._waiters, future)
        if future.done() and not future.cancelled():
            self._value += 1
        self.wake_all_allowed()
