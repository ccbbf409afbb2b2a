"""Names that nobody can guess, and the session tokens that prove one is yours.

The only file of the hub that throws dice. A token is a client's name and an HMAC (RFC 2104) of it
under the hub's secret. It is bound to the user who was given it, so that it is worth nothing to
another one. The hub stores none: nodes that share a secret accept each other's.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable

__all__ = ["Entropy", "Tokens", "fresh_name"]

Entropy = Callable[[int], bytes]
NAME_BYTES = 12
SECRET_BYTES = 32


def text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def fresh_name(entropy: Entropy = os.urandom) -> str:
    """A name that was not used before, by anybody."""
    return text(entropy(NAME_BYTES))


class Tokens:
    """Makes names and session tokens, and checks the latter."""

    __slots__ = ("_entropy", "_secret")

    def __init__(self, secret: str | bytes | None = None, entropy: Entropy = os.urandom) -> None:
        self._entropy = entropy
        if secret is None:
            secret = entropy(SECRET_BYTES)
        self._secret = secret.encode() if isinstance(secret, str) else secret
        if not self._secret:
            raise ValueError("a secret must not be empty; leave it out to have one made")

    def name(self) -> str:
        return fresh_name(self._entropy)

    def session(self, client: str, user: str | None) -> str:
        """The token that gives `user` the name `client` again."""
        return f"{client}.{text(self._seal(client, user))}"

    def client(self, session: str, user: str | None) -> str | None:
        """The name that a token is for; None when it is not ours, or another user's."""
        client, dot, seal = session.rpartition(".")
        if not dot or not client or not session.isascii():
            return None
        expected = text(self._seal(client, user))
        return client if hmac.compare_digest(seal, expected) else None

    def _seal(self, client: str, user: str | None) -> bytes:
        whom = "-" if user is None else f"+{user}"
        return hmac.digest(self._secret, f"{client}\0{whom}".encode(), "sha256")
