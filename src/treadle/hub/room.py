"""A room on this node: who is in it, and the fan-out.

**The fan-out is the hub's hot path.** For each connection it looks at `connection.direct`, which is
the transport's writer whenever a frame may go to it straight (it is set, the outbox is empty), asks
whether that is writable, and writes. No queue, task, future or allocation for each. Everything else
goes through `Connection.offer`. A fan-out is one step of the loop: the frame is with every
transport, or in every outbox, before anything else happens, and so the order is the same for all.

What is written to may close its connection on the spot, and so change who is in the room: a fan-out
goes over a tuple that was made before. A closed connection has no `direct`, and refuses offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.hub.bodies import UNREADABLE, Moved, read_body, shown
from treadle.hub.encoded import Encoded
from treadle.hub.feed import Feed
from treadle.hub.outbox import Loss

if TYPE_CHECKING:
    from treadle.hub.backends.base import Entry
    from treadle.hub.connection import Connection
    from treadle.hub.frames import Position
    from treadle.hub.options import RoomOptions
    from treadle.hub.rooms import Rooms
    from treadle.hub.seat import Seat

__all__ = ["Room"]


class Room:
    """The part of a room that is on this node."""

    __slots__ = (
        "_everybody",
        "_packed",
        "behind",
        "feed",
        "live",
        "name",
        "options",
        "rooms",
        "touched",
        "users",
    )

    def __init__(self, rooms: Rooms, name: str, options: RoomOptions) -> None:
        self.rooms = rooms
        self.name = name
        self.options = options
        self.users = 0
        """Seats, and joins under way: while it is above 0, the room stays attached."""
        self.touched = False
        """Whether the backend may have it attached."""
        self.feed = Feed(self)
        self.live: dict[Connection, Seat] = {}
        self.behind: dict[Connection, Seat] = {}
        self._everybody: tuple[Connection, ...] | None = None  # the keys of `live`, for fan-outs
        self._packed = 0  # how many of `live` get MessagePack

    # --- who is here

    def seat(self, connection: Connection) -> Seat | None:
        return self.live.get(connection) or self.behind.get(connection)

    def go_live(self, seat: Seat) -> None:
        """From now on it gets what the feed gives."""
        self.behind.pop(seat.connection, None)
        seat.position = None
        if seat.connection not in self.live:
            self.live[seat.connection] = seat
            self._packed += seat.connection.encoding == "msgpack"
            self._everybody = None

    def fall_behind(self, seat: Seat, position: Position) -> None:
        """From now on it gets nothing but what is read for it out of history."""
        self._no_longer_live(seat)
        seat.position = position
        self.behind[seat.connection] = seat

    def remove(self, seat: Seat) -> None:
        self._no_longer_live(seat)
        self.behind.pop(seat.connection, None)

    def _no_longer_live(self, seat: Seat) -> None:
        if self.live.pop(seat.connection, None) is not None:
            self._packed -= seat.connection.encoding == "msgpack"
            self._everybody = None

    # --- what comes from the backend

    def entry(self, entry: Entry) -> None:
        """The next entry of its history, from the feed."""
        body = read_body(entry.body)
        if body is None:
            self.gap(UNREADABLE, entry.position)
            return
        frame = shown(self.name, body, entry.position)
        exclude = None if isinstance(body, Moved) else body.exclude
        if exclude is None:
            self.fan_out(frame)
        else:
            self.fan_out_but(frame, exclude)

    def signal(self, raw: bytes) -> None:
        """Something that has no place in its history."""
        body = read_body(raw)
        if body is None:
            self.gap(UNREADABLE, None)
            return
        frame = shown(self.name, body, None)
        if isinstance(body, Moved):
            self.fan_out_but(frame, body.member.client)
        elif body.to is not None:
            self._to_one(frame, body.to)
            return
        elif body.exclude is None:
            self.fan_out(frame)
        else:
            self.fan_out_but(frame, body.exclude)
        if self.behind:
            exclude = body.member.client if isinstance(body, Moved) else body.exclude
            for connection, seat in list(self.behind.items()):
                if connection.client != exclude:
                    connection.offer_aside(seat, frame)

    def gap(self, reason: str, position: Position | None) -> None:
        """Tell everybody who is live that something is missing before what comes next."""
        for connection, seat in list(self.live.items()):
            connection.tell_loss(seat, Loss(reason, 0, position))

    # --- the fan-out

    def fan_out(self, frame: Encoded) -> None:
        """Give a frame to everybody who is live."""
        everybody = self._everybody
        if everybody is None:
            everybody = self._everybody = tuple(self.live)
        others = 0
        for connection in everybody:
            writer = connection.direct
            if writer is not None and writer.writable:
                try:
                    writer.write(frame)
                except Exception as failure:
                    connection.failed(failure)
            else:
                others += 1
                connection.offer(self, frame)
        direct = len(everybody) - others
        if direct:
            counters = self.rooms.counters
            counters.delivered += direct
            packed = min(self._packed, direct)  # of both kinds: who waits is taken to be of JSON
            if packed:
                counters.bytes += packed * len(frame.msgpack)
            if direct > packed:
                counters.bytes += (direct - packed) * len(frame.json)

    def fan_out_but(self, frame: Encoded, exclude: str) -> None:
        """Give a frame to everybody who is live but one client."""
        for connection in tuple(self.live):
            if connection.client != exclude:
                connection.offer(self, frame)

    def _to_one(self, frame: Encoded, client: str) -> None:
        connection = self.rooms.connections.get(client)
        if connection is None:
            return
        if connection in self.live:
            connection.offer(self, frame)
        elif (seat := self.behind.get(connection)) is not None:
            connection.offer_aside(seat, frame)
