"""What a room keeps, and how much may wait for a subscriber that reads slowly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["NO_HISTORY", "Limits", "Retention", "RoomOptions", "WhenFull"]

WhenFull = Literal["drop_oldest", "drop_newest", "coalesce", "disconnect", "catch_up"]
"""What happens to a message when a subscriber's queue is full.

`drop_oldest`   the message that waits longest makes room; a `Gap` says so
`drop_newest`   the new message is not queued; a `Gap` says so
`coalesce`      a waiting message with the same key is replaced, at any time, not only when the
                queue is full; without one, as `drop_oldest`
`disconnect`    the connection is closed with `Code.SLOW`
`catch_up`      nothing is queued; once the queue is empty, the subscriber gets what it missed out
                of history. Only what history no longer has is lost, and a `Gap` says so
"""


@dataclass(frozen=True)
class Retention:
    """How much history a room keeps: at most `count` messages, none older than `age` seconds.

    >>> Retention(count=100, age=3600).kept
    True
    >>> NO_HISTORY.kept
    False
    """

    count: int = 1000
    age: float = 3600.0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count is a number of messages, 0 for no history, not {self.count}")
        if not self.age >= 0:
            raise ValueError(f"age is in seconds, 0 for no history, not {self.age}")

    @property
    def kept(self) -> bool:
        """Whether anything is kept at all."""
        return self.count > 0 and self.age > 0


NO_HISTORY = Retention(count=0, age=0.0)
"""For rooms whose messages are of no use later: a game's state, a cursor, a typing mark."""


@dataclass(frozen=True)
class RoomOptions:
    """How a room behaves. A message that was published under one set keeps to it.

    >>> RoomOptions(when_full="coalesce", presence=False).history.count
    1000
    """

    history: Retention = field(default_factory=Retention)
    when_full: WhenFull = "drop_oldest"
    presence: bool = True
    """Whether joins and leaves are announced, and members listed."""


@dataclass(frozen=True)
class Limits:
    """What one connection may do, and how much may wait for it.

    >>> Limits(queue_messages=1000).max_message
    65536
    """

    max_message: int = 1 << 16
    """Bytes of one frame that a client sends; above, it is closed with `Code.TOO_LARGE`."""
    rate: float = 50.0
    """Frames a second that a client may send, on average."""
    burst: int = 100
    """Frames that it may send at once; above, it is closed with `Code.FLOODING`."""
    rooms: int = 100
    """Rooms that one connection may be in at a time; above, a join is refused."""
    room_name: int = 200
    """Characters of a room's name."""
    queue_messages: int = 256
    """Frames that wait for a client that reads slowly."""
    queue_bytes: int = 1 << 20
    """Bytes of them."""
    ping: float = 25.0
    """Seconds of silence after which a client is to send a `Ping`; closed after thrice that."""
