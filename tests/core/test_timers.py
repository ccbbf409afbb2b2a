"""Timers: by deadline, then by insertion; never early; cancelled ones do not pile up."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import treadle
from tests.kit import MILLISECOND, SECOND, FakeClock, JumpingDriver
from treadle._core.clock import LAST_DEADLINE
from treadle._core.handles import TimerHandle, new_timer_handle
from treadle._core.timers import TimerQueue


def timer(queue, deadline):
    """Push a timer with this deadline."""
    handle = new_timer_handle(deadline / 1e9, deadline, str, (), None, None, queue)
    queue.push(handle)
    return handle


def run_until(loop, seconds):
    """Run a virtual loop for so long."""
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


# order ---------------------------------------------------------------------------------------


def test_timers_run_by_deadline(loop):
    called = []
    now = loop.time()
    for i in (3, 1, 4, 0, 2):
        loop.call_at(now - 10 + i, called.append, i)
    loop.call_at(now, loop.stop)
    loop.run_forever()
    assert called == [0, 1, 2, 3, 4]


def test_timers_with_one_deadline_run_in_the_order_in_which_they_were_set(virtual):
    loop, _ = virtual
    called = []
    for i in range(100):
        loop.call_at(1.0, called.append, i)
    run_until(loop, 1)
    assert called == list(range(100))


def test_cancelled_timers_do_not_change_the_order_of_the_others(virtual):
    loop, _ = virtual
    called = []
    handles = [loop.call_at(1.0 + i % 3, called.append, (i % 3, i)) for i in range(100)]
    for handle in handles[::2]:
        handle.cancel()
    run_until(loop, 5)
    assert called == sorted((i % 3, i) for i in range(1, 100, 2))


def test_a_due_timer_runs_after_what_was_ready_before(loop):
    called = []
    loop.call_at(loop.time() - 1, called.append, "timer")
    loop.call_soon(called.append, "ready")
    loop.stop()
    loop.run_forever()
    assert called == ["ready", "timer"]


def test_a_timer_that_is_due_at_once_waits_for_the_next_turn(virtual):
    loop, _ = virtual
    called = []

    def first():
        loop.call_later(0, called.append, "timer")
        loop.call_soon(called.append, "soon")

    loop.call_soon(first)
    loop.call_soon(called.append, "second")
    run_until(loop, 1)
    assert called == ["second", "soon", "timer"]


def test_delays_in_the_past_run_by_how_long_ago_they_were(virtual):
    loop, clock = virtual
    clock.ns = SECOND
    called = []
    for delay in (0, -1, -0.5, -math.inf, -2.5, -1e300):
        loop.call_later(delay, called.append, delay)
    run_until(loop, 1)
    assert called == [-math.inf, -1e300, -2.5, -1, -0.5, 0]


def test_a_deadline_before_the_clocks_beginning_does_not_make_the_loop_wait(loop):
    loop.call_at(-5, loop.stop)
    loop.run_forever()


def test_a_delay_longer_ago_than_the_clock_has_run_does_not_make_the_loop_wait(loop):
    loop.call_later(-1e12, loop.stop)
    loop.run_forever()


# never early ---------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [1e-9, 1e-6, 0.001, 0.1, 1, 3600, 1e6])
def test_a_timer_is_not_early_by_a_nanosecond(virtual, delay):
    loop, clock = virtual
    clock.ns = 123_456_789_012_345
    due = clock.ns + round(delay * 1e9)
    seen = []
    loop.call_later(delay, lambda: seen.append(clock.ns))
    run_until(loop, delay)
    assert seen == [due]


def test_the_loop_looks_again_when_the_driver_returns_too_soon(make_loop):
    class Hasty(JumpingDriver):
        def wait(self, timeout_ns):
            super().wait(min(timeout_ns, 7 * MILLISECOND))

    clock = FakeClock()
    loop = make_loop(driver=Hasty(clock), clock=clock)
    seen = []
    loop.call_later(0.05, lambda: seen.append(clock.ns))
    run_until(loop, 0.05)
    assert seen == [50 * MILLISECOND]


@example(start=18503, delay=562949.98236416)  # rounds down when it is made nanoseconds
@given(start=st.integers(0, 2**50), delay=st.floats(0, 1e6))
def test_a_timer_sees_the_time_that_it_was_set_for(start, delay):
    clock = FakeClock()
    clock.ns = start
    with contextlib.closing(treadle.Loop(driver=JumpingDriver(clock), clock=clock)) as loop:
        when = loop.time() + delay
        seen = []
        loop.call_at(when, lambda: seen.append(loop.time()))
        loop.call_at(when, loop.stop)
        loop.run_forever()
        assert seen[0] >= when


@pytest.mark.every_driver
@pytest.mark.parametrize("delay", [0.0001, 0.0011, 0.0123])
def test_a_timer_is_not_early_on_the_systems_clock(loop_factory, delay):
    with contextlib.closing(loop_factory()) as loop:
        start = time.monotonic_ns()
        loop.call_later(delay, loop.stop)
        loop.run_forever()
        # asyncio runs timers early by up to its clock's resolution, a nanosecond
        assert time.monotonic_ns() - start >= delay * 1e9 - 1


def test_the_driver_is_asked_to_wait_exactly_until_the_deadline(make_loop):
    clock = FakeClock()
    driver = JumpingDriver(clock)
    loop = make_loop(driver=driver, clock=clock)
    loop.call_later(1.5, loop.stop)
    loop.run_forever()
    assert [timeout for timeout in driver.waits if timeout] == [1_500_000_000]


def test_a_cancelled_timer_does_not_end_the_wait(make_loop):
    clock = FakeClock()
    driver = JumpingDriver(clock)
    loop = make_loop(driver=driver, clock=clock)
    first = loop.call_later(1, print)
    loop.call_later(2, loop.stop)
    first.cancel()
    loop.run_forever()
    assert [timeout for timeout in driver.waits if timeout] == [2 * SECOND]


def test_a_wait_longer_than_kernels_like_is_made_in_pieces(make_loop):
    clock = FakeClock()
    driver = JumpingDriver(clock)
    loop = make_loop(driver=driver, clock=clock)
    days = 100
    loop.call_later(days * 86400, loop.stop)
    loop.run_forever()
    assert clock.ns == days * 86400 * SECOND
    assert max(driver.waits) <= 86400 * SECOND


def test_a_timer_never_due_leaves_the_others_alone(virtual):
    loop, clock = virtual
    never = loop.call_later(math.inf, print)
    ages = loop.call_at(1e300, print)
    run_until(loop, 3)
    assert clock.ns == 3 * SECOND
    assert never.when() == math.inf
    assert ages.when() == 1e300
    never.cancel()
    ages.cancel()


# arguments -----------------------------------------------------------------------------------


@pytest.mark.treadle_only
@pytest.mark.parametrize("seconds", [math.nan, -math.nan])
def test_not_a_number_is_refused(loop, seconds):
    with pytest.raises(ValueError, match="not-a-number"):
        loop.call_later(seconds, print)
    with pytest.raises(ValueError, match="not-a-number"):
        loop.call_at(seconds, print)


def test_none_is_refused(loop):
    with pytest.raises(TypeError, match="None"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match="None"):
        loop.call_at(None, print)


def test_a_word_is_refused(loop):
    with pytest.raises(TypeError):
        loop.call_later("soon", print)


def test_numbers_of_every_kind_are_taken(virtual):
    loop, _ = virtual
    called = []
    for delay in (1, True, Fraction(3, 2), 2.5):
        loop.call_later(delay, called.append, float(delay))
    loop.call_at(Fraction(7, 2), called.append, 3.5)
    run_until(loop, 10)
    assert called == [1.0, 1.0, 1.5, 2.5, 3.5]


def test_timers_on_a_closed_loop_are_refused(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_at(1, print)


# sleeping ------------------------------------------------------------------------------------


def test_a_thousand_sleepers_wake_in_the_order_of_their_deadlines(virtual):
    loop, _ = virtual
    woken = []

    async def sleep(seconds):
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def main():
        delays = [(i * 7919) % 1000 + 1 for i in range(1000)]
        await asyncio.gather(*[sleep(delay) for delay in delays])

    loop.run_until_complete(main())
    assert woken == sorted(woken)
    assert len(woken) == 1000


def test_a_timer_set_from_a_thread_through_the_loop_wakes_it(loop):
    def work():
        loop.call_soon_threadsafe(loop.call_later, 0, loop.stop)

    worker = threading.Thread(target=work)
    loop.call_soon(worker.start)
    loop.run_forever()
    worker.join()


# the queue itself ----------------------------------------------------------------------------


def test_an_empty_queue_has_no_deadline():
    queue = TimerQueue()
    assert len(queue) == 0
    assert queue.next_deadline() == -1
    assert queue.pop_due(LAST_DEADLINE) is None


def test_a_timer_is_due_at_its_deadline_and_not_before():
    queue = TimerQueue()
    handle = timer(queue, 100)
    assert queue.pop_due(99) is None
    assert queue.pop_due(100) is handle


def test_a_popped_timer_is_no_longer_scheduled():
    queue = TimerQueue()
    handle = timer(queue, 100)
    assert handle._scheduled
    queue.pop_due(100)
    assert not handle._scheduled


def test_a_hundred_thousand_cancelled_timers_leave_almost_nothing():
    queue = TimerQueue()
    keep = [timer(queue, 10**9 + i) for i in range(100)]
    longest = 0
    for i in range(100_000):
        timer(queue, i * 7919 % 10**6).cancel()
        longest = max(longest, len(queue.heap))
    assert longest <= 2 * len(keep) + 2 * 64 + 2
    assert len(queue) == len(keep)


def test_cancelling_in_order_of_insertion_leaves_almost_nothing():
    queue = TimerQueue()
    handles = [timer(queue, i) for i in range(10_000)]
    for handle in handles:
        handle.cancel()
    assert len(queue) == 0
    assert len(queue.heap) <= 2 * 64


def test_the_newest_timer_leaves_at_once_when_cancelled():
    queue = TimerQueue()
    timer(queue, 5)
    timer(queue, 9).cancel()
    assert len(queue.heap) == 1
    assert queue.dead == 0


def test_cancelling_after_the_queue_was_cleared_does_nothing():
    queue = TimerQueue()
    handle = timer(queue, 5)
    queue.clear()
    handle.cancel()
    assert len(queue) == 0
    assert queue.dead == 0


def test_cancelling_after_the_timer_was_popped_does_nothing():
    queue = TimerQueue()
    first = timer(queue, 5)
    timer(queue, 6)
    queue.pop_due(5)
    first.cancel()
    assert len(queue) == 1
    assert queue.dead == 0


def test_a_queue_with_only_cancelled_timers_has_no_deadline():
    queue = TimerQueue()
    handles = [timer(queue, i) for i in range(10)]
    for handle in handles:
        handle.cancel()
    assert queue.next_deadline() == -1
    assert queue.heap == []


def test_deadlines_at_the_ends_of_time_are_ordered():
    queue = TimerQueue()
    last, first, middle = (timer(queue, d) for d in (LAST_DEADLINE, -LAST_DEADLINE, 0))
    assert queue.pop_due(LAST_DEADLINE) is first
    assert queue.pop_due(LAST_DEADLINE) is middle
    assert queue.pop_due(LAST_DEADLINE - 1) is None
    assert queue.pop_due(LAST_DEADLINE) is last


def test_a_timer_handle_made_by_hand_belongs_to_no_queue():
    handle = TimerHandle(1.0, print, (), None)
    handle.cancel()
    assert handle.cancelled()
    assert handle.when() == 1.0
