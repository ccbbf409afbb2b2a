"""A connection's place in a room: live, or behind and catching up out of history."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.hub.connection import Connection
    from treadle.hub.frames import Position
    from treadle.hub.room import Room

__all__ = ["Seat"]


class Seat:
    """What the hub keeps for each room that a connection is in."""

    __slots__ = ("connection", "position", "room")

    def __init__(self, connection: Connection, room: Room) -> None:
        self.connection = connection
        self.room = room
        self.position: Position | None = None
        """The last entry that was given to it while it is behind. None while it is live, for then
        it is where the room's feed is: a fan-out need not write to each seat.
        """
