"""What the hub does again and again: hear who is silent, beat, bury, look for what was lost.

One task for each kind of work, none for a connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from treadle.hub.errors import Code, Unavailable
from treadle.hub.frames import Position

if TYPE_CHECKING:
    from treadle.hub.hub import Hub
    from treadle.hub.room import Room

__all__ = ["beat_and_bury", "close_the_silent", "look_for_losses"]

STEPS = 16  # of a round over all connections
LOOK = 5.0  # seconds within which every room is looked at
FASTEST = 0.01  # seconds from one room to the next, at least


async def close_the_silent(hub: Hub) -> None:
    """Close connections that were silent for three pings; each is looked at once in a ping."""
    while True:
        everybody = list(hub.rooms.connections.values())
        part = -(-len(everybody) // STEPS)
        for step in range(STEPS):
            await asyncio.sleep(hub.limits.ping / STEPS)
            latest = hub.now() - 3 * hub.limits.ping
            for connection in everybody[step * part : (step + 1) * part]:
                if connection.heard is not None and connection.heard < latest:
                    connection.close(Code.SILENT, "nothing was heard for too long")


async def beat_and_bury(hub: Hub, lease: float) -> None:
    """Say that this node is alive, and tell who was in rooms when their node died."""
    presence = hub.presence
    while True:
        try:
            if await hub.backend.beat(lease):
                await presence.announce()
            for departure in await hub.backend.bury():
                await presence.tell(departure.room, "leave", departure.member)
            presence.settle_all()
        except Unavailable:
            pass  # again in a moment
        except Exception as failure:
            hub.report("a heartbeat of this node failed", failure)
        await asyncio.sleep(lease / 3)


async def look_for_losses(hub: Hub) -> None:
    """Ask for the last entry of each room in turn: the last one may be what was lost."""
    while True:
        rooms = [room for room in hub.rooms.all() if room.options.history.kept]
        pause = max(LOOK / len(rooms), FASTEST) if rooms else LOOK
        if not rooms:
            await asyncio.sleep(pause)
        for room in rooms:
            await asyncio.sleep(pause)
            try:
                await look(hub, room)
            except Unavailable:
                pass
            except Exception as failure:
                hub.report(f"looking at the history of {room.name!r} failed", failure)


async def look(hub: Hub, room: Room) -> None:
    if room.feed.mending or hub.rooms.away is not None:
        return
    if not room.feed.at_rest:  # it failed the last time
        room.feed.suspect()
        return
    last = await hub.backend.last(room.name)
    here = room.feed.position
    if here is not None and room.users and behind(here, last):
        room.feed.suspect()


def behind(here: Position, last: Position) -> bool:
    return here.epoch != last.epoch or here.offset < last.offset
