"""Condition: asyncio's, with a compiled core (`condition_core.py`)."""

from __future__ import annotations

import asyncio

from treadle.aio.condition_core import ConditionCore
from treadle.aio.lock_core import LockCore
from treadle.aio.loopbound import face
from treadle.aio.stand_in import StandIn

__all__ = ["Condition", "Lock"]


@face
class Lock(LockCore, asyncio.Lock, StandIn):
    """A lock: one task at a time has it; those who wait get it in the order in which they came.

    >>> import asyncio, treadle
    >>> async def main():
    ...     lock = treadle.Lock()
    ...     async with lock:
    ...         return lock.locked()
    >>> treadle.run(main())
    True

    It belongs to no task: any may release it. A class that derives from it may have an `acquire`
    and a `release` of its own, which ``async with`` then uses.
    """

    __module__ = "treadle"

    def __init__(self) -> None:
        LockCore.__init__(self)


@face
class Condition(ConditionCore, asyncio.Condition, StandIn):  # type: ignore[misc]
    """Lets tasks wait for a change that other tasks notify them of, with a lock around both.

    The lock is a new one, or the one given.

    >>> import asyncio, treadle
    >>> async def main():
    ...     changed, letters = treadle.Condition(), []
    ...     async def take():
    ...         async with changed:
    ...             await changed.wait_for(lambda: letters)
    ...             return letters.pop()
    ...     taking = asyncio.ensure_future(take())
    ...     await asyncio.sleep(0)
    ...     async with changed:
    ...         letters.append("letter")
    ...         changed.notify()
    ...     return await taking
    >>> treadle.run(main())
    'letter'
    """

    __module__ = "treadle"

    def __init__(self, lock: asyncio.Lock | None = None) -> None:
        ConditionCore.__init__(self, Lock() if lock is None else lock)
