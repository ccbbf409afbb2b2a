# cython: annotation_typing=True
"""The clock seam, compiled: one call of clock_gettime(2), which the vDSO answers without a trap."""

import cython
from cython.cimports.libc.math import ceil, isnan
from cython.cimports.treadle._sys.time import CLOCK_MONOTONIC, clock_gettime, timespec

LAST_DEADLINE = 2**63 - 1  # nanoseconds; what infinity becomes
LONG_AGO = cython.declare(cython.double, -1e300)


class Clock:
    """The system's monotonic clock, the one that ``time.monotonic`` reads."""

    def now_ns(self):
        """Return nanoseconds since an arbitrary point; never goes back."""
        now: timespec
        clock_gettime(CLOCK_MONOTONIC, cython.address(now))
        return cython.cast(cython.longlong, now.tv_sec) * 1000000000 + now.tv_nsec


def deadline_after(start, seconds, when=LONG_AGO):
    """Return the deadline `seconds` after `start`, both clock values in nanoseconds.

    Rounded up, and so that the clock, read as seconds, shows at least `when` by then: a timer is
    never early, neither in nanoseconds nor in the float that its user compares.
    """
    nanoseconds: cython.double = seconds * 1e9
    if isnan(nanoseconds):
        raise ValueError("a timer cannot be set to not-a-number: give seconds")
    if start + nanoseconds > 9e18:
        return 0x7FFFFFFFFFFFFFFF
    if nanoseconds < -9e18:
        return -0x7FFFFFFFFFFFFFFF
    deadline: cython.longlong = start + cython.cast(cython.longlong, ceil(nanoseconds))
    step: cython.longlong = 1
    while deadline / 1e9 < when:
        deadline += step
        step *= 2
    return deadline
