"""The history of rooms in one JetStream stream, with a subject for each room.

**Facts.** The stream numbers all messages of all rooms in one row, so that the offsets of a room
grow and have holes. It forgets the oldest of a subject by count, and any by age; a subject whose
last message is gone has never existed, for all that JetStream knows.

**The chain.** So each message carries what the server would forget: a header `Treadle` with the
epoch, the room's own count, and the number of the message before. Whoever appends says which
message it believes to be the last (`Nats-Expected-Last-Subject-Sequence`), and the server refuses
when it is another: the chain has no forks and no holes. A node that was refused looks up the last
one and tries again; within a node, appends to a room stand in a line, so that only nodes compete.

**Live.** The stream itself publishes again what it has stored (`republish`), with the number. That
is one message less than if the appending node did it, cannot be lost with that node, and is in
order.

**Marks.** A message without a body for anybody, a *mark*, begins a room's history: it brings the
epoch. It counts as offset 0. A room that is quiet for half of the stream's age gets another one,
which says how far the room was, when some node asks for its last position; so the chain outlives
its messages while anybody is in the room. A room that was empty for longer than the stream's age
begins anew.

**Retention.** A stream has one age and one count, rooms have theirs. The message carries what it
was published under, and that is checked when it is read; the stream's own limits only bound what is
stored, and are raised when a room wants more. Every so often whoever appends trims the room.

**Finding the end.** The last 50 of a room are somewhere among the stream's numbers. Every 64th
entry of a room is a milestone, and each message knows the milestone before it: so the way back is
short.
"""

from __future__ import annotations

import asyncio
import hashlib
import string
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from treadle.hub.backends.base import Appended, Entry
from treadle.hub.backends.nats_link import JetStreamError, NatsLink
from treadle.hub.backends.nats_stream import MESSAGE_ID, SECOND, Stored, Stream
from treadle.hub.errors import Unavailable, Unrecoverable
from treadle.hub.frames import Position
from treadle.hub.options import Retention

__all__ = ["DEDUPE_WINDOW", "HEADER", "Log", "Tip", "decode", "encode"]

HEADER = "Treadle"
MILESTONE = 64  # entries from one to the next
SLACK = (
    64  # messages that the stream keeps of a room beyond its count: marks, and what is not trimmed
)
DEDUPE_WINDOW = 120  # seconds
AGE = 24 * 3600  # seconds that the stream keeps, at least
COUNT = 10_000  # messages of a room that it keeps, at least
REMEMBERED = 10_000  # rooms whose last message a node remembers
AGAIN = 0.02  # seconds until an append that failed is made again
PAGE = 256  # messages that are looked through at a time
PLAIN = b"_-:" + (string.ascii_letters + string.digits).encode()
LONGEST_AGE = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Tip:
    """A message of a room's subject, and what it says about the room up to it."""

    seq: int
    epoch: str
    is_entry: bool  # or a mark
    index: int  # how many entries the room has had in this epoch
    previous: int  # the offset of the entry before
    milestone: int  # the number of the milestone before this message; 0: none
    retention: Retention
    time: int = 0
    """When the server stored it, in its nanoseconds; 0 if that is not known."""

    @property
    def last(self) -> int:
        """The offset of the last entry."""
        return self.seq if self.is_entry else self.previous

    @property
    def milestone_for_next(self) -> int:
        """The milestone that comes before the next message."""
        first = self.is_entry and self.index % MILESTONE == 1
        return self.seq if first else self.milestone

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.last)

    def entry(self, body: bytes) -> Entry:
        return Entry(Position(self.epoch, self.seq), self.previous, body)


def header(
    epoch: str, kind: str, index: int, previous: int, milestone: int, kept: Retention
) -> dict[str, str]:
    """What a message says about its room."""
    age = int(min(kept.age, LONGEST_AGE) * 1000)
    return {HEADER: f"{epoch} {kind} {index} {previous} {milestone} {kept.count} {age}"}


def tip_of(seq: int, headers: dict[str, str], time: int = 0) -> Tip:
    """The opposite: what a message says."""
    epoch, kind, *numbers = headers[HEADER].split(" ")
    index, previous, milestone, count, age = map(int, numbers)
    kept = Retention(count, age / 1000)
    return Tip(seq, epoch, kind == "entry", index, previous, milestone, kept, time)


