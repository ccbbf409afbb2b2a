"""The timer queue does what a list sorted by (deadline, order of insertion) does."""

from __future__ import annotations

import contextvars
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from treadle._core.clock import LAST_DEADLINE
from treadle._core.handles import new_timer_handle
from treadle._core.timers import NO_DEADLINE, TimerQueue

SPARED = 64  # so many cancelled timers may stay however few are alive (COMPACT_FROM)

deadlines = st.one_of(
    st.integers(-3, 10), st.integers(-(10**6), 10**6), st.sampled_from([LAST_DEADLINE, 2**62])
)
steps = st.one_of(
    st.tuples(st.just("push"), deadlines),
    st.tuples(st.just("push"), deadlines),
    st.tuples(st.just("push_many"), st.lists(st.integers(0, 20), max_size=5), st.integers(1, 50)),
    st.tuples(st.just("cancel"), st.integers(0, 1000)),
    st.tuples(st.just("cancel_many"), st.integers(0, 5), st.integers(1, 4)),
    st.tuples(st.just("pop_due"), deadlines),
    st.tuples(st.just("pop_all_due"), deadlines),
    st.tuples(st.just("next_deadline")),
    st.tuples(st.just("clear")),
)


def nothing():
    """What the timers would call; nobody does."""


class Base:
    """What is done in the same way on both sides."""

    def push_many(self, deadlines, times):
        for deadline in deadlines * times:
            self.push(deadline)

    def cancel_many(self, start, stride):
        for which in range(start, self.pushed, stride):
            self.cancel(which)

    def pop_all_due(self, now):
        popped = []
        while (number := self.pop_due(now)) is not None:
            popped.append(number)
        return popped


class Real(Base):
    """The queue under test; keeps every handle, in the order in which they were made."""

    def __init__(self):
        self.queue = TimerQueue()
        self.handles = []

    @property
    def pushed(self):
        return len(self.handles)

    def push(self, deadline):
        context = contextvars.Context()
        handle = new_timer_handle(
            deadline / 1e9, deadline, nothing, (self.pushed,), None, context, self.queue
        )
        self.handles.append(handle)
        self.queue.push(handle)

    def cancel(self, which):
        if self.handles:
            self.handles[which % self.pushed].cancel()

    def pop_due(self, now):
        handle = self.queue.pop_due(now)
        return None if handle is None else handle._args[0]

    def next_deadline(self):
        deadline = self.queue.next_deadline()
        return deadline if self.queue.heap else None

    def clear(self):
        self.queue.clear()

    def check(self):
        heap, dead = self.queue.heap, self.queue.dead
        for i in range(1, len(heap)):
            parent, child = heap[(i - 1) // 2], heap[i]
            assert (parent.deadline, parent.sequence) < (child.deadline, child.sequence)
        assert dead == sum(handle.cancelled() for handle in heap)
        inside = {id(handle) for handle in heap}
        assert len(inside) == len(heap)
        assert all(handle._scheduled == (id(handle) in inside) for handle in self.handles)


class Model(Base):
    """A list of (deadline, number), sorted when looked at."""

    def __init__(self):
        self.pushed = 0
        self.live = []

    def push(self, deadline):
        self.live.append((deadline, self.pushed))
        self.pushed += 1

    def cancel(self, which):
        if self.pushed:
            number = which % self.pushed
            self.live = [item for item in self.live if item[1] != number]

    def pop_due(self, now):
        if not self.live or min(self.live)[0] > now:
            return None
        first = min(self.live)
        self.live.remove(first)
        return first[1]

    def next_deadline(self):
        return min(self.live)[0] if self.live else None

    def clear(self):
        self.live = []


@settings(max_examples=100)
@given(st.lists(steps, max_size=20))
@example([("push_many", [5, 3], 50), ("cancel_many", 0, 3), ("cancel_many", 1, 3)])
@example([("push", -1), ("next_deadline",), ("pop_due", -2), ("pop_due", -1)])
@example([("push", 0), ("push", 0), ("push", 0), ("cancel", 0), ("pop_all_due", 0)])
def test_it_does_what_a_sorted_list_does(program):
    real, model = Real(), Model()
    for name, *arguments in program:
        seen = getattr(real, name)(*arguments)
        assert seen == getattr(model, name)(*arguments)
        assert len(real.queue) == len(model.live)
        real.check()
    assert real.pop_all_due(LAST_DEADLINE) == model.pop_all_due(LAST_DEADLINE)


@settings(max_examples=30)
@given(count=st.integers(0, 400), random=st.randoms(use_true_random=False))
@example(count=400, random=Random(1))
def test_cancelled_timers_do_not_pile_up(count, random):
    deadlines = [random.randrange(50) for _ in range(count)]
    real = Real()
    real.push_many(deadlines, 1)
    order = list(range(count))
    random.shuffle(order)
    for cancelled, which in enumerate(order, 1):
        real.cancel(which)
        alive = count - cancelled
        assert len(real.queue) == alive
        assert len(real.queue.heap) <= 2 * alive + SPARED + 1
    assert real.next_deadline() is None


def test_an_empty_queue_has_no_deadline():
    queue = TimerQueue()
    assert queue.next_deadline() == NO_DEADLINE
    assert queue.pop_due(LAST_DEADLINE) is None


def test_a_deadline_is_due_at_its_own_nanosecond_and_not_before():
    real = Real()
    real.push(1000)
    assert real.pop_due(999) is None
    assert real.pop_due(1000) == 0
