"""What travels between a client and the hub: one msgspec type for each kind of frame.

On the wire a frame is a JSON object (a text message) or a MessagePack map (a binary message), with
its kind under `type`. A client speaks one of the two for the life of its connection; what it
publishes reaches the others in theirs. Binary data is `bin` in MessagePack, base64 in JSON.

Requests carry an `id` that the client chose; the answer carries it again. This file knows neither
rooms nor connections.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "Answer",
    "Encoding",
    "Failed",
    "Gap",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "Member",
    "Members",
    "Message",
    "Ping",
    "Pong",
    "Position",
    "Presence",
    "Publish",
    "Published",
    "Request",
    "Roster",
    "Welcome",
]

Encoding = Literal["json", "msgpack"]


class Position(msgspec.Struct, frozen=True):
    """A place in a room's history: the entry at `offset` was the last that was seen.

    Offsets grow within an epoch, and need not be consecutive. An epoch is one life of a room's
    history: when history is lost, another one begins, and positions of the old one mean nothing.

    >>> Position("Nx2k", 7).offset
    7
    """

    epoch: str
    offset: int


class Member(msgspec.Struct, frozen=True):
    """Somebody who is in a room.

    >>> Member("c1", info={"name": "Ada"}).info["name"]
    'Ada'
    """

    client: str
    info: Any = None
    """What the authentication hook said about them that others may see."""


# --- from the client


class Join(msgspec.Struct, tag="join", tag_field="type", omit_defaults=True):
    """Begin to receive a room's messages.

    With `after`, everything since that position comes first. Without it, the last `history` ones.
    """

    id: int
    room: str
    after: Position | None = None
    history: int = 0


class Leave(msgspec.Struct, tag="leave", tag_field="type"):
    """Receive no more of a room."""

    id: int
    room: str


class Publish(msgspec.Struct, tag="publish", tag_field="type", omit_defaults=True):
    """Send `data` to a room, to all but the sender (`others`), or to one member (`to`).

    `dedupe` names the message: one that was published already is answered, not published again.
    """

    id: int
    room: str
    data: Any
    key: str | None = None
    to: str | None = None
    others: bool = False
    dedupe: str | None = None


class Members(msgspec.Struct, tag="members", tag_field="type"):
    """Ask who is in a room."""

    id: int
    room: str


class Ping(msgspec.Struct, tag="ping", tag_field="type", omit_defaults=True):
    """Still here. Sent by a client that had nothing else to say for `Welcome.ping` seconds."""

    id: int = 0


Request = Join | Leave | Publish | Members | Ping


# --- from the hub


class Welcome(msgspec.Struct, tag="welcome", tag_field="type"):
    """The first frame: who you are, and what is expected of you."""

    client: str
    """The public name of this client, which others see."""
    session: str
    """A secret that gives the same name again after a reconnect; to nobody else."""
    ping: float
    """Seconds of silence after which a client is to send `Ping`; after thrice that it is closed."""
    max_message: int
    """The largest frame, in bytes, that is accepted."""


class Joined(msgspec.Struct, tag="joined", tag_field="type", omit_defaults=True):
    """The room was joined. Messages of its history follow, if that was asked for."""

    id: int
    room: str
    position: Position | None = None
    """Where the client stands before the replay; None in a room without history."""
    recovered: bool | None = None
    """Whether nothing between `Join.after` and now is missing; None when it was not asked for."""
    reason: str = ""
    """Why recovery was impossible."""
    members: list[Member] | None = None


class Left(msgspec.Struct, tag="left", tag_field="type"):
    """The room was left; nothing of it follows."""

    id: int
    room: str


class Message(msgspec.Struct, tag="message", tag_field="type", omit_defaults=True):
    """A message that was published.

    >>> Message(room="chat", data="hello", sender="c1", offset=3).data
    'hello'
    """

    room: str
    data: Any
    sender: str | None = None
    """The client that published it; None when the server did."""
    offset: int = 0
    """Its place in history; 0 when it is not kept."""
    key: str | None = None
    """Under `coalesce`, a later message with the same key takes its place."""
    to: str | None = None
    """Set when it was for one member alone."""


class Presence(msgspec.Struct, tag="presence", tag_field="type"):
    """Somebody came into a room, or went.

    >>> Presence("chat", "join", Member("c1")).event
    'join'
    """

    room: str
    event: Literal["join", "leave"]
    member: Member


class Published(msgspec.Struct, tag="published", tag_field="type", omit_defaults=True):
    """The message is with the backend; `offset` is its place in history, 0 when it is not kept."""

    id: int
    room: str
    offset: int = 0


class Roster(msgspec.Struct, tag="roster", tag_field="type"):
    """The answer to `Members`."""

    id: int
    room: str
    members: list[Member]


class Gap(msgspec.Struct, tag="gap", tag_field="type"):
    """Messages of this room did not reach you and will not: the client was too slow, or history no
    longer had them. What follows comes after `position`.

    >>> Gap("chat", "too slow", dropped=3).dropped
    3
    """

    room: str
    reason: str
    dropped: int
    """How many, as far as that is known; 0 when it is not."""
    position: Position | None = None


class Failed(msgspec.Struct, tag="failed", tag_field="type"):
    """A request was refused. The connection goes on."""

    id: int
    code: int
    reason: str


class Pong(msgspec.Struct, tag="pong", tag_field="type", omit_defaults=True):
    """The answer to `Ping`."""

    id: int = 0


Answer = Welcome | Joined | Left | Message | Presence | Published | Roster | Gap | Failed | Pong