class Log:
    """The rooms' histories, as one node reads and writes them."""

    def __init__(
        self,
        link: NatsLink,
        prefix: str,
        replicas: int,
        epoch: Callable[[], str],
        now: Callable[[], int],
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._epoch = epoch  # makes one that nobody has used
        self._now = now  # the server's time, in nanoseconds
        self._tips: dict[str, Tip] = {}  # what this node believes to be the last of a room
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        config = {
            "subjects": [f"{prefix}.room.*"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": AGE * SECOND,
            "max_msgs_per_subject": COUNT,
            "duplicate_window": DEDUPE_WINDOW * SECOND,
            "num_replicas": replicas,
            "republish": {
                "src": f"{prefix}.room.*",
                "dest": f"{prefix}.live.{{{{wildcard(1)}}}}",
            },
        }
        self.stream = Stream(link, f"{prefix.replace('.', '_')}_rooms", config)

    def _subject(self, room: str) -> str:
        return f"{self._prefix}.room.{encode(room)}"

    # --- the last message

    async def tip(self, room: str) -> Tip:
        """The last message of a room; a mark is made in one that has none."""
        stored = await self.stream.last(self._subject(room))
        while stored is None:
            mark = header(self._epoch(), "mark", 0, 0, 0, Retention(0, 0.0))
            made = await self.stream.publish(self._subject(room), b"", mark, expected=0)
            if made is not None:
                return self._note(room, tip_of(made.seq, mark))
            stored = await self.stream.last(self._subject(room))
        return self._note(room, tip_of(stored.seq, stored.headers, stored.time))

    async def kept_tip(self, room: str, seen: Position) -> Tip:
        """The same for a room that is in use: not so old that it will be forgotten soon, and not
        one that is behind what was `seen`, which happens when a server lost its last moments.
        """
        tip = await self.tip(room)
        while True:
            if tip.epoch == seen.epoch and tip.last < seen.offset:
                mark = header(self._epoch(), "mark", 0, 0, 0, tip.retention)
            elif 0 < tip.time < self._now() - self.stream.config["max_age"] // 2:
                numbers = (tip.index, tip.last, tip.milestone_for_next)
                mark = header(tip.epoch, "mark", *numbers, tip.retention)
            else:
                return tip
            made = await self.stream.publish(self._subject(room), b"", mark, expected=tip.seq)
            if made is not None:
                return self._note(room, tip_of(made.seq, mark))
            tip = await self.tip(room)

    def doubt(self) -> None:
        """The stream may be another one from now on, whose numbers mean other messages."""
        self._tips.clear()

    def heard(self, room: str, seq: int, headers: dict[str, str]) -> Tip:
        """What a message that the stream published again says."""
        tip = tip_of(seq, headers)
        known = self._tips.get(room)
        if known is None or known.seq < seq:
            self._note(room, tip)
        return tip

    def _note(self, room: str, tip: Tip) -> Tip:
        if len(self._tips) >= REMEMBERED and room not in self._tips:
            self._tips.clear()  # a node that is wrong, or does not know, is told by the server
        self._tips[room] = tip
        return tip

    # --- writing

    async def append(self, room: str, body: bytes, kept: Retention, dedupe: str | None) -> Appended:
        await self._make_space(kept)
        headers = {}
        if dedupe is not None:
            name = f"{encode(room)} {dedupe}".encode()
            headers[MESSAGE_ID] = hashlib.blake2b(name, digest_size=16).hexdigest()
        line = self._lines.get(room)
        if line is None:
            line = self._lines[room] = asyncio.Lock()
        async with line:
            while True:
                await self._link.ready()
                tip = self._tips.get(room)
                if tip is None:
                    await self.tip(room)
                    continue  # a new connection has perhaps made it void
                numbers = (tip.index + 1, tip.last, tip.milestone_for_next)
                said = header(tip.epoch, "entry", *numbers, kept)
                try:
                    made = await self.stream.publish(
                        self._subject(room), body, {**headers, **said}, tip.seq
                    )
                except JetStreamError:
                    raise
                except Unavailable:
                    if dedupe is None:
                        raise
                    await asyncio.sleep(AGAIN)
                    continue
                if made is not None:
                    break
                self._tips.pop(room, None)
        if made.duplicate:
            return Appended(await self._first(room, made.seq, tip), duplicate=True)
        tip = self._tips[room] = tip_of(made.seq, said)
        if tip.index % max(MILESTONE, kept.count // 4) == 0:
            try:
                await self.stream.trim(self._subject(room), kept.count + SLACK)
            except Unavailable:
                pass  # next time
        return Appended(tip.entry(body))

    async def _first(self, room: str, seq: int, tip: Tip) -> Entry:
        """The entry that was appended under a name before; it may be forgotten since."""
        stored = await self.stream.get(seq)
        if stored is None:
            return Entry(Position(tip.epoch, seq), 0, b"")
        return tip_of(seq, stored.headers).entry(stored.body)

    async def _make_space(self, kept: Retention) -> None:
        """See to it that the stream keeps as much as a room wants."""
        age = int(min(kept.age, LONGEST_AGE) + 60) * SECOND
        count = kept.count + kept.count // 4 + 2 * SLACK
        limits = self.stream.config
        if 0 < limits["max_age"] < age or 0 < limits["max_msgs_per_subject"] < count:
            await self.stream.grow(max_age=age, max_msgs_per_subject=count)

    # --- reading

    async def read(self, room: str, after: Position, limit: int) -> list[Entry]:
        found = await self.stream.last(self._subject(room))
        tip = None if found is None else self._note(room, tip_of(found.seq, found.headers))
        if tip is None or tip.epoch != after.epoch:
            raise Unrecoverable("the history begins anew")
        if after.offset > tip.last:
            raise Unrecoverable("the position is ahead of the history")
        start = after.offset + 1
        entries: list[Entry] = []
        while not entries and after.offset < tip.last:
            stored = await self.stream.fetch(self._subject(room), start, limit + 8)
            if not stored:
                break
            start = stored[-1].seq + 1
            entries = self._linked(stored, tip, after)[:limit]
            if not entries and any(tip_of(s.seq, s.headers).is_entry for s in stored):
                break
        if not entries and after.offset < tip.last:
            raise Unrecoverable("the history does not reach back so far")
        return entries

    def _linked(self, stored: list[Stored], tip: Tip, after: Position) -> list[Entry]:
        """The entries among them that follow a position, as far as each is kept."""
        entries = []
        offset = after.offset
        for message in stored:
            said = tip_of(message.seq, message.headers)
            if not said.is_entry:
                continue
            if said.previous != offset or said.epoch != after.epoch:
                break
            if not self._is_kept(message, said, tip):
                break
            offset = message.seq
            entries.append(said.entry(message.body))
        return entries

    def _is_kept(self, message: Stored, said: Tip, tip: Tip) -> bool:
        age = said.retention.age * SECOND
        return said.index > tip.index - tip.retention.count and message.time + age > self._now()

    async def tail(self, room: str, count: int) -> tuple[Position, list[Entry]]:
        tip = await self.tip(room)
        count = min(count, tip.retention.count, tip.index)
        if count <= 0:
            return tip.position, []
        wanted = tip.index - count + 1
        seq = tip.milestone_for_next
        index = (tip.index - 1) // MILESTONE * MILESTONE + 1
        while index > wanted:
            stone = await self.stream.get(seq)
            if stone is None:
                seq = 1  # it is forgotten: begin with the first that is not
                break
            seq = tip_of(seq, stone.headers).milestone
            index -= MILESTONE
        entries: list[Entry] = []
        for message in await self.stream.fetch(self._subject(room), seq):
            said = tip_of(message.seq, message.headers)
            if not said.is_entry or not wanted <= said.index <= tip.index:
                continue
            if said.epoch != tip.epoch or not self._is_kept(message, said, tip):
                entries.clear()
                continue
            if entries and entries[-1].position.offset != said.previous:
                entries.clear()
            entries.append(said.entry(message.body))
        if not entries or entries[-1].position.offset != tip.last:
            return tip.position, []
        return Position(tip.epoch, entries[0].previous), entries

    async def oldest(self, room: str) -> Position:
        tip = await self.tip(room)
        start = 1
        while page := await self.stream.fetch(self._subject(room), start, PAGE, bodies=False):
            for message in page:
                said = tip_of(message.seq, message.headers)
                if said.epoch != tip.epoch or not said.is_entry:
                    continue
                if self._is_kept(message, said, tip):
                    return Position(tip.epoch, said.previous)
            start = page[-1].seq + 1
        return tip.position


def encode(name: str) -> str:
    """A name as one token of a subject.

    >>> encode("Größe 4.*"), encode("")
    ('Gr=C3=B6=C3=9Fe=204=2E=2A', '=')
    """
    return "".join(chr(byte) if byte in PLAIN else f"={byte:02X}" for byte in name.encode()) or "="


def decode(token: str) -> str:
    """The opposite of `encode`.

    >>> decode(encode("Größe 4.*")), decode("=")
    ('Größe 4.*', '')
    """
    if token == "=":
        return ""
    first, *rest = token.encode().split(b"=")
    return b"".join([first, *(bytes([int(r[:2], 16)]) + r[2:] for r in rest)]).decode()
