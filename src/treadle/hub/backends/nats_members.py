"""Who is where, and which nodes are alive: the last message of each subject of a stream.

A member is a message on `who.ROOM.CLIENT`, a node's lease one on `lease.NODE`. To remove either is
to delete the message of that number: of several nodes that try, one is told that it did. And one
that has been replaced meanwhile has another number, so that a node never removes what another
wrote: a client that came back to another node stays.

**Burial.** Whoever finds a lease that ran out deletes it first. That fails when the node has just
renewed it; otherwise the node's next renewal fails, for it names the message that it replaces, and
the node notes its members again. Only then are its members looked for, among all members of all
rooms, and deleted one by one. Where the grave-digger dies itself in between, the members that
remain have a node without a lease: nobody sees them, and the next burial removes them.

Leases are compared by the server's clock, which stamped them: a node's own lease tells it the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from treadle.hub.backends.base import Departure
from treadle.hub.backends.link import all_of
from treadle.hub.backends.nats_link import NatsLink
from treadle.hub.backends.nats_stream import SECOND, Stored, Stream
from treadle.hub.backends.own import OwnMembers
from treadle.hub.errors import Unavailable
from treadle.hub.frames import Member

__all__ = ["Members"]

AT_ONCE = 100  # deletions under way at a time

Encode = Callable[[str], str]


class Place(msgspec.Struct, array_like=True):
    """What is stored about a member."""

    node: str
    room: str
    client: str
    info: Any = None


class Members:
    """The members of rooms, as one node sees and notes them."""

    def __init__(
        self, link: NatsLink, prefix: str, replicas: int, node: str, encode: Encode
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._node = node
        self._encode = encode
        self._own = OwnMembers()
        self._numbers: dict[tuple[str, str], int] = {}  # of the messages of our members
        self.lapsed = False  # was there no lease for a while? The reader resets it
        self._lease = 0  # the number of the message of ours; 0: none
        self._alive: dict[str, float] = {}  # until when, by the loop's clock, nodes were heard of
        self._clock: tuple[int, float] = (0, 0.0)  # the server's time, and ours at the same moment
        self._suspicious = True  # members without a node may be left
        config = {
            "subjects": [f"{prefix}.who.*.*", f"{prefix}.lease.*"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "num_replicas": replicas,
        }
        self.stream = Stream(link, f"{prefix.replace('.', '_')}_members", config)

    def _who(self, room: str, client: str) -> str:
        return f"{self._prefix}.who.{self._encode(room)}.{self._encode(client)}"

    # --- time

    def now(self) -> int:
        """The server's time, in nanoseconds since 1970; never ahead of it."""
        at, when = self._clock
        return at + int((asyncio.get_running_loop().time() - when) * SECOND)

    async def _set_clock(self) -> None:
        when = asyncio.get_running_loop().time()
        lease = await self.stream.get(self._lease)
        if lease is not None:
            self._clock = (lease.time, when)

    # --- members

    async def enter(self, room: str, member: Member) -> bool:
        try:
            fresh = await self._enter(room, member)
        except BaseException:
            self._own.leaves(room, member.client)  # it may be noted all the same
            raise
        self._own.enters(room, member)
        return fresh

    async def _enter(self, room: str, member: Member) -> bool:
        subject = self._who(room, member.client)
        body = msgspec.json.encode(Place(self._node, room, member.client, member.info))
        expected = self._numbers.get((room, member.client), 0)
        while True:
            made = await self.stream.publish(subject, body, {}, expected)
            if made is not None:
                self._numbers[room, member.client] = made.seq
                return expected == 0
            there = await self.stream.last(subject)
            expected = 0 if there is None else there.seq

    async def exit(self, room: str, client: str) -> bool:
        if (room, client) not in self._own:
            return False
        self._own.leaves(room, client)
        return await self._exit(room, client)

    async def _exit(self, room: str, client: str) -> bool:
        await self._link.ready()  # now: a new connection may make the numbers void
        number = self._numbers.get((room, client))
        if number is None:  # it was being noted, and that was interrupted
            there = await self.stream.last(self._who(room, client))
            if there is not None and place_of(there).node == self._node:
                number = there.seq
        left = number is not None and await self.stream.delete(number)
        self._numbers.pop((room, client), None)
        self._own.gone(room, client)
        return left

    async def members(self, room: str) -> list[Member]:
        subject = f"{self._prefix}.who.{self._encode(room)}.*"
        places = [place_of(stored) for stored in await self.stream.fetch(subject)]
        now = asyncio.get_running_loop().time()
        if any(self._alive.get(place.node, 0.0) < now for place in places):
            await self._leases()
        found = [Member(p.client, p.info) for p in places if self._alive.get(p.node, 0.0) >= now]
        return sorted(found, key=lambda member: member.client)

    # --- leases

    async def beat(self, lease: float) -> None:
        """Renew the lease; where it was lost, our members may be forgotten."""
        subject = f"{self._prefix}.lease.{self._encode(self._node)}"
        body = msgspec.json.encode((self._node, lease))
        made = await self.stream.publish(subject, body, {}, self._lease)
        if made is None:
            if self._lease:
                self._own.forget()
                self._numbers.clear()  # in a stream that was made anew they are others'
                self.lapsed = True
            made = await self.stream.publish(subject, body, {})
            assert made is not None
        self._lease = made.seq
        await self._set_clock()

    async def tidy(self) -> None:
        """Note what is forgotten, and remove what should be gone."""
        await self._own.tidy(self._enter, self._exit)

    async def _leases(self) -> list[tuple[Stored, str, bool]]:
        """The leases that there are, their nodes, and whether each still runs."""
        found = []
        now, here = self.now(), asyncio.get_running_loop().time()
        self._alive.clear()
        for stored in await self.stream.fetch(f"{self._prefix}.lease.*"):
            node, seconds = msgspec.json.decode(stored.body, type=tuple[str, float])
            left = (stored.time - now) / SECOND + seconds
            if node == self._node or left > 0:
                self._alive[node] = here + max(left, 0.0)
            found.append((stored, node, node in self._alive))
        return found

    async def bury(self) -> list[Departure]:
        leases = await self._leases()
        for stored, _, alive in leases:
            if not alive and await self.stream.delete(stored.seq):
                self._suspicious = True
        if not self._suspicious:
            return []
        places = await self.stream.fetch(f"{self._prefix}.who.*.*")
        # asked after the members: who has just come is among these, or has no members among those
        living = {node for _, node, alive in await self._leases() if alive} | {self._node}
        dead = [stored for stored in places if place_of(stored).node not in living]
        found: list[Departure] = []
        try:
            for start in range(0, len(dead), AT_ONCE):
                found += await self._remove(dead[start : start + AT_ONCE])
        except Unavailable:
            if not found:
                raise
            return found  # these are removed: nobody else is going to tell of them
        self._suspicious = False
        return found

    async def _remove(self, dead: list[Stored]) -> list[Departure]:
        deletions = (self.stream.delete(stored.seq) for stored in dead)
        results = await asyncio.gather(*deletions, return_exceptions=True)
        found = []
        failure: BaseException | None = None
        for stored, deleted in zip(dead, results, strict=True):
            if isinstance(deleted, BaseException):
                failure = deleted
            elif deleted:
                place = place_of(stored)
                found.append(Departure(place.room, Member(place.client, place.info)))
        if failure is not None and not found:
            raise failure
        return found

    async def withdraw(self) -> None:
        """Remove this node and its members."""
        numbers = list(self._numbers.values())
        self._numbers.clear()
        self._own.clear()
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            await all_of(*(self.stream.delete(number) for number in some))
        lease, self._lease = self._lease, 0
        if lease:
            await self.stream.delete(lease)


def place_of(stored: Stored) -> Place:
    return msgspec.json.decode(stored.body, type=Place)
