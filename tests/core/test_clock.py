"""The clock seam: deadlines are rounded up, and the loop's time is its clock's."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import FakeClock
from treadle._core.clock import LAST_DEADLINE, Clock, deadline_after


def test_the_clock_is_the_one_that_time_monotonic_reads():
    before = time.monotonic_ns()
    now = Clock().now_ns()
    assert before <= now <= time.monotonic_ns()


def test_a_deadline_is_rounded_up_to_the_next_nanosecond():
    assert deadline_after(100, 1.5e-9) == 102
    assert deadline_after(100, 0.1e-9) == 101
    assert deadline_after(100, 0.0) == 100


def test_a_negative_delay_gives_a_deadline_in_the_past():
    assert deadline_after(100, -50e-9) <= 50 + 1
    assert deadline_after(0, -1.0) == -1_000_000_000


def test_infinity_is_the_last_deadline():
    assert deadline_after(5, math.inf) == LAST_DEADLINE
    assert deadline_after(0, 1e300) == LAST_DEADLINE


def test_minus_infinity_is_the_first_deadline():
    assert deadline_after(5, -math.inf) == -LAST_DEADLINE


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not-a-number"):
        deadline_after(0, math.nan)


@given(st.integers(0, 2**60), st.floats(0, 1e6))
def test_no_deadline_is_early(start, seconds):
    assert deadline_after(start, seconds) - start >= seconds * 1e9


@given(st.integers(0, 2**62), st.floats(allow_nan=False))
def test_every_deadline_fits_into_63_bits(start, seconds):
    assert -LAST_DEADLINE <= deadline_after(start, seconds) <= LAST_DEADLINE


def test_the_loop_reads_the_clock_that_it_was_given(virtual):
    loop, clock = virtual
    clock.ns = 1_250_000_000
    assert loop.time() == 1.25
    clock.ns += 500_000_000
    assert loop.time() == 1.75


def test_a_failing_clock_ends_the_run_with_its_exception(make_loop):
    class Broken(FakeClock):
        def now_ns(self):
            raise OSError("no clock")

    loop = make_loop(clock=Broken())
    loop.call_at(1, print)
    with pytest.raises(OSError, match="no clock"):
        loop.run_forever()
