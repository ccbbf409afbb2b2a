"""The ready queue does what a list does, whatever order it is used in."""

from __future__ import annotations

import contextvars

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from treadle._core.handles import new_handle
from treadle._core.ready import Owner, ReadyQueue

word = contextvars.ContextVar("word", default=-1)

# What a callback does besides noting that it ran: a number queues so many more.
CLEAR = "clear"
LEAVE = "leave"  # raises SystemExit

deeds = st.one_of(st.integers(0, 5), st.integers(0, 5), st.sampled_from([CLEAR, LEAVE]))
steps = st.one_of(
    st.tuples(st.just("add"), deeds, st.booleans()),
    st.tuples(st.just("push"), deeds, st.booleans()),
    st.tuples(st.just("add_many"), st.integers(0, 150), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 1000)),
    st.tuples(st.just("pop")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("run"), st.integers(0, 200)),
)


class Base:
    """Numbers the callbacks and notes which of them ran, and with what in their context."""

    def __init__(self):
        self.log = []
        self.last = 0

    def add_many(self, count, keep):
        for _ in range(count):
            self.add(0, keep)

    def do(self, deed):
        if deed == CLEAR:
            self.clear()
        elif deed == LEAVE:
            raise SystemExit
        else:
            self.add_many(deed, False)


class Real(Base):
    """The queue under test. It may use handles again that nobody keeps, so some are kept."""

    def __init__(self):
        super().__init__()
        self.queue = ReadyQueue(Owner())
        self.kept = []

    def __len__(self):
        return self.queue.count

    def called(self, number, deed):
        self.log.append((number, word.get()))
        self.do(deed)

    def add(self, deed, keep):
        self.last += 1
        word.set(self.last)
        handle = self.queue.add(self.called, (self.last, deed), None)
        if keep:
            self.kept.append(handle)

    def push(self, deed, keep):
        self.last += 1
        context = contextvars.copy_context()
        context.run(word.set, self.last)
        handle = new_handle(self.called, (self.last, deed), None, context)
        self.queue.push(handle)
        if keep:
            self.kept.append(handle)

    def cancel(self, which):
        if self.kept:
            self.kept[which % len(self.kept)].cancel()

    def pop(self):
        handle = self.queue.pop()
        self.log.append("popped a cancelled one" if handle.cancelled() else handle._args[0])

    def clear(self):
        self.queue.clear()

    def run(self, count):
        self.queue.run(count)


class Model(Base):
    """A list."""

    def __init__(self):
        super().__init__()
        self.items = []
        self.kept = []
        self.cancelled = set()

    def __len__(self):
        return len(self.items)

    def add(self, deed, keep):
        self.last += 1
        self.items.append((self.last, deed))
        if keep:
            self.kept.append(self.last)

    push = add

    def cancel(self, which):
        if self.kept:
            self.cancelled.add(self.kept[which % len(self.kept)])

    def pop(self):
        number, _ = self.items.pop(0)
        self.log.append("popped a cancelled one" if number in self.cancelled else number)

    def clear(self):
        self.items = []

    def run(self, count):
        while count > 0 and self.items:
            count -= 1
            number, deed = self.items.pop(0)
            if number not in self.cancelled:
                self.log.append((number, number))
                self.do(deed)


def play(side, program):
    """Yield what can be seen of `side` after each step."""
    for name, *arguments in program:
        outcome = None
        try:
            getattr(side, name)(*arguments)
        except (IndexError, SystemExit) as exc:
            outcome = type(exc)
        yield name, outcome, len(side), list(side.log)


def play_in_own_context(side, program):
    return contextvars.Context().run(lambda: list(play(side, program)))


@settings(max_examples=100)
@given(st.lists(steps, max_size=25))
@example([("add_many", 60, False), ("run", 50), ("add_many", 130, True), ("run", 200)])
@example([("add", LEAVE, False), ("add", 3, True), ("run", 5), ("run", 5), ("run", 5)])
@example([("add_many", 3, False), ("add", CLEAR, False), ("add", 1, False), ("run", 9)])
def test_it_does_what_a_list_does(program):
    assert play_in_own_context(Real(), program) == play_in_own_context(Model(), program)


@settings(max_examples=50)
@given(head=st.integers(0, 63), count=st.integers(65, 300))
def test_it_keeps_the_order_when_it_grows_wrapped_around(head, count):
    real = Real()
    real.add_many(head, False)
    real.run(head)
    real.log.clear()
    real.last = 0
    real.add_many(count, False)
    real.run(count)
    assert [number for number, _ in real.log] == list(range(1, count + 1))


def test_what_a_callback_queues_waits_for_the_next_run():
    real = Real()
    real.add(2, False)
    real.add(0, False)
    real.run(len(real))
    assert [number for number, _ in real.log] == [1, 2]
    real.run(len(real))
    assert [number for number, _ in real.log] == [1, 2, 3, 4]


def test_an_empty_queue_has_nothing_to_pop():
    with pytest.raises(IndexError):
        ReadyQueue(Owner()).pop()
