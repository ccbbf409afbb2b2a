"""Who is at the other end: a name and a colour that they chose for themselves.

There are no passwords in a showcase. What a real application would look at is the cookie of its
session, or the token that the page gave to `connect`; both are in the `Handshake`, too.
"""

from __future__ import annotations

import re
from typing import Any

from treadle.hub import Code, Connection, Handshake, Hooks, Identity, Refused

LONGEST_NAME = 24
ANONYMOUS = "somebody"
COLOUR = re.compile(r"#[0-9a-f]{6}")
PUBLIC = ("chat", "cursors", "game", "pad", "pulse", "typing")  # what is before the colon


class People(Hooks):
    """Lets everybody in who has a decent name, and into the rooms that there are."""

    async def authenticate(self, request: Handshake) -> Identity:
        name = clean(request.query.get("name", ""))
        if len(name) > LONGEST_NAME:
            raise Refused(f"a name has at most {LONGEST_NAME} characters", Code.UNAUTHENTICATED)
        colour = request.query.get("colour", "")
        if not COLOUR.fullmatch(colour):
            colour = "#8888aa"
        return Identity(user=name or None, info={"name": name or ANONYMOUS, "colour": colour})

    async def may_join(self, connection: Connection, room: str) -> None:
        kind, _, name = room.partition(":")
        if kind not in PUBLIC or (kind != "pulse") != bool(name):
            raise Refused("there is no such room")

    async def may_publish(self, connection: Connection, room: str, data: Any) -> None:
        if room == "pulse":
            raise Refused("the server alone speaks here")


def clean(text: str) -> str:
    """Without what cannot be seen, and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
