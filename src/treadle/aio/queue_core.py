# cython: boundscheck=False, wraparound=False, nonecheck=True, embedsignature.format=clinic
"""Queues, the compiled part: what `Queue` and its two sisters do.

Facts. A queue that is neither empty nor full is one step in a container and one in a counter. What
asyncio's costs beside that are calls of its own small methods (`empty`, `full`, `_put`,
`_wakeup_next`) and a coroutine object for each `put` and `get`.

Hazards.

- Users override: `_init`, `_get` and `_put` as documented, `put_nowait`, `full` and others as found
  in the field. A method that somebody overrode must be called.
- A task is woken, and cancelled before it runs. Its turn must go to the next in line. An item is
  never handed to a waiting getter: it stays in the queue until a task that runs takes it, so a
  getter that is cancelled has nothing to lose.
- Before Python 3.12 every allocation of a container may start the cycle collector, which runs
  destructors, and one of those may put into this very queue or take from it (pools do that). So
  the steps of the ring allocate first, and look at the ring after that.

Design. `kind` is found once per class: one of asyncio's three disciplines, whose steps are made
here in C, or OVERRIDDEN when at least one method is the user's; then everything goes through the
methods, as it does in asyncio. First in, first out is a ring in a list (RING); as soon as somebody
looks at `_queue`, as programs do in the field, the items move to a deque and stay there (FIFO). In
the ring the items are at ``ring[(head + i) & mask]`` for i in ``range(count)``, and every other
place holds None. Waiters are futures in a deque. They are woken by `set_result`, so
tasks go on in the order in which asyncio's would.

Cost. A `put` or `get` that need not wait: an object from a freelist, no future, and an exception
inside for the value of `get` alone (see `operation_native.py`).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from heapq import heappop, heappush
from typing import Any

from treadle.aio.errors import QueueShutDown
from treadle.aio.locks import Event
from treadle.aio.loopbound import LoopBound, discard, keeps, wake_next
from treadle.aio.operation import Operation, new_operation

__all__ = ["QueueCore", "set_kind"]

_QueueEmpty = asyncio.QueueEmpty
_QueueFull = asyncio.QueueFull

GET, PUT = 0, 1
OVERRIDDEN, FIFO, LIFO, PRIORITY, RING = 0, 1, 2, 3, 4
FIRST_CAPACITY = 8  # a power of two, as all later ones
LARGE = 1024  # a ring of that many places is given back when it is empty
_KINDS: dict[type, int] = {}  # by class; one that is not here is looked at first
_HOOKS = ["_get", "_init", "_put", "_wakeup_next", "empty", "full", "get_nowait", "maxsize"]
_HOOKS += ["put_nowait", "qsize"]
"""What a class must not have overridden to be queued for in C."""


def set_kind(cls: type, name: str) -> None:
    """Say which discipline the methods of a public class follow: fifo, lifo or priority."""
    _KINDS[cls] = {"fifo": FIFO, "lifo": LIFO, "priority": PRIORITY}[name]


def _find_kind(cls: type) -> int:
    """Return the discipline of a user's class."""
    if not keeps(cls, _HOOKS):
        return OVERRIDDEN
    for base in cls.__mro__:
        if base in _KINDS:
            return _KINDS[base]
    return OVERRIDDEN


