"""Makes an exact sequence of what a backend delivers.

A backend may lose entries, repeat them and bring them late (see backends/base.py). A feed passes an
entry on exactly when its `previous` is the entry passed on last. Others that are older are
repetitions. Anything else means that something is missing: the feed then reads on in history until
it is where the backend is. Only what history no longer has is lost, and is told as a gap.

**Early entries.** While the feed reads, and before it is attached, entries that come are kept
aside, up to a bound; beyond it they are left to history. Read history first, then take the early
ones that fit: so an entry that history has dropped again while we read is not lost when it was
delivered. An early entry that still does not fit after a read that began later than it came

- is of another epoch: that one is over, for reading in ours went well;
- or is one that history does not show yet (a replica that lags): the read is repeated a few times,
  then the entry is believed and what is before it is given up.

A feed whose mending failed since the backend is away stays suspect; the next `restored`, the
periodic look, or the next entry begins again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from treadle.hub.errors import Unavailable, Unrecoverable

if TYPE_CHECKING:
    from treadle.hub.backends.base import Entry
    from treadle.hub.frames import Position
    from treadle.hub.room import Room

__all__ = ["PAGE", "Feed"]

PAGE = 64  # entries that are read at once
EARLY = 256  # entries that are kept while others are read
PATIENCE = (0.02, 0.1, 0.5)  # seconds to wait for history that lags behind what was delivered


class Feed:
    """The place of a room on this node in its history."""

    __slots__ = ("_early", "_failed", "_mending", "_suspect", "position", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.position: Position | None = None
        """The last entry that was passed on; None while the room is not attached."""
        self._early: deque[Entry] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._failed = False  # the last mending ended since the backend was away
        self._suspect = False  # something may be missing though no entry says so

    @property
    def mending(self) -> bool:
        """Whether it reads just now."""
        return self._mending is not None

    @property
    def at_rest(self) -> bool:
        """Whether it believes to have everything."""
        return self._mending is None and not self._suspect and not self._early

    def attached(self, position: Position) -> None:
        """Everything after this position is delivered from now on."""
        self.position = position
        if self._early:
            self._mend()

    def detached(self) -> None:
        self.position = None
        self._early = None
        self._suspect = False
        if self._mending is not None:
            self._mending.cancel()

    def entry(self, entry: Entry) -> None:
        """What the backend delivers."""
        position = self.position
        if position is not None and self._mending is None:
            if entry.position.epoch == position.epoch:
                if entry.previous == position.offset:
                    self._pass_on(entry)
                    return
                if entry.position.offset <= position.offset:
                    return
            self._keep(entry)
            self._mend()
        else:
            self._keep(entry)

    def suspect(self) -> asyncio.Task[None] | None:
        """Something may be missing: read on. The task ends when that is done."""
        if self.position is None:
            return None
        self._suspect = True
        return self._mend()

    async def check(self) -> None:
        """Read on, and return when everything there is was passed on, or the backend is away."""
        if (task := self.suspect()) is not None:
            await asyncio.wait([task])

    def _pass_on(self, entry: Entry) -> None:
        # the position moves afterwards: who falls behind meanwhile has the entry still before it
        try:
            self.room.entry(entry)
        finally:
            self.position = entry.position

    def _keep(self, entry: Entry) -> None:
        if self._early is None:
            self._early = deque(maxlen=EARLY)
        elif len(self._early) == EARLY:
            self._suspect = True  # the oldest is left to history
        self._early.append(entry)

    # --- mending

    def _mend(self) -> asyncio.Task[None]:
        if self._mending is None or self._mending.done():
            self._mending = self.room.rooms.chores.start(self._mended(), self.room.rooms.report)
            self._mending.add_done_callback(self._done)
        return self._mending

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._mending is task:
            self._mending = None
            more = self._early or (task.cancelled() and self._suspect)
            if self.position is not None and more and not self._failed:
                self._mend()  # came between the last look and the end

    async def _mended(self) -> None:
        self._failed = False
        async with self.room.rooms.mending:
            try:
                lags = 0
                while self.position is not None and (self._early or self._suspect):
                    known = len(self._early) if self._early else 0
                    self._suspect = False
                    await self._read_on()
                    if self._take_early(known, believe=lags == len(PATIENCE)):
                        lags = 0
                    else:
                        await asyncio.sleep(PATIENCE[lags])
                        lags += 1
            except Unavailable:
                self._suspect = self._failed = True

    async def _read_on(self) -> None:
        backend = self.room.rooms.backend
        while (position := self.position) is not None:
            try:
                entries = await backend.read(self.room.name, position, PAGE)
            except Unrecoverable as reason:
                await self._give_up(position, str(reason))
                continue
            for entry in entries:
                if self.position is None:
                    return
                self._pass_on(entry)
            if len(entries) < PAGE:
                return

    async def _give_up(self, position: Position, reason: str) -> None:
        """Go on with the oldest entry there is; all before it is lost."""
        backend = self.room.rooms.backend
        oldest = await backend.oldest(self.room.name)
        if oldest.epoch == position.epoch and oldest.offset <= position.offset:
            oldest = await backend.last(self.room.name)  # history was cut off before our position
        if self.position is position:
            self.position = oldest
            self.room.gap(reason, oldest)

    def _take_early(self, known: int, *, believe: bool) -> bool:
        """Pass on the early entries that follow; False when history has to be asked again."""
        early = self._early
        while early and (position := self.position) is not None:
            entry = early[0]
            same = entry.position.epoch == position.epoch
            if same and entry.previous == position.offset:
                self._pass_on(entry)
            elif same and entry.position.offset > position.offset:
                if known <= 0:
                    return True  # came while we read: read again
                if not believe:
                    return False
                self.position = type(position)(position.epoch, entry.previous)
                self.room.gap("history does not show it", self.position)
                continue
            elif not same and known <= 0:
                return True
            early.popleft()
            known -= 1
        return True
