"""A loop whose ``time()`` was replaced, by a derived class or on the object, goes by that.

Tests of programs do it, to let time stand still or jump. The loop itself never calls its own
``time()``: it would cost a Python call wherever the clock is read. So it is given another clock
then, and told to count deadlines in what that shows.
"""

from __future__ import annotations

from typing import Any

from treadle._core.clock import Clock, deadline_after

__all__ = ["OwnTime"]


class OwnTime(Clock):
    """Reads the time that ``loop.time()`` tells.

    Rounded as a deadline is: when the time has reached what ``call_at`` was given, so has the
    clock.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """Return the loop's time in nanoseconds."""
        seconds = self._loop.time()
        return deadline_after(0, seconds, seconds)
