"""What a client may ask for, and how that is answered.

A frame that breaks the protocol (too large, too often, not to be understood) closes the connection.
A request that is refused is answered with `Failed`, and the connection goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from treadle.hub.errors import Code, HubClosed, Refused, Unavailable
from treadle.hub.frames import (
    Failed,
    Join,
    Joined,
    Leave,
    Left,
    Members,
    Ping,
    Pong,
    Publish,
    Published,
    Request,
    Roster,
)
from treadle.hub.hooks import Incoming
from treadle.hub.recovery import catch_up, find_start
from treadle.hub.seat import Seat

if TYPE_CHECKING:
    from treadle.hub.connection import Connection
    from treadle.hub.handlers import Handler

__all__ = ["Requests"]

read_json = msgspec.json.Decoder(Request).decode
read_msgpack = msgspec.msgpack.Decoder(Request).decode
LONGEST_NAME = 100  # characters of `dedupe`; nodes remember thousands of them
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)  # also wrong UTF-8


async def join(connection: Connection, request: Join, *, asked: bool = True) -> None:
    """Let a connection into a room. Not `asked`: it is the server's own, and no member."""
    hub = connection.hub
    name = request.room
    limits = hub.limits
    if not name or len(name) > limits.room_name:
        raise Refused(f"a room's name has 1 to {limits.room_name} characters", Code.MALFORMED)
    if request.history < 0:
        raise Refused("history is a number of messages", Code.MALFORMED)
    old = connection.seats.get(name)
    if old is None and len(connection.seats) >= limits.rooms:
        raise Refused(f"at most {limits.rooms} rooms at a time")
    if asked:
        await hub.hooks.may_join(connection, name)
    if old is not None:
        hub.stand_up(old)  # it joins anew, from another position
    room = await hub.rooms.enter(name)
    seat = Seat(connection, room)
    try:
        members = None
        if room.options.presence and asked:
            await hub.presence.enter(name, connection)
            members = await hub.backend.members(name)
        start = await find_start(room, request.after, request.history)
        still_open(connection)
        position = start.position if room.options.history.kept else None
        connection.answer(
            Joined(request.id, name, position, start.recovered, start.reason, members)
        )
        still_open(connection)
    except BaseException:
        hub.presence.leave(name, connection)
        hub.rooms.leave(room)
        raise
    connection.seats[name] = seat
    if start.recovered is not None:
        if start.recovered:
            hub.counters.recoveries += 1
        else:
            hub.counters.unrecoverable += 1
    if start.position == room.feed.position:
        room.go_live(seat)
    else:
        room.fall_behind(seat, start.position)
        room.rooms.chores.start(catch_up(seat), hub.report)


def still_open(connection: Connection) -> None:
    if connection.close_code is not None:
        raise HubClosed("the connection was closed meanwhile")


async def leave(connection: Connection, request: Leave) -> None:
    seat = connection.seats.get(request.room)
    if seat is None:
        raise Refused("not in this room", Code.UNKNOWN)
    connection.hub.stand_up(seat)
    connection.hub.presence.leave(request.room, connection)
    connection.answer(Left(request.id, request.room))


async def publish(connection: Connection, request: Publish) -> None:
    hub = connection.hub
    name = request.room
    if name not in connection.seats:
        raise Refused("not in this room", Code.UNKNOWN)
    if request.dedupe is not None and len(request.dedupe) > LONGEST_NAME:
        raise Refused(f"dedupe has at most {LONGEST_NAME} characters", Code.MALFORMED)
    await hub.hooks.may_publish(connection, name, request.data)
    # one client must not be able to name the messages of another
    dedupe = None if request.dedupe is None else f"{connection.client}:{request.dedupe}"
    handler = hub.handlers.find(name)
    if handler is not None:
        if dedupe is None or (name, dedupe) not in hub.remembered:
            await handle(connection, request, handler)
            if dedupe is not None:
                hub.remembered.add((name, dedupe))
        connection.answer(Published(request.id, name))
        return
    try:
        position = await hub.publish(
            name,
            request.data,
            key=request.key,
            to=request.to,
            exclude=connection.client if request.others else None,
            sender=connection.client,
            dedupe=dedupe,
        )
    except ValueError as failure:
        raise Refused(str(failure), Code.MALFORMED) from failure
    connection.answer(Published(request.id, name, 0 if position is None else position.offset))


async def handle(connection: Connection, request: Publish, handler: Handler) -> None:
    """Give what a client published to the application's own coroutine."""
    data = handler.convert(request.data)
    key, to, others, dedupe = request.key, request.to, request.others, request.dedupe
    await handler.call(Incoming(connection, request.room, data, key, to, others, dedupe))


async def members(connection: Connection, request: Members) -> None:
    name = request.room
    if name not in connection.seats:
        raise Refused("not in this room", Code.UNKNOWN)
    hub = connection.hub
    listed = await hub.members(name)
    connection.answer(Roster(request.id, name, listed))


async def ping(connection: Connection, request: Ping) -> None:
    connection.answer(Pong(request.id))


HANDLERS: dict[type, Any] = {
    Join: join,
    Leave: leave,
    Publish: publish,
    Members: members,
    Ping: ping,
}


class Requests:
    """The way of a client's frame into the hub."""

    @staticmethod
    async def receive(
        connection: Connection, payload: bytes | bytearray | memoryview | str
    ) -> None:
        """Check a frame, do what it asks for, answer."""
        request = admitted(connection, payload)
        if request is None:
            return
        hub = connection.hub
        try:
            await HANDLERS[type(request)](connection, request)
        except Refused as refusal:
            connection.answer(Failed(request.id, int(refusal.code), refusal.reason))
        except Unavailable as failure:
            reason = str(failure) or "try again"
            connection.answer(Failed(request.id, int(Code.UNAVAILABLE), reason))
        except HubClosed:
            if connection.close_code is None:
                raise
        except Exception as failure:
            hub.report(f"{type(request).__name__} of {connection.client} failed", failure)
            connection.answer(Failed(request.id, int(Code.INTERNAL), "an error of the server"))


def admitted(
    connection: Connection, payload: bytes | bytearray | memoryview | str
) -> Request | None:
    """The request in a frame; None when the frame was wrong, and the connection is closed."""
    hub = connection.hub
    now = hub.now()
    if connection.heard is not None:
        connection.heard = now
    hub.counters.received += 1
    largest = hub.limits.max_message
    size = len(payload)
    if size <= largest < 4 * size and isinstance(payload, str) and not payload.isascii():
        size = len(payload.encode(errors="replace"))
    if size > largest:
        connection.close(Code.TOO_LARGE, f"at most {largest} bytes")
        return None
    paid = hub.rate_limit.admit(connection.paid, now)
    if paid is None:
        connection.close(Code.FLOODING, f"at most {hub.limits.rate:g} frames a second")
        return None
    connection.paid = paid
    try:
        if connection.encoding == "json":
            return read_json(payload)  # type: ignore[no-any-return]
        if isinstance(payload, str):
            raise ValueError("text in the place of MessagePack")
        return read_msgpack(payload)  # type: ignore[no-any-return]
    except UNREADABLE as failure:
        connection.close(Code.MALFORMED, str(failure)[:100])
        return None
