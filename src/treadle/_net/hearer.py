"""A protocol of ours that a transport hands what it received by a C call.

To a transport it is a protocol like any other, but for this one call, which comes once per message.
It runs in no particular context: nothing of the user's may run in it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Hearer", "as_hearer"]


class Hearer:
    """The contract. What the two methods raise ends the connection, as with any protocol."""

    def hears(self) -> bool:
        """Say whether `hear` does what ``data_received`` does; no user has put in another."""
        raise NotImplementedError

    def hear(self, data: Any) -> None:
        """Take bytes that arrived."""
        raise NotImplementedError


def as_hearer(protocol: Any) -> Hearer | None:
    """Return the protocol if it is one that hears, else None."""
    if not isinstance(protocol, Hearer):
        return None
    hearer: Hearer = protocol
    return hearer if hearer.hears() else None
