"""A backend for one process, and for tests of several nodes in one.

Hubs that share a `MemoryBroker` are nodes of one cluster. The broker can be told to misbehave:
`cut` separates a node from it, `restore` joins it again, `lose_history` forgets all messages. The
default, `MemoryBackend()`, has a broker of its own.

Deliveries happen within `append` and `send`, before they return.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from treadle.hub.backends.base import Appended, Backend, Departure, Entry, Receiver
from treadle.hub.errors import Unavailable, Unrecoverable
from treadle.hub.frames import Member, Position
from treadle.hub.options import NO_HISTORY, Retention
from treadle.hub.tokens import fresh_name

__all__ = ["MemoryBackend", "MemoryBroker"]

DEDUPE = 120.0  # seconds for which names of messages are remembered, at most


class Log:
    """One room's history."""

    __slots__ = ("ages", "entries", "epoch", "last", "names", "retention")

    def __init__(self) -> None:
        self.epoch = fresh_name()
        self.last = 0
        self.retention = NO_HISTORY
        self.entries: deque[Entry] = deque()
        self.ages: deque[float] = deque()  # when each of them was appended
        self.names: dict[str, tuple[float, Entry]] = {}  # by dedupe, oldest first

    def position(self) -> Position:
        return Position(self.epoch, self.last)

    def trim(self, now: float) -> None:
        """Drop what is no longer to be kept."""
        entries, ages = self.entries, self.ages
        oldest = now - self.retention.age
        while entries and (len(entries) > self.retention.count or ages[0] < oldest):
            entries.popleft()
            ages.popleft()
        oldest = now - min(self.retention.age, DEDUPE)
        while self.names:
            name, (age, _) = next(iter(self.names.items()))
            if age >= oldest:
                break
            del self.names[name]

    def append(self, body: bytes, now: float, dedupe: str | None) -> Appended:
        self.trim(now)
        if dedupe is not None and dedupe in self.names:
            return Appended(self.names[dedupe][1], duplicate=True)
        entry = Entry(Position(self.epoch, self.last + 1), self.last, body)
        self.last += 1
        self.entries.append(entry)
        self.ages.append(now)
        if dedupe is not None:
            self.names[dedupe] = (now, Entry(entry.position, entry.previous, b""))
        self.trim(now)
        return Appended(entry)

    def before_first(self) -> Position:
        return Position(self.epoch, self.last - len(self.entries))

    def read(self, after: Position, limit: int) -> list[Entry]:
        if after.epoch != self.epoch:
            raise Unrecoverable("the history that this position is of was lost")
        if after.offset > self.last:
            raise Unrecoverable("the position lies ahead of the last message")
        skip = after.offset - (self.last - len(self.entries))
        if skip < 0:
            raise Unrecoverable("history does not reach back so far")
        return list(islice(self.entries, skip, skip + limit))


class MemoryBroker:
    """What the nodes of one process share.

    >>> import asyncio
    >>> from treadle.hub import Hub
    >>> async def main():
    ...     broker = MemoryBroker()
    ...     async with Hub(MemoryBackend(broker)) as one, Hub(MemoryBackend(broker)) as two:
    ...         listener = await one.subscribe("news")
    ...         await two.publish("news", "hello")
    ...         print((await anext(listener)).data)
    >>> asyncio.run(main())
    hello
    """

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._nodes: dict[str, MemoryBackend] = {}
        self._members: dict[str, dict[str, dict[str, Member]]] = {}  # by room, node, client
        self._leases: dict[str, float] = {}  # by node: when it runs out

    # --- for tests

    @property
    def rooms(self) -> int:
        """How many rooms it has a history of."""
        return len(self._logs)

    def cut(self, node: str) -> None:
        """Separate a node: all that it asks is `Unavailable`, and nothing is delivered to it."""
        backend = self._nodes[node]
        if not backend.is_cut:
            backend.is_cut = True
            backend.receiver.lost("cut off")

    def restore(self, node: str) -> None:
        """Join it again."""
        backend = self._nodes[node]
        if backend.is_cut:
            backend.is_cut = False
            backend.receiver.restored()

    def lose_history(self) -> None:
        """Forget all messages, as a broker does that was restarted without its disk."""
        self._logs.clear()

    def drop(self, node: str) -> None:
        """Let a node die: it is gone without a word, and its lease runs out."""
        backend = self._nodes.pop(node)
        backend.is_cut = True
        self._leases[node] = 0.0

    # --- for nodes

    def log(self, room: str) -> Log:
        log = self._logs.get(room)
        if log is None:
            log = self._logs[room] = Log()
        return log

    def forget_old(self, now: float) -> None:
        """Drop the histories of rooms where nobody is, and that are too old to be of use."""
        attached = {room for node in self._nodes.values() for room in node.attached}
        for room in self._logs.keys() - attached:
            log = self._logs[room]
            log.trim(now)
            if not log.entries and not log.names:
                del self._logs[room]

    def nodes_with(self, room: str) -> list[MemoryBackend]:
        return [node for node in self._nodes.values() if room in node.attached and not node.is_cut]

    def add(self, node: str, backend: MemoryBackend) -> None:
        self._nodes[node] = backend

    def remove(self, node: str) -> None:
        self._nodes.pop(node, None)
        self._leases.pop(node, None)
        for room in list(self._members):
            if self._members[room].pop(node, None) is not None and not self._members[room]:
                del self._members[room]

    def holders(self, room: str, client: str) -> list[str]:
        """The nodes that have a client in a room."""
        return [node for node, of in self._members.get(room, {}).items() if client in of]

    def enter(self, room: str, node: str, member: Member) -> bool:
        new = not self.holders(room, member.client)
        self._members.setdefault(room, {}).setdefault(node, {})[member.client] = member
        return new

    def exit(self, room: str, node: str, client: str) -> bool:
        nodes = self._members.get(room, {})
        of = nodes.get(node, {})
        if of.pop(client, None) is None:
            return False
        if not of:
            del nodes[node]
        if not nodes:
            del self._members[room]
        return not self.holders(room, client)

    def members(self, room: str) -> list[Member]:
        found: dict[str, Member] = {}
        for of in self._members.get(room, {}).values():
            found.update(of)
        return [found[client] for client in sorted(found)]

    def beat(self, node: str, until: float) -> bool:
        known = node in self._leases
        self._leases[node] = until
        return not known

    def bury(self, now: float) -> list[Departure]:
        gone: list[Departure] = []
        for node in [node for node, until in self._leases.items() if until < now]:
            del self._leases[node]
            for room in list(self._members):
                of = self._members[room].get(node, {})
                gone += [
                    Departure(room, member)
                    for client, member in list(of.items())
                    if self.exit(room, node, client)
                ]
        return gone


