"""The clock seam: the one place where the loop learns what time it is.

Timers never read the clock: now is passed in. A simulation hands its own `Clock` to the loop.
This is the plain twin; the compiled one is ``clock_native.py``.
"""

from __future__ import annotations

import math
import time

__all__ = ["LAST_DEADLINE", "Clock", "deadline_after"]

LAST_DEADLINE = 2**63 - 1  # nanoseconds; what infinity becomes
LONG_AGO = -1e300


class Clock:
    """The system's monotonic clock, the one that ``time.monotonic`` reads."""

    def now_ns(self) -> int:
        """Return nanoseconds since an arbitrary point; never goes back."""
        return time.monotonic_ns()


def deadline_after(start: int, seconds: float, when: float = LONG_AGO) -> int:
    """Return the deadline `seconds` after `start`, both clock values in nanoseconds.

    Rounded up, and so that the clock, read as seconds, shows at least `when` by then: a timer is
    never early, neither in nanoseconds nor in the float that its user compares.
    """
    nanoseconds = seconds * 1e9
    if math.isnan(nanoseconds):
        raise ValueError("a timer cannot be set to not-a-number: give seconds")
    if start + nanoseconds > 9e18:
        return LAST_DEADLINE
    if nanoseconds < -9e18:
        return -LAST_DEADLINE
    deadline = start + math.ceil(nanoseconds)
    step = 1
    while deadline / 1e9 < when:
        deadline += step
        step *= 2
    return deadline
