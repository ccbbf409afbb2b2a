"""What the hub counts."""

from __future__ import annotations

import msgspec

__all__ = ["Counters", "HubStats"]


class Counters:
    """The hub's running totals; each part adds to its own."""

    __slots__ = (
        "bytes",
        "coalesced",
        "delivered",
        "disconnected",
        "dropped",
        "gaps",
        "high_water",
        "published",
        "received",
        "recovered",
        "recoveries",
        "unrecoverable",
    )

    def __init__(self) -> None:
        self.published = 0
        self.received = 0
        self.delivered = 0
        self.bytes = 0
        self.coalesced = 0
        self.gaps = 0
        self.recoveries = 0
        self.recovered = 0
        self.unrecoverable = 0
        self.high_water = 0
        self.dropped: dict[str, int] = {}
        self.disconnected: dict[int, int] = {}


class HubStats(msgspec.Struct, frozen=True):
    """What a hub holds now, and its totals since it was started.

    >>> stats = Hub().stats()
    >>> stats.connections, stats.backend
    (0, 'up')
    """

    connections: int
    rooms: int
    subscriptions: int
    """Places of connections in rooms, and subscriptions of the server's own code."""
    members: int
    """Members of this node that others are told about."""
    behind: int
    """Subscriptions that are catching up out of history."""
    published: int
    received: int
    """Frames of clients."""
    delivered: int
    """Frames handed to transports."""
    bytes: int
    """Bytes of them."""
    dropped: dict[str, int]
    """Frames that were dropped, by policy."""
    coalesced: int
    """Frames that a newer one replaced."""
    disconnected: dict[int, int]
    """Connections that were closed, by code."""
    recoveries: int
    """Joins with a position from which everything could be given."""
    unrecoverable: int
    """Joins with a position that history does not reach back to."""
    recovered: int
    """Messages that were read out of history for clients."""
    gaps: int
    """`Gap` frames that were sent."""
    queue_high_water: int
    """The most frames that ever waited for one client."""
    backend: str
    """"up", or why it is away."""
