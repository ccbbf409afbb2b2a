"""What this process holds, told to the room `pulse` once a second, for the page of figures.

The hub's totals only grow; the page wants to see what happened in the last second, so the
differences are taken here. What "memory" is here Linux says in `/proc`; elsewhere it is None.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Any

from treadle.hub import Hub, HubStats, Retention, RoomOptions, Unavailable

ROOM = "pulse"
ROOMS = {
    # A page that is opened shows the last five minutes at once.
    ROOM: RoomOptions(history=Retention(count=600, age=300), presence=False),
}
EVERY = 1.0  # seconds
STEP = 0.02  # seconds between two looks at how late the loop is

Figures = dict[str, Any]


class LoopLag:
    """How much later than it asked for a callback of the loop was run, at worst."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._worst = 0.0
        self._due = loop.time() + STEP
        self._handle = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._worst = max(self._worst, now - self._due)
        self._due = now + STEP
        self._handle = self._loop.call_at(self._due, self._look)

    def take(self) -> float:
        """The worst since this was called last, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    def stop(self) -> None:
        self._handle.cancel()


def figures(before: HubStats, now: HubStats, elapsed: float) -> Figures:
    """What there is, and what happened per second between two looks."""

    def rate(name: str) -> float:
        return round(float(getattr(now, name) - getattr(before, name)) / elapsed, 1)

    dropped = sum(now.dropped.values()) - sum(before.dropped.values())
    return {
        "connections": now.connections,
        "rooms": now.rooms,
        "subscriptions": now.subscriptions,
        "behind": now.behind,
        "received": rate("received"),
        "published": rate("published"),
        "delivered": rate("delivered"),
        "bytes": rate("bytes"),
        "dropped": round(dropped / elapsed, 1),
        "coalesced": rate("coalesced"),
        "gaps": rate("gaps"),
        "recovered": now.recovered,
        "high_water": now.queue_high_water,
        "disconnected": {str(code): count for code, count in now.disconnected.items()},
        "backend": now.backend,
    }


def resident_bytes() -> int | None:
    """The memory of this process."""
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def beating(hub: Hub) -> AsyncIterator[None]:
    """Publish figures as long as this is open."""
    lag = LoopLag(asyncio.get_running_loop())
    beat = asyncio.create_task(beat_for_ever(hub, lag))
    try:
        yield
    finally:
        lag.stop()
        beat.cancel()
        await asyncio.wait({beat})


async def beat_for_ever(hub: Hub, lag: LoopLag) -> None:
    loop = asyncio.get_running_loop()
    before, since = hub.stats(), loop.time()
    while True:
        await asyncio.sleep(EVERY)
        now, at = hub.stats(), loop.time()
        told = figures(before, now, at - since)
        told |= {
            "at": round(time(), 1),
            "node": hub.node,
            "lag": round(lag.take() * 1000, 2),
            "memory": resident_bytes(),
        }
        before, since = now, at
        try:
            await hub.publish(ROOM, told)
        except Unavailable:
            pass  # the page shows a hole there, which is the truth
