"""Who is in the rooms, as this node tells the others.

For each client in each room there is a record of what shall be and what the backend was told. One
task for each record brings the one to the other, so that a quick leave and join, or two connections
of one client, end in the right state in whatever order they come, and a backend that is away is
told later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from treadle.hub.bodies import Moved
from treadle.hub.encoded import pack
from treadle.hub.errors import Unavailable
from treadle.hub.frames import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from treadle.hub.backends.base import Backend
    from treadle.hub.chores import Chores
    from treadle.hub.connection import Connection

__all__ = ["Presence"]


class Record:
    """A client in a room."""

    __slots__ = ("holders", "member", "noted", "task")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.holders: set[Connection] = set()
        """Connections of this client that are in the room: one, or two while one is replaced."""
        self.noted: bool | None = False
        """Whether the backend has it; None while that is not known."""
        self.task: asyncio.Task[None] | None = None


class Presence:
    """The members of this node."""

    def __init__(
        self, backend: Backend, chores: Chores, report: Callable[[str, BaseException], None]
    ) -> None:
        self._backend = backend
        self._chores = chores
        self._report = report
        self._records: dict[tuple[str, str], Record] = {}

    def __len__(self) -> int:
        return sum(1 for record in self._records.values() if record.holders)

    async def enter(self, room: str, connection: Connection) -> None:
        """A connection is in a room; returns when the backend knows, or raises `Unavailable`."""
        key = (room, connection.client)
        record = self._records.get(key)
        if record is None:
            member = Member(connection.client, connection.identity.info)
            record = self._records[key] = Record(member)
        record.holders.add(connection)
        while record.holders and not record.noted:
            await asyncio.wait([self._settle(key, record)])
            if not record.noted and record.task is None and record.holders:
                raise Unavailable("presence could not be noted")

    def leave(self, room: str, connection: Connection) -> None:
        """It no longer is; the backend is told as soon as possible."""
        key = (room, connection.client)
        record = self._records.get(key)
        if record is not None and connection in record.holders:
            record.holders.discard(connection)
            if not record.holders:
                self._settle(key, record)

    def settle_all(self) -> None:
        """Tell the backend what it could not be told while it was away."""
        for key, record in list(self._records.items()):
            if bool(record.holders) is not record.noted:
                self._settle(key, record)

    async def announce(self) -> None:
        """Tell everybody of all members again: they may have been buried."""
        for (room, _), record in list(self._records.items()):
            if record.holders and record.noted:
                await self.tell(room, "join", record.member)

    async def tell(self, room: str, event: Literal["join", "leave"], member: Member) -> None:
        """Tell who is in a room, on any node."""
        await self._backend.send(room, pack(Moved(event, member)))

    def _settle(self, key: tuple[str, str], record: Record) -> asyncio.Task[None]:
        if record.task is None:
            record.task = self._chores.start(self._settled(key, record), self._report)
            record.task.add_done_callback(lambda _: self._done(key, record))
        return record.task

    def _done(self, key: tuple[str, str], record: Record) -> None:
        record.task = None
        if not record.holders and record.noted is False and self._records.get(key) is record:
            del self._records[key]

    async def _settled(self, key: tuple[str, str], record: Record) -> None:
        room, client = key
        try:
            while (wanted := bool(record.holders)) is not record.noted:
                unknown = record.noted is None
                record.noted = None  # also when it was asked for, but not answered
                if wanted:
                    news = await self._backend.enter(room, record.member)
                else:
                    news = await self._backend.exit(room, client)
                if news or unknown:
                    await self.tell(room, "join" if wanted else "leave", record.member)
                record.noted = wanted
        except Unavailable:
            pass  # see settle_all
