"""Rooms on one or several Redis servers: Pub/Sub for what is live, Streams for history.

**Facts.** A message is appended by a script: it is numbered, kept, trimmed and published in one
step, so that what is published is in the order of its numbers, and `previous` is the number before.
Publishing reaches whoever listens at that moment and nobody later; the hub sees the hole and reads.

**Sharding.** A room lives on one server: the one whose hash together with the room's name is the
largest. Every node has to be given the same addresses, in any order. Taking a server away moves the
rooms of that one only; their history begins anew on another. Members are with their room; a node
has a lease on every server.

**Epochs.** A room's epoch and last offset are kept for a day after they were last asked for (or for
the history's age, where that is more), and a hub asks for those of its rooms every few seconds. So
a room that somebody is in keeps its epoch however quiet it is; one that was empty for longer begins
a new one, and a client that comes back then is told that recovery is impossible. A server that lost
its last moments (`appendfsync everysec` and a crash of the machine, a replica that was behind)
would give the same numbers twice: when a node asks for the last position and has seen a later one,
the script begins a new epoch. If others have appended more than was lost before anybody asks,
nobody can tell; who cannot live with that sets `appendfsync always`.

**Burial.** A node is dead when its lease ran out. After the start and after a break, nothing is
buried until a whole lease has passed: while the server was away, nobody could renew.

Redis Cluster is not spoken; give the addresses of several servers instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import msgspec

from treadle.hub.backends.base import Appended, Backend, Departure, Entry, Receiver
from treadle.hub.backends.link import all_of, within_timeout
from treadle.hub.backends.own import OwnMembers
from treadle.hub.backends.redis_shard import Shard
from treadle.hub.errors import HubError, Unavailable, Unrecoverable
from treadle.hub.frames import Member, Position
from treadle.hub.options import Retention

__all__ = ["RedisBackend"]

DEDUPE_WINDOW = 120.0  # seconds
ROOM_LIFE = 24 * 3600 * 1000  # milliseconds for which the epoch of a quiet room is kept, at least
FIRST_LEASE = 30.0  # seconds, until the first `beat` says otherwise
BURIED_AT_ONCE = 1000  # members, by one call of the script


class RedisBackend(Backend):
    """Rooms that span every node which uses the same Redis servers and the same prefix.

    `urls` is one address or several: `redis://`, `rediss://` (TLS) or `unix://`, with user,
    password and database as redis-py has them. `timeout` is in seconds, and the longest that any
    call takes.

    >>> hub = Hub(RedisBackend(["redis://one.example.org", "redis://two.example.org"]))
    >>> type(hub.backend).__name__
    'RedisBackend'
    """

    def __init__(
        self, urls: str | Sequence[str], prefix: str = "treadle", timeout: float = 5.0
    ) -> None:
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        if not self._urls:
            raise ValueError("give the address of one Redis server at least")
        self._prefix = prefix
        self._timeout = timeout
        self._node = ""
        self._receiver: Receiver | None = None
        self._shards: list[Shard] = []
        self._identities = [identity(url) for url in self._urls]
        self._homes: dict[str, Shard] = {}  # of attached rooms
        self._attached: dict[str, int] = {}
        self._seen: dict[str, Position] = {}  # the last that was delivered in an attached room
        self._epochs = 0
        self._own = OwnMembers()
        self._lease = FIRST_LEASE
        self._begun = False  # has there been a lease?
        self._lapsed = False  # was there none for a while, since the last beat?
        self._quiet_until: dict[Shard, float] = {}  # nothing is buried before

    # --- life

    async def start(self, node: str, receiver: Receiver) -> None:
        self._node, self._receiver = node, receiver
        self._lease, self._begun, self._lapsed = FIRST_LEASE, False, False
        prefix = len(self._prefix) + 1

        def deliver(channel: str, body: bytes) -> None:
            self._deliver(channel[prefix:], body)

        for url, where in zip(self._urls, self._identities, strict=True):
            shard = Shard(url, f"{where} {node}", self._timeout, deliver)
            shard.up = partial(self._renew, shard)
            shard.chore = self._tidy
            shard.down = receiver.lost
            shard.on_ready = partial(self._restored, shard)
            self._shards.append(shard)
        try:
            await all_of(*(shard.start() for shard in self._shards))
        except BaseException:
            await self._disconnect()
            raise
        self._begun = True

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await all_of(*(self._withdraw(shard) for shard in self._shards if shard.is_up))
        except (HubError, TimeoutError):
            pass  # the lease will run out
        finally:
            self._own.clear()
            await self._disconnect()

    async def _disconnect(self) -> None:
        shards, self._shards = self._shards, []
        self._homes.clear()
        await all_of(*(shard.close() for shard in shards))

    def _restored(self, shard: Shard) -> None:
        self._quiet_until[shard] = asyncio.get_running_loop().time() + self._lease
        assert self._receiver is not None
        self._receiver.restored()

    # --- rooms

    def _shard(self, room: str) -> Shard:
        """The server that a room lives on."""
        if not self._shards:
            raise Unavailable("the backend is not started")
        if len(self._shards) == 1:
            return self._shards[0]
        home = self._homes.get(room)
        if home is None:
            home = self._shards[rendezvous(room, self._identities)]
            if room in self._attached:
                self._homes[room] = home
        return home

    def _channel(self, room: str) -> str:
        return f"{self._prefix}:{room}"

    def _key(self, room: str, what: str) -> str:
        return f"{self._prefix}:{{{room}}}:{what}"

    def _log_keys(self, room: str) -> list[str]:
        return [self._key(room, "meta"), self._key(room, "log")]

    def _candidate(self) -> str:
        """An epoch that nobody has used; the node's name is unlike any other's."""
        self._epochs += 1
        return f"{self._node.replace(' ', '_')}.{self._epochs}"

    def _deliver(self, room: str, body: bytes) -> None:
        assert self._receiver is not None
        if body[:1] != b"E":
            self._receiver.signal(room, body[1:])
            return
        try:
            epoch, offset, rest = body[1:].split(b" ", 2)
            position = Position(epoch.decode(), int(offset))
        except ValueError:
            return  # somebody else's; an entry that is missing is seen from the next one
        if room in self._attached:
            self._seen[room] = position
        self._receiver.entry(room, Entry(position, position.offset - 1, rest))

    @within_timeout
    async def attach(self, room: str) -> Position:
        shard = self._shard(room)
        channel = self._channel(room)
        await shard.subscribe(channel)
        self._attached[room] = self._attached.get(room, 0) + 1
        try:
            return await self.last(room)
        except BaseException:
            self._detach(shard, room)
            raise

    async def detach(self, room: str) -> None:
        if room in self._attached and self._shards:
            self._detach(self._shard(room), room)

    def _detach(self, shard: Shard, room: str) -> None:
        shard.unsubscribe(self._channel(room))
        self._attached[room] -= 1
        if not self._attached[room]:
            del self._attached[room]
            self._seen.pop(room, None)
            self._homes.pop(room, None)

    @within_timeout
    async def append(
        self, room: str, body: bytes, retention: Retention, dedupe: str | None = None
    ) -> Appended:
        age = int(retention.age * 1000) if retention.age < 1e12 else 10**15
        window = 0 if dedupe is None else int(min(retention.age, DEDUPE_WINDOW) * 1000)
        keys = [*self._log_keys(room), self._key(room, f"once:{dedupe}"), self._channel(room)]
        life = max(ROOM_LIFE, age)
        args = [self._candidate(), life, body, retention.count, age, window]
        answer = await self._shard(room).call("append", keys, args, again=window > 0)
        position = Position(answer[1].decode(), answer[2])
        return Appended(Entry(position, position.offset - 1, body), duplicate=bool(answer[0]))

    @within_timeout
    async def send(self, room: str, body: bytes) -> None:
        await self._shard(room).publish(self._channel(room), b"S" + body)

    @within_timeout
    async def last(self, room: str) -> Position:
        seen = self._seen.get(room, Position("", 0))
        args = [self._candidate(), ROOM_LIFE, seen.epoch, seen.offset]
        answer = await self._shard(room).call("last", self._log_keys(room), args, again=True)
        return Position(answer[0].decode(), answer[1])

    @within_timeout
    async def read(self, room: str, after: Position, limit: int) -> list[Entry]:
        args = [after.epoch, after.offset, limit]
        answer = await self._shard(room).call("read", self._log_keys(room), args, again=True)
        if answer[0]:
            raise Unrecoverable(answer[0].decode())
        return entries(after, answer[1])

    @within_timeout
    async def tail(self, room: str, count: int) -> tuple[Position, list[Entry]]:
        args = [self._candidate(), ROOM_LIFE, count]
        answer = await self._shard(room).call("tail", self._log_keys(room), args, again=True)
        before = Position(answer[0].decode(), answer[1])
        return before, entries(before, answer[2][::-1])

    @within_timeout
    async def oldest(self, room: str) -> Position:
        args = [self._candidate(), ROOM_LIFE]
        answer = await self._shard(room).call("oldest", self._log_keys(room), args, again=True)
        return Position(answer[0].decode(), answer[1])

    # --- who is where

    def _node_key(self, what: str, node: str = "") -> str:
        return f"{self._prefix}:{what}:{node}"

    @within_timeout
    async def enter(self, room: str, member: Member) -> bool:
        try:
            fresh = await self._enter(room, member)
        except BaseException:
            self._own.leaves(room, member.client)  # it may be noted all the same
            raise
        self._own.enters(room, member)
        return fresh

    async def _enter(self, room: str, member: Member) -> bool:
        keys = [
            self._key(room, "who"),
            self._node_key("places", self._node),
            f"{self._prefix}:nodes",
        ]
        info = msgspec.msgpack.encode(member.info)
        args = [self._node, member.client, info, place(room, member.client)]
        return bool(await self._shard(room).call("enter", keys, args, again=True))

    @within_timeout
    async def exit(self, room: str, client: str) -> bool:
        if (room, client) not in self._own:
            return False
        self._own.leaves(room, client)
        return await self._exit(room, client)

    async def _exit(self, room: str, client: str) -> bool:
        keys = [self._key(room, "who"), self._node_key("places", self._node)]
        args = [self._node, client, place(room, client)]
        left = await self._shard(room).call("exit", keys, args, again=True)
        self._own.gone(room, client)
        return bool(left)

    @within_timeout
    async def members(self, room: str) -> list[Member]:
        args = [self._node_key("lease")]
        answer = await self._shard(room).call("members", [self._key(room, "who")], args, again=True)
        found = [
            Member(answer[i].decode(), msgspec.msgpack.decode(answer[i + 1]))
            for i in range(0, len(answer), 2)
        ]
        return sorted(found, key=lambda member: member.client)

    @within_timeout
    async def beat(self, lease: float) -> bool:
        self._lease = lease
        for shard in self._shards:
            self._quiet_until.setdefault(shard, asyncio.get_running_loop().time() + lease)
        await all_of(*(self._renew(shard) for shard in self._shards))
        await self._tidy()
        lapsed, self._lapsed = self._lapsed, False
        return lapsed

    async def _renew(self, shard: Shard) -> None:
        """Prolong the lease on one server; where there was none, our members may be forgotten."""
        keys = [self._node_key("lease", self._node), f"{self._prefix}:nodes"]
        args = [self._node, max(1, int(self._lease * 1000))]
        if not await shard.call("beat", keys, args, again=True) and self._begun:
            self._lapsed = True
            self._own.forget(lambda room: self._shard(room) is shard)

    async def _tidy(self) -> None:
        """Note what is forgotten, and remove what should be gone."""
        await self._own.tidy(self._enter, self._exit)

    @within_timeout
    async def bury(self) -> list[Departure]:
        now = asyncio.get_running_loop().time()
        ready = [s for s in self._shards if s.is_up and now >= self._quiet_until.get(s, now + 1)]
        buried = (self._bury(shard, "") for shard in ready)
        results = await asyncio.gather(*buried, return_exceptions=True)
        found = [departure for some in results if isinstance(some, list) for departure in some]
        for result in results:
            if isinstance(result, BaseException) and not found:
                raise result
        return found

    async def _withdraw(self, shard: Shard) -> None:
        await self._bury(shard, self._node)

    async def _bury(self, shard: Shard, only: str) -> list[Departure]:
        room_before, room_after = self._key("\0", "who").split("\0")
        args: list[Any] = [self._node_key("lease"), self._node_key("places")]
        args += [room_before, room_after, BURIED_AT_ONCE, only]
        departures: list[Departure] = []
        while True:
            keys = [f"{self._prefix}:nodes"]
            try:
                more, answer = await shard.call("bury", keys, args, again=False)
            except Unavailable:
                if departures:
                    return departures  # these are removed: nobody else is going to tell of them
                raise
            for i in range(0, len(answer), 2):
                room, client = placed(answer[i])
                info = msgspec.msgpack.decode(answer[i + 1])
                departures.append(Departure(room, Member(client, info)))
            if not more:
                return departures


def entries(before: Position, bodies: list[bytes]) -> list[Entry]:
    """Bodies that follow a position, with theirs."""
    return [
        Entry(Position(before.epoch, offset), offset - 1, body)
        for offset, body in enumerate(bodies, before.offset + 1)
    ]


def place(room: str, client: str) -> bytes:
    """A room and a client in one, as the scripts take it apart.

    >>> place("é", "ann"), placed(place("é", "ann"))
    (b'2:\\xc3\\xa9ann', ('é', 'ann'))
    """
    name = room.encode()
    return b"%d:%b%b" % (len(name), name, client.encode())


def placed(pair: bytes) -> tuple[str, str]:
    """The opposite of `place`."""
    length, _, rest = pair.partition(b":")
    end = int(length)
    return rest[:end].decode(), rest[end:].decode()


def identity(url: str) -> str:
    """What all nodes call a server, whoever they log in as.

    >>> identity("redis://ann:secret@example.org/2?protocol=2")
    'redis://example.org:6379/2'
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"


def rendezvous(room: str, identities: Sequence[str]) -> int:
    """Which of the servers a room lives on.

    >>> rendezvous("lobby", ["a", "b", "c"]) == 2 - rendezvous("lobby", ["c", "b", "a"])
    True
    """

    def weight(index: int) -> bytes:
        return blake2b(f"{identities[index]} {room}".encode(), digest_size=8).digest()

    return max(range(len(identities)), key=weight)
