"""The rooms of this node: found by name, attached to the backend while somebody is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from treadle.hub.chores import Chores
from treadle.hub.errors import Unavailable
from treadle.hub.options import RoomOptions
from treadle.hub.room import Room

if TYPE_CHECKING:
    from treadle.hub.backends.base import Backend, Entry
    from treadle.hub.connection import Connection
    from treadle.hub.stats import Counters

__all__ = ["Rooms"]

MENDING = 8  # rooms that read on in history at a time


class Rooms:
    """What the hub has of rooms; to the backend, it is the receiver."""

    def __init__(
        self,
        backend: Backend,
        options: Mapping[str, RoomOptions],
        counters: Counters,
        report: Callable[[str, BaseException], None],
    ) -> None:
        self.backend = backend
        self.counters = counters
        self.report = report
        self.chores = Chores()
        self.connections: dict[str, Connection] = {}
        """By the client's name."""
        self.mending = asyncio.Semaphore(MENDING)
        self.away: str | None = None
        """Why the backend is away; None while it is there."""
        self.on_restored: Callable[[], None] | None = None
        self._back: asyncio.Future[None] | None = None  # done when the backend is restored
        self._options = dict(options)
        self._rooms: dict[str, Room] = {}
        self._locks: dict[str, asyncio.Lock] = {}  # who attaches or detaches; held rooms only

    def __len__(self) -> int:
        return len(self._rooms)

    def all(self) -> list[Room]:
        return list(self._rooms.values())

    def get(self, name: str) -> Room | None:
        return self._rooms.get(name)

    def options(self, name: str) -> RoomOptions:
        """Those of the first pattern that fits."""
        if (room := self._rooms.get(name)) is not None:
            return room.options
        for pattern, options in self._options.items():
            if fnmatchcase(name, pattern):
                return options
        return DEFAULT

    async def enter(self, name: str) -> Room:
        """The room, attached. Each call is to be followed by one `leave`, unless it raises."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(self, name, self.options(name))
        room.users += 1
        try:
            if room.feed.position is None:
                async with self._lock(name):
                    if room.feed.position is None:
                        room.touched = True
                        room.feed.attached(await self.backend.attach(name))
        except BaseException:
            self.leave(room)
            raise
        return room

    def leave(self, room: Room) -> None:
        """One user less; the last one detaches the room."""
        room.users -= 1
        if not room.users:
            self.chores.start(self._release(room), self.report)

    async def _release(self, room: Room) -> None:
        async with self._lock(room.name):
            if room.users:
                return  # somebody came back
            if room.touched:
                room.feed.detached()
                room.touched = False
                try:
                    await self.backend.detach(room.name)
                except Unavailable:
                    pass  # what still comes of it finds no room
        if not room.users and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            self._locks.pop(room.name, None)

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def pause(self, seconds: float) -> None:
        """Wait for the backend to be restored, but not for longer than that."""
        back = self._back
        if back is None:
            back = self._back = asyncio.get_running_loop().create_future()
        await asyncio.wait([back], timeout=seconds)

    # --- what the backend calls

    def entry(self, room: str, entry: Entry) -> None:
        if (here := self._rooms.get(room)) is not None:
            try:
                here.feed.entry(entry)
            except Exception as failure:
                self.report(f"an entry of room {room!r} could not be passed on", failure)

    def signal(self, room: str, body: bytes) -> None:
        if (here := self._rooms.get(room)) is not None:
            try:
                here.signal(body)
            except Exception as failure:
                self.report(f"a signal of room {room!r} could not be passed on", failure)

    def lost(self, reason: str) -> None:
        self.away = reason or "lost"

    def restored(self) -> None:
        self.away = None
        if self._back is not None:
            self._back.set_result(None)
            self._back = None
        for room in self._rooms.values():
            if room.options.history.kept:
                room.feed.suspect()
            else:
                room.gap("the connection to the other nodes was lost", None)
        if self.on_restored is not None:
            self.on_restored()


DEFAULT = RoomOptions()
