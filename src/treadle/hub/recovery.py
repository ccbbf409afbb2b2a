"""Giving a connection what it missed: at its join, and when it fell behind.

A seat that is behind gets pages out of history, each when its outbox is half empty: however much
was missed, no more waits for it than its bounds allow. It reads no further than the feed is. When
it is exactly there, it goes live in the same step of the loop, so that nothing comes between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from treadle.hub.bodies import UNREADABLE, Said, read_body, shown
from treadle.hub.errors import Code, Unavailable, Unrecoverable
from treadle.hub.feed import PAGE
from treadle.hub.frames import Position
from treadle.hub.outbox import Loss

if TYPE_CHECKING:
    from treadle.hub.backends.base import Entry
    from treadle.hub.room import Room
    from treadle.hub.seat import Seat

__all__ = ["Start", "catch_up", "find_start"]

STALLED = 3
AGAIN = 0.5  # seconds to wait while the backend is away


class Start(NamedTuple):
    """Where a seat begins."""

    position: Position
    recovered: bool | None = None
    reason: str = ""


async def find_start(room: Room, after: Position | None, history: int) -> Start:
    """Where a client begins that asked for all after a position, or for the last messages."""
    feed = room.feed
    if after is not None:
        if feed.position is not None and ahead(after, feed.position):
            await feed.check()  # it may have been on a node that was faster than ours
        reason = await why_not(room, after)
        if reason is None:
            return Start(after, recovered=True)
        start = await last_ones(room, history)
        return Start(start, recovered=False, reason=reason)
    return Start(await last_ones(room, history))


def ahead(one: Position, other: Position) -> bool:
    """Whether the feed has not seen this place, or does not know its epoch."""
    return one.epoch != other.epoch or one.offset > other.offset


async def why_not(room: Room, after: Position) -> str | None:
    """Why recovery from a position is impossible; None when it is not."""
    if after == room.feed.position:
        return None
    if not room.options.history.kept:
        return "this room keeps no history"
    try:
        await room.rooms.backend.read(room.name, after, 1)
    except Unrecoverable as reason:
        return str(reason) or "history does not reach back so far"
    if room.feed.position is not None and ahead(after, room.feed.position):
        return "the position is unknown here"
    return None


async def last_ones(room: Room, history: int) -> Position:
    """The position before the last messages of a room, but never beyond its feed's."""
    count = min(history, room.options.history.count)
    if count > 0 and room.options.history.kept:
        position, _ = await room.rooms.backend.tail(room.name, count)
        now = room.feed.position
        if now is not None and not ahead(position, now):
            return position
    if room.feed.position is None:
        raise Unavailable("the room is not attached")
    return room.feed.position


async def catch_up(seat: Seat) -> None:
    """Bring a seat that is behind to where the feed is; ends early when it leaves."""
    try:
        await caught_up(seat)
    except Exception:
        # else it would be behind for ever, without a word
        seat.connection.close(Code.INTERNAL, "history could not be read")
        raise


async def caught_up(seat: Seat) -> None:
    room = seat.room
    rooms = room.rooms
    stalled = 0  # rounds without a step forward
    while is_behind(seat):
        await seat.connection.drained()
        await asyncio.sleep(0)  # neither backend nor transport need have waited: let others run
        position = seat.position
        if position is None or not is_behind(seat):
            return
        if position == room.feed.position:
            room.go_live(seat)
            return
        try:
            entries = await rooms.backend.read(room.name, position, PAGE)
            if stalled:
                await room.feed.check()  # who is right, the feed or history?
            if stalled > STALLED:
                await rooms.pause(AGAIN)
            if stalled > 2 * STALLED and not entries:
                raise Unrecoverable("history does not show it")
        except Unrecoverable as reason:
            await skip(seat, position, str(reason))
            stalled = 0
            continue
        except Unavailable:
            await rooms.pause(AGAIN)
            continue
        stalled += 1
        for entry in entries:
            if not seat.connection.hungry:
                await seat.connection.drained()
            if not is_behind(seat) or not give(seat, entry):
                break
            stalled = 0


def is_behind(seat: Seat) -> bool:
    return seat.room.behind.get(seat.connection) is seat


def give(seat: Seat, entry: Entry) -> bool:
    """Give a seat that is behind its next entry; False when the feed is not there yet."""
    room = seat.room
    now = room.feed.position
    if now is None or ahead(entry.position, now):
        return False
    body = read_body(entry.body)
    seat.position = entry.position
    if body is None:
        seat.connection.tell_loss(seat, Loss(UNREADABLE, 1, entry.position))
    elif not isinstance(body, Said) or body.exclude != seat.connection.client:
        rooms = room.rooms
        rooms.counters.recovered += 1
        seat.connection.offer_aside(seat, shown(room.name, body, entry.position))
    return True


async def skip(seat: Seat, position: Position, reason: str) -> None:
    """What comes next for this seat is no longer kept: tell it, and go on with the oldest."""
    room = seat.room
    try:
        oldest = await room.rooms.backend.oldest(room.name)
    except Unavailable:
        await room.rooms.pause(AGAIN)
        return
    if room.feed.position is not None and ahead(oldest, room.feed.position):
        await room.feed.check()
    now = room.feed.position
    if now is None or seat.position is not position or not is_behind(seat):
        return
    same = oldest.epoch == position.epoch and oldest.offset <= position.offset
    seat.position = now if same or ahead(oldest, now) else oldest
    seat.connection.tell_loss(seat, Loss(reason, 0, seat.position))
