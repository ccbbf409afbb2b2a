"""A world of hubs for random programs: nodes over one broker, clients, and a model to judge them.

The model knows what was published, in which order, and to whom it was visible. A client's record is
everything that it was told of the room, over all its connections. `judge` compares the two: what is
missing must be told by a gap that stands in its place, and nothing comes twice or too early.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from treadle.hub import (
    Hub,
    Limits,
    MemoryBackend,
    MemoryBroker,
    Position,
    Retention,
    RoomOptions,
    Unavailable,
)
from treadle.hub.frames import Gap, Joined, Message

ROOM = "room"
QUEUE = 6
BYTES = 2000


@dataclass
class Said:
    """A message of the model."""

    position: Position
    number: int
    key: str | None
    exclude: str | None


@dataclass
class Person:
    """A client, and all it was told."""

    name: str = ""
    session: str | None = None
    client: object = None
    position: Position | None = None
    record: list[object] = field(default_factory=list)  # Said positions, Gap, "start", "new start"

    @property
    def here(self):
        return self.client is not None and self.client.connection.close_code is None


class Unruly:
    """A receiver to which entries come late, twice, or not at all."""

    def __init__(self, receiver, dice):
        self.receiver = receiver
        self.dice = dice

    def entry(self, room, entry):
        fate = self.dice.random()
        if fate < 0.2:
            return
        if fate < 0.4:
            asyncio.get_running_loop().call_later(fate - 0.2, self.receiver.entry, room, entry)
            if fate < 0.3:
                return
        self.receiver.entry(room, entry)

    def __getattr__(self, name):
        return getattr(self.receiver, name)


class UnrulyBackend(MemoryBackend):
    """A way to a broker that delivers badly."""

    def __init__(self, broker, dice):
        super().__init__(broker)
        self.dice = dice

    async def start(self, node, receiver):
        await super().start(node, Unruly(receiver, self.dice))


class World:
    """Some nodes, some clients, one room."""

    def __init__(self, when_full, *, count=40, presence=False, nodes=2, people=3, seed=None):
        options = RoomOptions(history=Retention(count, 1e6), when_full=when_full, presence=presence)
        self.presence = presence
        limits = Limits(queue_messages=QUEUE, queue_bytes=BYTES, rate=1e9, burst=10**9, ping=1e9)
        self.when_full = when_full
        dice = None if seed is None else random.Random(seed)
        self.broker = MemoryBroker()
        self.hubs = [
            Hub(
                MemoryBackend(self.broker) if dice is None else UnrulyBackend(self.broker, dice),
                rooms={"*": options},
                limits=limits,
                secret="common",
                lease=1e6,
            )
            for _ in range(nodes)
        ]
        self.cut = [False] * nodes
        self.people = [Person() for _ in range(people)]
        self.said: list[Said] = []
        self.ends: dict[str, int] = {}  # by epoch: how many messages there were when it was lost

    async def run(self, program):
        for hub in self.hubs:
            await hub.start()
        try:
            for step in program:
                await getattr(self, step[0])(*step[1:])
                self.look()
            await self.finish()
        finally:
            for hub in self.hubs:
                await hub.close()
        for person in self.people:
            self.judge(person)

    # --- steps

    async def publish(self, node, key, exclude, size):
        hub = self.hubs[node]
        whom = self.people[exclude].name or None if exclude is not None else None
        number = len(self.said)
        data = {"number": number, "more": "x" * size}
        try:
            position = await hub.publish(ROOM, data, key=key, exclude=whom)
        except Unavailable:
            return
        self.said.append(Said(position, number, key, whom))

    async def burst(self, node, key, count):
        for _ in range(count):
            await self.publish(node, key, None, 1)

    async def connect(self, who, node, packed):
        person = self.people[who]
        if person.here:
            await self.read(who, None)
            person.client.close()
        client = await self.hubs[node].client(
            session=person.session, encoding="msgpack" if packed else "json"
        )
        if person.name:
            assert client.name == person.name
        person.client, person.name, person.session = client, client.name, client.session
        try:
            joined = await client.join(ROOM, after=person.position)
        except Unavailable:
            client.close()
            return
        self.take(person, joined)

    async def hang_up(self, who):
        if self.people[who].here:
            self.people[who].client.close()
            await self.settle(3)

    async def read(self, who, most):
        person = self.people[who]
        if not person.here:
            return
        for frame in await person.client.waiting(most):
            self.take(person, frame)

    async def cut_off(self, node):
        if not self.cut[node]:
            self.cut[node] = True
            self.broker.cut(self.hubs[node].node)

    async def join_again(self, node):
        if self.cut[node]:
            self.cut[node] = False
            self.broker.restore(self.hubs[node].node)

    async def lose_history(self):
        self.ends[self.broker.log(ROOM).epoch] = len(self.said)
        self.broker.lose_history()

    async def settle(self, turns):
        for _ in range(turns):
            await asyncio.sleep(0)

    async def wait(self):
        await asyncio.sleep(1.0)

    async def finish(self):
        """All is well again, everybody reads everything."""
        for node in range(len(self.hubs)):
            await self.join_again(node)
        await asyncio.sleep(30)
        await self.publish(0, None, None, 1)
        for _ in range(100):
            for who in range(len(self.people)):
                await self.read(who, None)
            await self.settle(2)
        await asyncio.sleep(30)
        for who in range(len(self.people)):
            await self.read(who, None)

    # --- what must hold

    def look(self):
        """No outbox is larger than it may be."""
        for person in self.people:
            if person.here:
                connection = person.client.connection
                assert connection.waiting <= QUEUE
                assert connection.waiting <= 1 or connection.waiting_bytes <= BYTES

    def take(self, person, frame):
        """Note what a client was told."""
        if isinstance(frame, Joined):
            if frame.recovered:
                person.record.append("back")
            else:
                person.record.append(("start", frame.position, len(self.said)))
            person.position = frame.position
        elif isinstance(frame, Gap):
            person.record.append(frame)
            if frame.position is not None:
                person.position = frame.position
        elif isinstance(frame, Message):
            person.position = Position(person.position.epoch, frame.offset)
            person.record.append((person.position, frame.data["number"]))

    def judge(self, person):
        """Compare a client's record with the model."""
        places = {said.position: index for index, said in enumerate(self.said)}
        last = None  # index of the last message that it knows of
        gap = None
        for event in person.record:
            if event == "back":
                continue
            if isinstance(event, tuple) and event[0] == "start":
                last = self.index_at(event[1], places, event[2])
                gap = None
                continue
            if isinstance(event, Gap):
                gap = event if gap is None else merged(gap, event)
                continue
            position, number = event
            index = places[position]
            assert self.said[index].number == number, "a message is not what was published there"
            assert index > last, "a message came twice, or in the wrong order"
            assert self.said[index].exclude != person.name, "it was left out of this one"
            self.judge_missing(person, last + 1, index, gap)
            last, gap = index, None
        if person.here and last is not None:
            self.judge_missing(person, last + 1, len(self.said), gap)

    def index_at(self, position, places, said):
        """The index of the last message that lies at or before a position."""
        if position in places:
            return places[position]
        same = [place for at, place in places.items() if at.epoch == position.epoch]
        if position.offset == 0:
            return min(same, default=self.ends.get(position.epoch, said)) - 1
        raise AssertionError(f"a client stands where no message is: {position}")

    def judge_missing(self, person, start, end, gap):
        """What was published from `start` on before `end` did not come."""
        missing = [said for said in self.said[start:end] if said.exclude != person.name]
        if self.when_full == "coalesce":
            later = {said.key for said in self.said[end : end + 1]}
            missing = [said for said in missing if not self.replaced(said)] if later else missing
        if missing:
            assert gap is not None, f"missing without a word: {[said.number for said in missing]}"
        if gap is not None and gap.dropped:
            assert gap.dropped >= len(missing), "a gap tells of fewer than are missing"
            if not self.presence and self.when_full != "coalesce":
                assert gap.dropped == len(missing), "a gap tells of more than are missing"

    def replaced(self, said):
        """Whether a later message may have taken its place."""
        return said.key is not None and any(
            other.key == said.key for other in self.said[said.number + 1 :]
        )


def merged(one, other):
    known = one.dropped and other.dropped
    return Gap(one.room, other.reason, one.dropped + other.dropped if known else 0)
