# cython: boundscheck=False, wraparound=False, nonecheck=True
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

Design. `kind` is found once per class: one of asyncio's three disciplines, whose steps are made
here in C, or OVERRIDDEN when at least one method is the user's; then everything goes through the
methods, as it does in asyncio. Waiters are futures in a deque. They are woken by `set_result`, so
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
from treadle.aio.loopbound import LoopBound, discard, wake_next
from treadle.aio.operation import Operation

__all__ = ["FIFO", "LIFO", "PRIORITY", "QueueCore", "set_kind"]

_append = deque.append
_popleft = deque.popleft
_QueueEmpty = asyncio.QueueEmpty
_QueueFull = asyncio.QueueFull

OVERRIDDEN, FIFO, LIFO, PRIORITY = 0, 1, 2, 3
_KINDS: dict[type, int] = {}  # by class; one that is not here is looked at first
_HOOKS = "_get _init _put _wakeup_next empty full get_nowait maxsize put_nowait qsize".split()
"""What a class must not have overridden to be queued for in C."""


def set_kind(cls: type, kind: int) -> None:
    """Say which discipline the methods of a public class follow."""
    _KINDS[cls] = kind


def _find_kind(cls: type) -> int:
    """Return the discipline of a user's class."""
    base = next(base for base in cls.__mro__ if base in _KINDS)
    kept = all(getattr(cls, name) is getattr(base, name) for name in _HOOKS)
    return _KINDS[base] if kept else OVERRIDDEN


class QueueCore(LoopBound):
    """A queue. See `treadle.Queue`, its public face."""

    def __init__(self, maxsize: Any = 0) -> None:
        self._loop = None
        self._maxsize = maxsize
        self._getters: Any = deque()
        self._putters: Any = deque()
        self._unfinished_tasks = 0
        self._is_shutdown = False
        self.joined: Any = None  # an Event, while somebody may be waiting in join
        kind = _KINDS.get(type(self))
        self.kind = _find_kind(type(self)) if kind is None else kind
        self._init(maxsize)  # type: ignore[attr-defined]  # the public class has it

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
        return len(self._queue)

    def empty(self) -> bool:
        """Return True if no item is in the queue."""
        return not self._queue

    def full(self) -> bool:
        """Return True if the queue holds `maxsize` items; never when `maxsize` is 0 or less."""
        if self.limit <= 0:
            return False
        size: int = self.qsize()
        return size >= self.limit

    def is_empty(self) -> bool:
        """Return `empty()`."""
        if self.kind == OVERRIDDEN:
            return bool(self.empty())
        return not self._queue

    def is_full(self) -> bool:
        """Return `full()`."""
        if self.kind == OVERRIDDEN:
            return bool(self.full())
        return self.limit > 0 and len(self._queue) >= self.limit

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def _format(self) -> str:
        text = f"maxsize={self._maxsize!r}"
        if getattr(self, "_queue", None):
            text += f" _queue={list(self._queue)!r}"
        if self._getters:
            text += f" _getters[{len(self._getters)}]"
        if self._putters:
            text += f" _putters[{len(self._putters)}]"
        if self._unfinished_tasks:
            text += f" tasks={self._unfinished_tasks}"
        if self._is_shutdown:
            text += " shutdown"
        return text

    # putting and taking -----------------------------------------------------------------------

    def put(self, item: Any) -> Any:
        """Put an item into the queue; while the queue is full, wait for room.

        Raises QueueShutDown when the queue is shut down, also while it waits. After a cancellation
        the item is not in the queue, and the next one that waits to put has the turn.
        """
        return new_put(self, item)

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
        return new_get(self)

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
        if kind == FIFO:
            item = _popleft(self._queue)
        elif kind == LIFO:
            item = self._queue.pop()
        elif kind == PRIORITY:
            item = heappop(self._queue)
        else:
            return self.get_nowait()
        if self._putters:
            wake_next(self._putters)
        return item

    def add(self, item: Any) -> None:
        """Add an item to a queue that is not full, and wake who waits for it."""
        kind = self.kind
        if kind == OVERRIDDEN:
            self.put_nowait(item)
            return
        if self._is_shutdown:
            raise QueueShutDown
        if kind == FIFO:
            _append(self._queue, item)
        elif kind == LIFO:
            self._queue.append(item)
        else:
            heappush(self._queue, item)
        self._unfinished_tasks += 1
        if self._getters:
            wake_next(self._getters)

    def _wakeup_next(self, waiters: Any) -> None:
        wake_next(waiters)

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
        """Let no more items in: from now on `put` raises QueueShutDown, and so does who waits in it.

        `get` goes on until the queue is empty, and then raises QueueShutDown too. With `immediate`
        what is in the queue is thrown away, and counts as done for `join`.
        """
        self._is_shutdown = True
        if immediate:
            while not self.is_empty():
                self._get()  # type: ignore[attr-defined]
                if self._unfinished_tasks > 0:
                    self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._all_done()
        for waiters in (self._getters, self._putters):
            while waiters:
                wake_next(waiters)


class Get(Operation):
    """`Queue.get`, awaited once; `owner` is the queue."""

    def begin(self) -> Any:
        """Take an item, or join those who wait for one."""
        queue = self.owner
        if not queue.is_empty():
            self.result = queue.take()
            return None
        if queue._is_shutdown:
            raise QueueShutDown
        future = queue.future()
        queue._getters.append(future)
        return future

    def woken(self) -> Any:
        """Look again: another task may have been faster."""
        return self.begin()

    def failed(self, error: BaseException) -> None:
        """Leave the line; pass on the turn."""
        queue = self.owner
        future = self.waiting
        future.cancel()
        discard(queue._getters, future)
        if not future.cancelled() and not queue.is_empty():
            queue._wakeup_next(queue._getters)

    def title(self) -> str:
        """Return the name of the method."""
        return f"{type(self.owner).__name__}.get"


class Put(Operation):
    """`Queue.put`, awaited once; `owner` is the queue, `argument` the item."""

    def begin(self) -> Any:
        """Put the item, or join those who wait for room."""
        queue = self.owner
        if not queue.is_full():
            queue.add(self.argument)
            return None
        if queue._is_shutdown:
            raise QueueShutDown
        future = queue.future()
        queue._putters.append(future)
        return future

    def woken(self) -> Any:
        """Look again: another task may have been faster."""
        return self.begin()

    def failed(self, error: BaseException) -> None:
        """Leave the line; pass on the turn."""
        queue = self.owner
        future = self.waiting
        future.cancel()
        discard(queue._putters, future)
        if not future.cancelled() and not queue.is_full():
            queue._wakeup_next(queue._putters)

    def title(self) -> str:
        """Return the name of the method."""
        return f"{type(self.owner).__name__}.put"


def new_get(queue: Any) -> Any:
    """Return what `Queue.get` returns."""
    operation = Get.__new__(Get)
    operation.owner = queue
    return operation


def new_put(queue: Any, item: Any) -> Any:
    """Return what `Queue.put` returns."""
    operation = Put.__new__(Put)
    operation.owner = queue
    operation.argument = item
    return operation