class QueueCore(LoopBound):
    """A queue. See `treadle.Queue`, its public face."""

    def __init__(self, maxsize: Any = 0) -> None:
        self._loop = None
        self._maxsize = maxsize
        self.getters: Any = None  # deques of futures, once there was one
        self.putters: Any = None
        self._unfinished_tasks = 0
        self._is_shutdown = False
        self.joined: Any = None  # an Event, while somebody may be waiting in join
        kind = _KINDS.get(type(self))
        self.kind = _find_kind(type(self)) if kind is None else kind
        self.items: Any = None  # the container, where it is not the ring
        self.ring: Any = None
        self.mask = FIRST_CAPACITY - 1
        self.head = self.count = 0
        if self.kind == FIFO:
            self.kind = RING
            self.ring = [None] * FIRST_CAPACITY
        elif self.kind == OVERRIDDEN:
            self._init(maxsize)  # type: ignore[attr-defined]  # the public class has it
        else:
            self.items = []

    # looking ----------------------------------------------------------------------------------

    @property
    def _maxsize(self) -> Any:
        return self.given_size

    @_maxsize.setter
    def _maxsize(self, maxsize: Any) -> None:  # programs are known that resize a queue
        self.given_size = maxsize
        self.limit = 0 if maxsize <= 0 or maxsize == math.inf else math.ceil(maxsize)

    @property
    def maxsize(self) -> Any:
        """How many items the queue holds at most; 0 or less for any number."""
        return self._maxsize

    def qsize(self) -> int:
        """Return the number of items in the queue."""
        return self.count if self.kind == RING else len(self.items)

    def empty(self) -> bool:
        """Return True if no item is in the queue."""
        return self.count == 0 if self.kind == RING else not self.items

    def full(self) -> bool:
        """Return True if the queue holds `maxsize` items; never when `maxsize` is 0 or less."""
        if self.limit <= 0:
            return False
        size: int = self.qsize()
        return size >= self.limit

    def is_empty(self) -> bool:
        """Return `empty()`."""
        if self.kind == RING:
            return self.count == 0
        if self.kind == OVERRIDDEN:
            return bool(self.empty())
        return not self.items

    def is_full(self) -> bool:
        """Return `full()`."""
        if self.kind == OVERRIDDEN:
            return bool(self.full())
        if self.limit <= 0:
            return False
        return (self.count if self.kind == RING else len(self.items)) >= self.limit

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def _format(self) -> str:
        text = f"maxsize={self._maxsize!r}"
        items = self.listed()
        if items:
            text += f" _queue={items!r}"
        if self.getters:
            text += f" _getters[{len(self.getters)}]"
        if self.putters:
            text += f" _putters[{len(self.putters)}]"
        if self._unfinished_tasks:
            text += f" tasks={self._unfinished_tasks}"
        if self._is_shutdown:
            text += " shutdown"
        return text

    @property
    def _queue(self) -> Any:
        """The container, for those who know it; see the essay."""
        if self.kind == RING:
            self.leave_ring()
        return self.items

    @_queue.setter
    def _queue(self, items: Any) -> None:
        if self.kind == RING:
            self.leave_ring()
        self.items = items

    @property
    def _getters(self) -> Any:
        if self.getters is None:
            self.getters = deque()
        return self.getters

    @property
    def _putters(self) -> Any:
        if self.putters is None:
            self.putters = deque()
        return self.putters

    # putting and taking -----------------------------------------------------------------------

    def put(self, item: Any) -> Any:
        """Put an item into the queue; while the queue is full, wait for room.

        Raises QueueShutDown when the queue is shut down, also while it waits. After a cancellation
        the item is not in the queue, and the next one that waits to put has the turn.
        """
        return new_operation(self, PUT, item)

    def put_nowait(self, item: Any) -> None:
        """Put an item into the queue, or raise QueueFull; QueueShutDown when it is shut down."""
        if self._is_shutdown:
            raise QueueShutDown
        if self.is_full():
            raise _QueueFull
        if self.kind != OVERRIDDEN:
            self.add(item)
            return
        self._put(item)  # type: ignore[attr-defined]
        self._unfinished_tasks += 1
        self._wakeup_next(self._getters)

    def get(self) -> Any:
        """Remove and return the next item; while the queue is empty, wait for one.

        Raises QueueShutDown when the queue is shut down and empty, also while it waits. After a
        cancellation no item was taken, and the next one that waits to get has the turn.
        """
        return new_operation(self, GET, None)

    def get_nowait(self) -> Any:
        """Remove and return the next item, or raise QueueEmpty; QueueShutDown after a shutdown."""
        if self.is_empty():
            raise QueueShutDown if self._is_shutdown else _QueueEmpty
        if self.kind != OVERRIDDEN:
            return self.take()
        item = self._get()  # type: ignore[attr-defined]
        self._wakeup_next(self._putters)
        return item

    def take(self) -> Any:
        """Take the next item of a queue that is not empty, and wake who waits for room."""
        kind = self.kind
        if kind == RING:
            ring = self.ring
            head = self.head
            item = ring[head]
            ring[head] = None
            self.head = (head + 1) & self.mask
            self.count -= 1
            if self.count == 0 and self.mask >= LARGE:
                self.shrink()
        elif kind == FIFO:
            item = self.items.popleft()
        elif kind == LIFO:
            item = self.items.pop()
        elif kind == PRIORITY:
            item = heappop(self.items)
        else:
            return self.get_nowait()
        if self.putters is not None:
            wake_next(self.putters)
        return item

    def add(self, item: Any) -> None:
        """Add an item to a queue that is not full, and wake who waits for it."""
        kind = self.kind
        if kind == OVERRIDDEN:
            self.put_nowait(item)
            return
        if self._is_shutdown:
            raise QueueShutDown
        if kind == RING:
            if self.count > self.mask:
                self.grow()
            ring = self.ring
            ring[(self.head + self.count) & self.mask] = item
            self.count += 1
        elif kind == PRIORITY:
            heappush(self.items, item)
        else:
            self.items.append(item)
        self._unfinished_tasks += 1
        if self.getters is not None:
            wake_next(self.getters)

    def grow(self) -> None:
        """Double a ring that is full; what is allocated is allocated first (see the hazards)."""
        while self.count > self.mask:
            size = 2 * self.mask + 2
            larger = [None] * size
            if size == 2 * self.mask + 2 and self.count > self.mask:
                ring = self.ring
                for i in range(self.count):
                    larger[i] = ring[(self.head + i) & self.mask]
                self.ring = larger
                self.mask = size - 1
                self.head = 0

    def shrink(self) -> None:
        """Replace the ring of an empty queue by a small one."""
        small = [None] * FIRST_CAPACITY
        if self.count == 0:
            self.ring = small
            self.mask = FIRST_CAPACITY - 1
            self.head = 0

    def listed(self) -> list[Any]:
        """Return the items in a list of their own."""
        if self.kind != RING:
            return list(self.items or ())
        return [self.ring[(self.head + i) & self.mask] for i in range(self.count)]

    def leave_ring(self) -> None:
        """Move the items from the ring to a deque, for good."""
        items: Any = deque()
        ring = self.ring
        for i in range(self.count):
            items.append(ring[(self.head + i) & self.mask])
        self.items = items
        self.kind = FIFO
        self.ring = None
        self.count = 0

    def _wakeup_next(self, waiters: Any) -> None:
        wake_next(waiters)

    # waiting ----------------------------------------------------------------------------------

    def begin(self, operation: Operation) -> Any:
        """Take or put an item, or join those who wait to do so."""
        if operation.verb == GET:
            if not self.is_empty():
                return self.take()
        elif not self.is_full():
            self.add(operation.argument)
            return None
        if self._is_shutdown:
            raise QueueShutDown
        future = self.future()
        waiters = self._getters if operation.verb == GET else self._putters
        waiters.append(future)
        return operation.wait_for(future)

    def woken(self, operation: Operation) -> Any:
        """Look again: another task may have been faster."""
        return self.begin(operation)

    def failed(self, operation: Operation) -> None:
        """Leave the line; pass on the turn."""
        future = operation.waiting
        waiters = self._getters if operation.verb == GET else self._putters
        discard(waiters, future)
        if not future.done() or future.cancelled():
            return
        if not (self.is_empty() if operation.verb == GET else self.is_full()):
            self._wakeup_next(waiters)

    def title(self, operation: Operation) -> str:
        """Return the name of the method."""
        return f"{type(self).__name__}.{'get' if operation.verb == GET else 'put'}"

    # the work that items mean -----------------------------------------------------------------

    def task_done(self) -> None:
        """Say that the work on one item that was taken is done.

        Raises ValueError when it is called more often than items were put.
        """
        if self._unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self._unfinished_tasks -= 1
        if self._unfinished_tasks == 0:
            self._all_done()

    async def join(self) -> None:
        """Wait until `task_done` was called for every item that was put.

        A cancellation leaves nothing behind.
        """
        if self._unfinished_tasks > 0:
            self._get_loop()
            if self.joined is None:
                self.joined = Event()
            await self.joined.wait()

    def _all_done(self) -> None:
        event, self.joined = self.joined, None
        if event is not None:
            event.set()

    def shutdown(self, immediate: bool = False) -> None:
        """Let no more items in: `put` raises QueueShutDown from now on, also where it waits.

        `get` goes on until the queue is empty, and then raises QueueShutDown too. With `immediate`
        what is in the queue is thrown away, and counts as done for `join`.
        """
        self._is_shutdown = True
        if immediate:
            while not self.is_empty():
                if self.kind == OVERRIDDEN:
                    self._get()  # type: ignore[attr-defined]
                else:
                    self.take()
                if self._unfinished_tasks > 0:
                    self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._all_done()
        for waiters in (self.getters, self.putters):
            while waiters:
                wake_next(waiters)
