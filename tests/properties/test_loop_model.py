"""A loop runs random programs in the order that a model of asyncio's rules gives.

The rules. A turn runs the handles that were ready when it began, first in, first out; what they
queue runs in the next turn. Timers that are due are appended to what is ready, by deadline, then
by insertion, and never early. `stop` ends the run after its turn. With nothing ready, time passes
until the next deadline.

Time is a counter that stands still while callbacks run, unless they move it. All that happens
happens within a millisecond: a deadline that near is seen in the first turn that may see it, while
one that is far may be seen a few turns late by a loop with much to do. The same programs run on
asyncio, whose clock counts in nanoseconds here, to show that the model is asyncio's. Its heap knows
deadlines only, so there each timer has one of its own.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

import treadle
from tests.kit import FakeClock, JumpingDriver

TICK = 2**-20  # seconds, about a microsecond; products with 10**9 are exact in a float
START = 10**9  # nanoseconds
END = 2_000_000  # nanoseconds after START; everything else is over by then
MOST_STEPS = 40
MOST_WAITS = 1000


def nanoseconds(ticks):
    """What a delay is in nanoseconds, rounded up: a timer is never early."""
    return math.ceil(Fraction(TICK) * ticks * 10**9)


leaves = st.one_of(
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("advance"), st.integers(0, 12), st.sampled_from([-1, 0, 1])),
    st.tuples(st.just("stop")),
)


def branches(bodies):
    return st.one_of(
        st.tuples(st.just("soon"), bodies),
        st.tuples(st.just("threadsafe"), bodies),
        st.tuples(st.just("later"), st.integers(-4, 10), bodies),
        st.tuples(st.just("later"), st.sampled_from([0, 3]), bodies),
    )


bodies = st.recursive(
    st.lists(leaves, max_size=2),
    lambda inner: st.lists(st.one_of(branches(inner), branches(inner), leaves), max_size=5),
    max_leaves=MOST_STEPS // 2,
)


class Program:
    """Runs one program on a loop or on the model; logs what runs, and when."""

    def __init__(self):
        self.log = []
        self.handles = []

    def body(self, steps):
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    def callback(self, steps):
        """Make the callback that does `steps`; it has a number of its own."""
        number = len(self.handles)

        def called():
            self.log.append((number, self.now() - START))
            self.body(steps)

        return called

    def soon(self, steps):
        self.handles.append(self.call_soon(self.callback(steps)))

    def threadsafe(self, steps):
        self.handles.append(self.call_threadsafe(self.callback(steps)))

    def later(self, ticks, steps):
        self.handles.append(self.call_later(ticks, self.callback(steps)))

    def cancel(self, which):
        if self.handles:
            self.cancel_handle(self.handles[which % len(self.handles)])

    def run(self, steps):
        """Run until all is over, again after each stop."""
        over = []

        def end():
            over.append(True)
            self.stop()

        self.at_end(end)
        self.body(steps)
        while not over:
            self.run_until_stopped()
            self.log.append("stopped")
        return self.log


class Model(Program):
    """The rules."""

    def __init__(self, distinct=False):
        super().__init__()
        self.clock = START
        self.ready = []
        self.timers = []  # [deadline, number, callback]; sorted when looked at
        self.cancelled = set()
        self.stopping = False
        self.made = 0
        self.spread = Spread() if distinct else None

    def now(self):
        return self.clock

    def advance(self, ticks, more):
        self.clock += max(0, nanoseconds(ticks) + more)

    def stop(self):
        self.stopping = True

    def call_soon(self, callback):
        self.made += 1
        self.ready.append((self.made, callback))
        return self.made

    call_threadsafe = call_soon

    def call_later(self, ticks, callback):
        return self.call_at(self.clock + nanoseconds(ticks), callback)

    def call_at(self, deadline, callback):
        if self.spread:
            deadline = self.spread.own(deadline)
        self.made += 1
        self.timers.append((deadline, self.made, callback))
        return self.made

    def at_end(self, callback):
        self.call_at(START + END, callback)

    def cancel_handle(self, handle):
        self.cancelled.add(handle)

    def run_until_stopped(self):
        while True:
            self.timers = sorted(t for t in self.timers if t[1] not in self.cancelled)
            if not self.ready and not self.stopping:
                self.clock = max(self.clock, self.timers[0][0])
            while self.timers and self.timers[0][0] <= self.clock:
                self.ready.append(self.timers.pop(0)[1:])
            turn, self.ready = self.ready, []
            for number, callback in turn:
                if number not in self.cancelled:
                    callback()
            if self.stopping:
                self.stopping = False
                return


class Spread:
    """Gives each timer a deadline of its own: the next free nanosecond."""

    def __init__(self):
        self.taken = set()

    def own(self, deadline):
        while deadline in self.taken:
            deadline += 1
        self.taken.add(deadline)
        return deadline


class OnLoop(Program):
    """A program on a loop, whose clock has a field `ns`."""

    def __init__(self, loop, clock):
        super().__init__()
        self.loop = loop
        self.clock = clock
        self.stop = loop.stop
        self.call_soon = loop.call_soon
        self.run_until_stopped = loop.run_forever

    def now(self):
        return self.clock.ns

    def advance(self, ticks, more):
        self.clock.ns += max(0, nanoseconds(ticks) + more)

    def call_threadsafe(self, callback):
        made = []
        thread = threading.Thread(
            target=lambda: made.append(self.loop.call_soon_threadsafe(callback))
        )
        thread.start()
        thread.join()
        return made[0]

    def call_later(self, ticks, callback):
        return self.loop.call_later(ticks * TICK, callback)

    def at_end(self, callback):
        self.loop.call_later(END / 1e9, callback)

    def cancel_handle(self, handle):
        handle.cancel()


class OnAsyncio(OnLoop):
    """The same on asyncio, where a second is a nanosecond long, so that its floats are exact."""

    def __init__(self, loop, clock):
        super().__init__(loop, clock)
        self.spread = Spread()

    def call_later(self, ticks, callback):
        return self.call_at(self.clock.ns + nanoseconds(ticks), callback)

    def call_at(self, deadline, callback):
        return self.loop.call_at(float(self.spread.own(deadline)), callback)

    def at_end(self, callback):
        self.call_at(START + END, callback)


class JumpingSelector(selectors.DefaultSelector):
    """Where it would wait for a while, the clock jumps to the end of it instead."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def select(self, timeout=None):
        assert timeout is not None, "nothing is scheduled: the loop would wait for ever"
        self.clock.ns += int(max(0, timeout))
        return super().select(0)


class AsyncioLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on a clock that counts nanoseconds."""

    def __init__(self, clock):
        super().__init__(JumpingSelector(clock))
        self.clock = clock
        self._clock_resolution = 0.5  # less than that does not exist
        self.slow_callback_duration = math.inf

    def time(self):
        return float(self.clock.ns)


class PatientDriver(JumpingDriver):
    """Notices a loop that asks again and again while nothing changes."""

    def wait(self, timeout_ns):
        assert len(self.waits) < MOST_WAITS, "the loop spins"
        super().wait(timeout_ns)


def new_clock():
    clock = FakeClock()
    clock.ns = START
    return clock


EXAMPLES = [
    # due timers come after what was ready, by deadline, then by insertion
    [
        ("later", 3, []),
        ("later", 2, []),
        ("later", 2, []),
        ("later", -1, []),
        ("later", 0, [("soon", [])]),
        ("soon", [("advance", 3, -1), ("soon", [("advance", 0, 1)])]),
    ],
    # a nanosecond too early, for several turns
    [("later", 3, []), ("soon", [("advance", 3, -1), ("soon", [("soon", [("soon", [])])])])],
    # stop lets the turn end; what it queued waits for the next run
    [("soon", [("stop",), ("soon", [("stop",)]), ("later", 0, [])]), ("soon", [])],
    # cancelled by a neighbour in the same turn, and after it was due
    [("later", 1, []), ("later", 1, [("cancel", 2)]), ("later", 1, []), ("cancel", 0)],
    [("soon", [("advance", 5, 0), ("cancel", 1), ("threadsafe", [])]), ("later", 5, [])],
]


def on_treadle(program, debug):
    clock = new_clock()
    loop = treadle.Loop(driver=PatientDriver(clock), clock=clock)
    try:
        loop.set_debug(debug)
        return OnLoop(loop, clock).run(program)
    finally:
        loop.close()


def on_asyncio(program):
    clock = new_clock()
    loop = AsyncioLoop(clock)
    try:
        return OnAsyncio(loop, clock).run(program)
    finally:
        loop.close()


def with_examples(test):
    for program in EXAMPLES:
        test = example(program)(test)
    return test


@settings(max_examples=100)
@with_examples
@given(bodies)
def test_a_loop_runs_programs_in_the_order_of_the_rules(program):
    assert on_treadle(program, debug=False) == Model().run(program)


@settings(max_examples=30)
@with_examples
@given(bodies)
def test_debug_mode_does_not_change_the_order(program):
    assert on_treadle(program, debug=True) == Model().run(program)


@settings(max_examples=50)
@with_examples
@given(bodies)
def test_the_rules_are_asyncios(program):
    assert on_asyncio(program) == Model(distinct=True).run(program)