class MemoryBackend(Backend):
    """One node's way to a `MemoryBroker`; without one, it has its own.

    >>> MemoryBackend().broker is MemoryBackend().broker
    False
    """

    receiver: Receiver

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self.broker = MemoryBroker() if broker is None else broker
        self.node = ""
        self.is_cut = False
        self.attached: set[str] = set()
        self._noted: dict[tuple[str, str], Member] = {}  # by room and client
        self._beaten = False

    async def start(self, node: str, receiver: Receiver) -> None:
        self.node = node
        self.receiver = receiver
        self.broker.add(node, self)

    async def close(self) -> None:
        self.attached.clear()
        self._noted.clear()
        if self.node:
            self.broker.remove(self.node)

    async def attach(self, room: str) -> Position:
        self._reach()
        self.attached.add(room)
        return self.broker.log(room).position()

    async def detach(self, room: str) -> None:
        self.attached.discard(room)
        self._reach()

    async def append(
        self, room: str, body: bytes, retention: Retention, dedupe: str | None = None
    ) -> Appended:
        self._reach()
        log = self.broker.log(room)
        log.retention = retention
        appended = log.append(body, now(), dedupe)
        if not appended.duplicate:
            for node in self.broker.nodes_with(room):
                node.receiver.entry(room, appended.entry)
        return appended

    async def send(self, room: str, body: bytes) -> None:
        self._reach()
        for node in self.broker.nodes_with(room):
            node.receiver.signal(room, body)

    async def last(self, room: str) -> Position:
        return self._log(room).position()

    async def read(self, room: str, after: Position, limit: int) -> list[Entry]:
        return self._log(room).read(after, limit)

    async def tail(self, room: str, count: int) -> tuple[Position, list[Entry]]:
        log = self._log(room)
        skip = max(len(log.entries) - count, 0)
        position = Position(log.epoch, log.last - len(log.entries) + skip)
        return position, list(islice(log.entries, skip, None))

    async def oldest(self, room: str) -> Position:
        return self._log(room).before_first()

    async def enter(self, room: str, member: Member) -> bool:
        self._reach()
        self._noted[room, member.client] = member
        return self.broker.enter(room, self.node, member)

    async def exit(self, room: str, client: str) -> bool:
        self._reach()
        self._noted.pop((room, client), None)
        return self.broker.exit(room, self.node, client)

    async def members(self, room: str) -> list[Member]:
        self._reach()
        return self.broker.members(room)

    async def beat(self, lease: float) -> bool:
        self._reach()
        self.broker.forget_old(now())
        first, self._beaten = not self._beaten, True
        lost = self.broker.beat(self.node, now() + lease) and not first
        if lost:
            for (room, _), member in self._noted.items():
                self.broker.enter(room, self.node, member)
        return lost

    async def bury(self) -> list[Departure]:
        self._reach()
        return self.broker.bury(now())

    def _reach(self) -> None:
        if self.is_cut:
            raise Unavailable("this node is cut off")

    def _log(self, room: str) -> Log:
        self._reach()
        log = self.broker.log(room)
        log.trim(now())
        return log


def now() -> float:
    return asyncio.get_running_loop().time()
