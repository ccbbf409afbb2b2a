"""What the hub's nodes say to each other: the bodies of entries and signals, in MessagePack.

This is not what clients see. It has what the nodes need to know and clients must not, such as who
is left out.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from treadle.hub.encoded import Encoded, pack, to_json
from treadle.hub.frames import Member, Message, Position, Presence

__all__ = ["UNREADABLE", "Body", "Moved", "Said", "encode_body", "read_body", "shown"]


class Said(msgspec.Struct, array_like=True, tag="said", frozen=True):
    """A message."""

    data: Any
    sender: str | None = None
    key: str | None = None
    to: str | None = None
    exclude: str | None = None
    """The client that does not get it."""


class Moved(msgspec.Struct, array_like=True, tag="moved", frozen=True):
    """Somebody came or went."""

    event: Literal["join", "leave"]
    member: Member


Body = Said | Moved
decode = msgspec.msgpack.Decoder(Body).decode
UNREADABLE = "a node of another version wrote it"

# What encoding says to data that it cannot take: integers beyond 64 bits, objects unknown to
# msgspec, lone surrogates, structures that are too deep or contain themselves.
UNFIT = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def read_body(raw: bytes) -> Body | None:
    """What a node wrote; None when that is not to be understood."""
    try:
        return decode(raw)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, ValueError):
        return None


def encode_body(body: Said) -> bytes:
    """The body as bytes; ValueError when there are clients that could not be given its data."""
    try:
        to_json(body.data)
        return pack(body)
    except UNFIT as failure:
        raise ValueError(f"data must be of types that msgspec encodes: {failure}") from failure


def shown(room: str, body: Body, position: Position | None) -> Encoded:
    """The frame in which clients get a body."""
    if isinstance(body, Said):
        offset = 0 if position is None else position.offset
        message = Message(room, body.data, body.sender, offset, body.key, body.to)
        return Encoded(message, position, body.key)
    return Encoded(Presence(room, body.event, body.member))
