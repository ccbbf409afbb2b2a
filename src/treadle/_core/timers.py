# cython: boundscheck=False, wraparound=False
"""Timers: a binary heap ordered by deadline, then by insertion.

Timers never read the clock: now is passed in.

Why a heap and not a timer wheel: a wheel needs a tick, and a tick makes timers late or wakes the
process for nothing; a heap gives the exact next deadline. A push whose deadline is the latest so
far, which is what timeouts of one length are, compares once and stays where it is.

Most timers are timeouts that never fire. Cancelling one that is still the last of the array takes
it out at once; any other stays as a dead entry, and when dead entries are more than half, the heap
is built anew from the live ones. So after a cancellation the heap holds at most twice what is alive
plus `COMPACT_FROM`, and a cancellation costs constant time on average.
"""

from __future__ import annotations

from treadle._core.handles import TimerHandle, TimerHolder

__all__ = ["TimerQueue"]

COMPACT_FROM = 64  # fewer dead entries than this are not worth a rebuild
NO_DEADLINE = -1


class TimerQueue(TimerHolder):
    """Timer handles by (deadline, order of insertion).

    Invariant: ``heap[(i - 1) // 2] <= heap[i]`` for every i > 0, and `dead` is the number of
    cancelled handles in the heap.
    """

    def __init__(self) -> None:
        self.heap: list[TimerHandle] = []
        self.dead = 0
        self.sequence = 0  # of the last handle pushed

    def __len__(self) -> int:
        """Return how many timers are waiting, cancelled ones not counted."""
        return len(self.heap) - self.dead

    def push(self, handle: TimerHandle) -> None:
        """Add a handle whose `deadline` is set."""
        self.sequence += 1
        handle.sequence = self.sequence
        handle._scheduled = True
        heap = self.heap
        heap.append(handle)
        _sift_up(heap, len(heap) - 1)

    def next_deadline(self) -> int:
        """Return the earliest live deadline in nanoseconds; without one, `NO_DEADLINE`.

        The heap is empty then, which tells it from a deadline of that value.
        """
        heap = self.heap
        while heap:
            first: TimerHandle = heap[0]
            if not first._cancelled:
                return first.deadline
            self._pop_first()
            self.dead -= 1
        return NO_DEADLINE

    def pop_due(self, now: int) -> TimerHandle | None:
        """Take the earliest live handle whose deadline is not after `now`, or return None."""
        heap = self.heap
        while heap:
            first: TimerHandle = heap[0]
            if first._cancelled:
                self._pop_first()
                self.dead -= 1
                continue
            if first.deadline > now:
                return None
            self._pop_first()
            return first
        return None

    def note_cancelled(self, handle: TimerHandle) -> None:
        """Hear from a handle in this queue that it was cancelled."""
        heap = self.heap
        if not heap or not handle._scheduled:
            return
        if heap[len(heap) - 1] is handle:
            heap.pop()
            handle._scheduled = False
            return
        self.dead += 1
        if self.dead > COMPACT_FROM and self.dead * 2 > len(heap):
            self._compact()

    def clear(self) -> None:
        """Drop every handle."""
        dropped = self.heap  # dies last: that runs destructors, which may set timers
        self.heap = []
        self.dead = 0
        for handle in dropped:
            _unschedule(handle)

    def _pop_first(self) -> None:
        heap = self.heap
        first: TimerHandle = heap[0]
        last: TimerHandle = heap.pop()
        if heap:
            heap[0] = last
            _sift_down(heap, 0)
        first._scheduled = False

    def _compact(self) -> None:
        live: list[TimerHandle] = []
        handle: TimerHandle
        mixed = self.heap  # dies last: that runs destructors, which may set timers
        for handle in mixed:
            if handle._cancelled:
                handle._scheduled = False
            else:
                live.append(handle)
        self.heap = live
        self.dead = 0
        for position in range(len(live) // 2 - 1, -1, -1):
            _sift_down(live, position)


def _unschedule(handle: TimerHandle) -> None:
    handle._scheduled = False


def _before(a: TimerHandle, b: TimerHandle) -> bool:
    if a.deadline != b.deadline:
        return a.deadline < b.deadline
    return a.sequence < b.sequence


def _sift_up(heap: list[TimerHandle], position: int) -> None:
    handle: TimerHandle = heap[position]
    while position > 0:
        parent_position = (position - 1) >> 1
        parent: TimerHandle = heap[parent_position]
        if not _before(handle, parent):
            break
        heap[position] = parent
        position = parent_position
    heap[position] = handle


def _sift_down(heap: list[TimerHandle], position: int) -> None:
    size = len(heap)
    handle: TimerHandle = heap[position]
    child = 2 * position + 1
    while child < size:
        smaller: TimerHandle = heap[child]
        if child + 1 < size:
            right: TimerHandle = heap[child + 1]
            if _before(right, smaller):
                child += 1
                smaller = right
        if not _before(smaller, handle):
            break
        heap[position] = smaller
        position = child
        child = 2 * position + 1
    heap[position] = handle
