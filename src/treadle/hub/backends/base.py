"""What carries messages between the nodes of a hub, and keeps their history.

A node is one `Hub` object: one process has one, usually. The backend numbers the messages of a
room, keeps the last of them, hands each to every node that has the room attached, and knows who is
in a room. It knows nothing of connections, queues or clients: bodies are bytes to it.

**What the hub relies on.** Entries of a room are numbered by the backend, in one order that all
nodes see. Each names the one before it (`previous`). Delivery to a node may lose entries, repeat
them, and come late: the hub sees from `previous` that something is missing and reads it from
history. So `receive` may be called with anything that is true, in any order; only the link to the
previous entry must be right.

**What the hub does not rely on.** That the backend is there: every coroutine may raise
`Unavailable`, and does so within `timeout` rather than wait for ever. A backend connects again by
itself, attaches its rooms again, and then calls `restored`, whereupon the hub reads what it missed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from treadle.hub.frames import Member, Position
from treadle.hub.options import Retention

__all__ = ["Appended", "Backend", "Departure", "Entry", "Receiver"]

EVERYTHING = 1 << 30  # a number of entries that no room keeps


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in a room's history."""

    position: Position
    previous: int
    """The offset of the entry before it in the same epoch; 0 for the first."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message was put."""

    entry: Entry
    duplicate: bool = False
    """A message of the same `dedupe` was there; `entry` is that one, its body may be empty."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A member whose node died, and the room that it was in."""

    room: str
    member: Member


class Receiver(Protocol):
    """What a backend calls, from the loop's thread. None of these raises or waits."""

    def entry(self, room: str, entry: Entry) -> None:
        """An entry was appended to an attached room, by this node or another."""

    def signal(self, room: str, body: bytes) -> None:
        """A message that is not kept was sent to an attached room, by this node or another."""

    def lost(self, reason: str) -> None:
        """The connection to the backend, or to a part of it, is gone."""

    def restored(self) -> None:
        """It is back, and every attached room is attached again."""


class Backend(ABC):
    """One node's way to the others.

    Every coroutine raises `Unavailable` when the backend cannot be reached in time. Cancelled, a
    coroutine may have had its effect or not, and leaves the backend usable.

    >>> isinstance(MemoryBackend(), Backend)
    True
    """

    @abstractmethod
    async def start(self, node: str, receiver: Receiver) -> None:
        """Connect; raises if that is impossible now. `node` is this node's own name."""

    @abstractmethod
    async def close(self) -> None:
        """Withdraw the members of this node and disconnect. Never raises; may be called twice."""

    # --- rooms

    @abstractmethod
    async def attach(self, room: str) -> Position:
        """Begin to deliver a room's entries and signals.

        Whatever is appended after the returned position, which is the last entry's (offset 0 in an
        empty room), is delivered.
        """

    @abstractmethod
    async def detach(self, room: str) -> None:
        """Deliver no more of it."""

    @abstractmethod
    async def append(
        self, room: str, body: bytes, retention: Retention, dedupe: str | None = None
    ) -> Appended:
        """Number a message, keep it under `retention`, and deliver it to every node.

        With `dedupe`, a message that was appended under the same name in this room within the
        history's age (or 2 minutes, if that is less) is not appended again.
        """

    @abstractmethod
    async def send(self, room: str, body: bytes) -> None:
        """Deliver a message to every node, without number or history."""

    @abstractmethod
    async def last(self, room: str) -> Position:
        """The position of a room's last entry; offset 0 when there is none."""

    @abstractmethod
    async def read(self, room: str, after: Position, limit: int) -> list[Entry]:
        """The entries that follow a position, in order, at most `limit`.

        Raises `Unrecoverable` when the epoch is another one, the position lies ahead of the last
        entry, or the entry that follows it is no longer kept. The first one's `previous` is
        `after.offset`. Empty: nothing follows.
        """

    @abstractmethod
    async def tail(self, room: str, count: int) -> tuple[Position, list[Entry]]:
        """The last `count` entries that are kept, and the position before the first of them."""

    async def oldest(self, room: str) -> Position:
        """The position before the first entry that is kept; the last one's when none is.

        Override where that can be known without fetching entries.
        """
        position, _ = await self.tail(room, EVERYTHING)
        return position

    # --- who is where

    @abstractmethod
    async def enter(self, room: str, member: Member) -> bool:
        """Note that a member of this node is in a room.

        False if the client was noted there already, by this node or another: nobody need be told.
        """

    @abstractmethod
    async def exit(self, room: str, client: str) -> bool:
        """Note that it no longer is.

        False if it was not, or another node still has it there: nobody need be told.
        """

    @abstractmethod
    async def members(self, room: str) -> list[Member]:
        """All members of a room, of all nodes that are alive, by client."""

    @abstractmethod
    async def beat(self, lease: float) -> bool:
        """This node is alive, and will say so again within `lease` seconds.

        A node whose lease was lost in between, for the backend was away, notes its members again,
        and returns True: others may have been told that they left.
        """

    @abstractmethod
    async def bury(self) -> list[Departure]:
        """Remove the members of nodes whose lease has run out. Each is returned to one caller."""
