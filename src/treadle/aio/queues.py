"""Queue, PriorityQueue and LifoQueue: asyncio's, with a compiled core.

The classes are ordinary Python, so that users derive from them as from asyncio's; what they do is
in `queue_core.py`. Queues of every Python can be shut down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush
from typing import Any

from treadle.aio.loopbound import face
from treadle.aio.queue_core import QueueCore, set_kind
from treadle.aio.stand_in import StandIn

__all__ = ["LifoQueue", "PriorityQueue", "Queue"]


@face
class Queue(QueueCore, asyncio.Queue, StandIn):  # type: ignore[type-arg]
    """A queue between tasks: first in, first out.

    With a `maxsize` above 0, ``await put(item)`` waits while that many items are in it.

    >>> import asyncio, treadle
    >>> async def main():
    ...     queue = treadle.Queue(maxsize=10)
    ...     await queue.put("letter")
    ...     return await queue.get(), queue.empty()
    >>> treadle.run(main())
    ('letter', True)

    It is an ``asyncio.Queue``, of the newest Python: `shutdown` ends it on every one.

    >>> queue = treadle.Queue()
    >>> queue.shutdown()
    >>> try:
    ...     queue.put_nowait("late")
    ... except treadle.QueueShutDown:
    ...     print("too late")
    too late

    A class that derives from it may have `_init`, `_get` and `_put` of its own. Its `get` and
    `put` then go through all of its methods.
    """

    __module__ = "treadle"

    def __init__(self, maxsize: int = 0) -> None:
        QueueCore.__init__(self, maxsize)

    def _init(self, maxsize: int) -> None:
        self._queue: Any = deque()

    def _get(self) -> Any:
        return self._queue.popleft()

    def _put(self, item: Any) -> None:
        self._queue.append(item)


@face
class PriorityQueue(Queue, asyncio.PriorityQueue, StandIn):  # type: ignore[type-arg]
    """A queue that gives the smallest item first; a usual item is ``(priority, data)``.

    >>> import treadle
    >>> queue = treadle.PriorityQueue()
    >>> for item in (3, "c"), (1, "a"), (2, "b"):
    ...     queue.put_nowait(item)
    >>> queue.get_nowait()
    (1, 'a')
    """

    __module__ = "treadle"

    def _init(self, maxsize: int) -> None:
        self._queue: Any = []

    def _get(self) -> Any:
        return heappop(self._queue)

    def _put(self, item: Any) -> None:
        heappush(self._queue, item)


@face
class LifoQueue(Queue, asyncio.LifoQueue, StandIn):  # type: ignore[type-arg]
    """A queue that gives the newest item first.

    >>> import treadle
    >>> queue = treadle.LifoQueue()
    >>> queue.put_nowait("old"), queue.put_nowait("new")
    (None, None)
    >>> queue.get_nowait()
    'new'
    """

    __module__ = "treadle"

    def _init(self, maxsize: int) -> None:
        self._queue: Any = []

    def _get(self) -> Any:
        return self._queue.pop()

    def _put(self, item: Any) -> None:
        self._queue.append(item)


set_kind(Queue, "fifo")
set_kind(PriorityQueue, "priority")
set_kind(LifoQueue, "lifo")
