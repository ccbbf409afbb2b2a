"""What an application decides: who may connect, join and publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.hub.connection import Connection

__all__ = ["Handshake", "Hooks", "Identity", "Incoming"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a connection.

    >>> Identity(user="ada", info={"name": "Ada"}).user
    'ada'
    """

    user: str | None = None
    """Whom the application knows them as; None for somebody unknown. Not shown to others."""
    info: Any = None
    """What others in a room see of them."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a transport knows about a client before it is let in.

    >>> Handshake(path="/hub", headers={"authorization": "Bearer 1"}).headers["authorization"]
    'Bearer 1'
    """

    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name; of several with one name, the last."""
    query: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    client: tuple[str, int] | None = None
    """Host and port, as the server saw them."""
    scope: Mapping[str, Any] = field(default_factory=dict)
    """Everything that the transport has: in ASGI, the scope."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a client published to a room that a handler of the application answers for.

    >>> Incoming(connection=None, room="game:1", data={"dx": 1}).room
    'game:1'
    """

    connection: Connection
    room: str
    data: Any
    """Converted to the type that `on_publish` named."""
    key: str | None = None
    to: str | None = None
    others: bool = False
    dedupe: str | None = None

    @property
    def client(self) -> str:
        """The sender's public name."""
        return self.connection.client


class Hooks:
    """Derive from it and override what you need; as it is, everything is allowed.

    To refuse, raise `Refused(reason)`, or with another code `Refused(reason, code)`. What else is
    raised is reported to the loop's exception handler, and the client gets `Code.INTERNAL`.

    >>> class Members(Hooks):
    ...     async def may_join(self, connection, room):
    ...         if room == "staff" and connection.identity.user is None:
    ...             raise Refused("members only")
    """

    async def authenticate(self, request: Handshake) -> Identity:
        """Who this is. Called by transports before `Hub.connect`."""
        return Identity()

    async def connected(self, connection: Connection) -> None:
        """A client is connected; nothing was sent to it yet but its name."""

    async def disconnected(self, connection: Connection, code: int, reason: str) -> None:
        """It is gone, and has left all rooms."""

    async def may_join(self, connection: Connection, room: str) -> None:
        """Return to let it in."""

    async def may_publish(self, connection: Connection, room: str, data: Any) -> None:
        """Return to let it publish. It is in the room."""
