"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier: asyncio's, with compiled cores.

The classes are ordinary Python, so that users derive from them as from asyncio's; what they do is
in `lock_core.py` and `condition_core.py`.
"""

from __future__ import annotations

import asyncio

from treadle.aio.barriers import Barrier
from treadle.aio.conditions import Condition, Lock
from treadle.aio.lock_core import EventCore, SemaphoreCore
from treadle.aio.loopbound import face
from treadle.aio.stand_in import StandIn

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore"]


@face
class Event(EventCore, asyncio.Event, StandIn):
    """Something that happens once: tasks wait until it is set, and from then on go through.

    >>> import asyncio, treadle
    >>> async def main():
    ...     event = treadle.Event()
    ...     asyncio.get_running_loop().call_soon(event.set)
    ...     return await event.wait(), event.is_set()
    >>> treadle.run(main())
    (True, True)
    """

    __module__ = "treadle"

    def __init__(self) -> None:
        EventCore.__init__(self)


@face
class Semaphore(SemaphoreCore, asyncio.Semaphore, StandIn):
    """Lets `value` tasks in at a time; those who wait get in in the order in which they came.

    >>> import asyncio, treadle
    >>> async def main():
    ...     semaphore = treadle.Semaphore(2)
    ...     async with semaphore:
    ...         await semaphore.acquire()
    ...         return semaphore.locked()
    >>> treadle.run(main())
    True

    A class that derives from it may have an `acquire` and a `release` of its own, which
    ``async with`` then uses.
    """

    __module__ = "treadle"

    def __init__(self, value: int = 1) -> None:
        SemaphoreCore.__init__(self, value)


@face
class BoundedSemaphore(Semaphore, asyncio.BoundedSemaphore, StandIn):
    """A semaphore that notices when it is released more often than it was acquired.

    >>> import treadle
    >>> semaphore = treadle.BoundedSemaphore(2)
    >>> semaphore.release()
    Traceback (most recent call last):
    ...
    ValueError: BoundedSemaphore released too many times
    """

    __module__ = "treadle"

    def __init__(self, value: int = 1) -> None:
        Semaphore.__init__(self, value)
        self._bound_value = value
