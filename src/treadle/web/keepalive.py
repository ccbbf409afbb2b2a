"""Pings for all connections of a server, from one timer.

A timer for each connection would cost as much memory as the rest of an idle one, and ten thousand
of them wake the loop ten thousand times. Here one timer looks at all of them, in slices: in each
interval every connection is looked at once. One from which something came since the last look is
alive; to another a ping is sent; and one that has not answered that ping at a later look, `timeout`
seconds or more after it, is given up. So a silent peer is found between `timeout` and `timeout`
plus two intervals after its last byte.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["Keepalive", "Watched", "keepalive_of"]

SLICES = 20
"""Looks within one interval: no more than a twentieth of the connections are pinged in one turn."""


class Watched(Protocol):
    """A connection, as far as its pings go."""

    heard: bool
    """Set by the connection whenever something came in; cleared here."""

    def ping(self) -> None:
        """Send a ping."""

    def give_up(self) -> None:
        """The peer did not answer: end the connection."""


class Keepalive:
    """The pings of one server's connections.

    `interval` and `timeout` are in seconds. Without a timeout nobody is given up.
    """

    __slots__ = ("__weakref__", "_interval", "_loop", "_slices", "_timeout", "_timer", "_turn")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval: float, timeout: float | None
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        # connection: when it was pinged, 0.0 while no answer is awaited
        self._slices: list[dict[Watched, float]] = [{} for _ in range(SLICES)]
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Watched) -> int:
        """Watch a connection from now on. The number returned is wanted by `remove`."""
        place = (self._turn - 1) % SLICES  # looked at last: a whole interval is left
        self._slices[place][connection] = 0.0
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval / SLICES, self._look)
        return place

    def remove(self, connection: Watched, place: int) -> None:
        """Watch it no more. Nothing happens if it is not watched."""
        self._slices[place].pop(connection, None)

    def _look(self) -> None:
        self._timer = None
        connections = self._slices[self._turn]
        self._turn = (self._turn + 1) % SLICES
        now = self._loop.time()
        for connection, pinged in list(connections.items()):
            if connection not in connections:
                continue  # one before it in this slice ended it
            if connection.heard:
                connection.heard = False
                connections[connection] = 0.0
            elif not pinged:
                connections[connection] = now
                connection.ping()
            elif self._timeout is not None and now - pinged >= self._timeout:
                del connections[connection]
                connection.give_up()
            elif self._timeout is None:
                connection.ping()
        if any(self._slices):
            self._timer = self._loop.call_later(self._interval / SLICES, self._look)


# Not by loop: a Keepalive knows its loop, so that no loop would ever be forgotten.
_keepalives: WeakKeyDictionary[object, Keepalive] = WeakKeyDictionary()


def keepalive_of(
    server: object, loop: asyncio.AbstractEventLoop, interval: float, timeout: float | None
) -> Keepalive:
    """The one that all connections of a server share."""
    found = _keepalives.get(server)
    if found is None:
        found = _keepalives[server] = Keepalive(loop, interval, timeout)
    return found
