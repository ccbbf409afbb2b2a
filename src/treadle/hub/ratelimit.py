"""How often a client may speak: the generic cell rate algorithm (ITU-T I.371).

A connection's whole state is one number, the time at which it will have paid for everything that it
said. This file reads no clock: now is passed in.
"""

from __future__ import annotations

__all__ = ["RateLimit"]


class RateLimit:
    """`rate` events a second on average, `burst` at once.

    >>> limit = RateLimit(rate=1.0, burst=2)
    >>> paid = limit.admit(0.0, now=10.0)
    >>> paid = limit.admit(paid, now=10.0)
    >>> limit.admit(paid, now=10.0) is None
    True
    >>> limit.admit(paid, now=11.0) is None
    False
    """

    __slots__ = ("_cost", "_slack")

    def __init__(self, rate: float, burst: int) -> None:
        if not rate > 0 or burst < 1:
            raise ValueError(f"a rate is above 0 and a burst at least 1, not {rate} and {burst}")
        self._cost = 1.0 / rate
        self._slack = (burst - 1) / rate

    def admit(self, paid: float, now: float) -> float | None:
        """What to pass as `paid` the next time; None when the event is one too many."""
        if paid <= now:
            return now + self._cost
        # a rounding error must not cost the last of a burst
        if paid - now > self._slack * (1 + 1e-9):
            return None
        return paid + self._cost
