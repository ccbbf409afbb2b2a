"""What an ASGI scope says about a client, and whether the page it comes from may connect.

**Origins.** A browser lets any page open a WebSocket to any server, and sends the server's cookies
along; there is no preflight request, and CORS does not apply. So a page that a user of yours
happens to visit could talk to your hub in their name (cross-site WebSocket hijacking). Browsers do
say which page it is, in `Origin`. Unless told otherwise, only pages of the same host are let in.
Programs that are no browsers send no `Origin`, and bring no cookies of somebody else: they are let
in.

Only host and port are compared, not the scheme: behind a proxy that ends TLS, the server sees `ws`
where the page was `https`. A proxy that also changes `Host` needs `allowed_origins`.

**Tokens.** A page cannot set headers of a WebSocket, and an address with a token in it ends up in
logs. What it can set are subprotocols, which are sent in a header: besides `treadle.json` or
`treadle.msgpack` a client may offer `treadle.token.X` and `treadle.session.X`, where X is
base64url. The token reaches `Hooks.authenticate` as the header `Authorization: Bearer`, so that
pages and programs are authenticated in one way; a header that is there already goes first.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from treadle.hub.frames import Encoding
from treadle.hub.hooks import Handshake

__all__ = ["Offer", "Receive", "Scope", "Send", "origin_allowed", "read_handshake", "read_offer"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
ENCODINGS: dict[str, Encoding] = {"treadle.json": "json", "treadle.msgpack": "msgpack"}
SESSION = "treadle.session."
TOKEN = "treadle.token."


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client's subprotocols say.

    >>> read_offer(["chat", "treadle.msgpack"]).encoding
    'msgpack'
    """

    subprotocol: str | None
    """The one to answer with; None when there was nothing to choose from."""
    encoding: Encoding | None
    """None when a choice was offered, and nothing in it is ours."""
    session: str | None = None
    token: str | None = None


def read_offer(subprotocols: Iterable[str]) -> Offer:
    """Choose what to speak: the first that we know, JSON when the client does not say."""
    offered = list(subprotocols)
    if not offered:
        return Offer(None, "json")
    chosen = next((name for name in offered if name in ENCODINGS), None)
    encoding = ENCODINGS[chosen] if chosen is not None else None
    return Offer(chosen, encoding, _carried(offered, SESSION), _carried(offered, TOKEN))


def _carried(subprotocols: Iterable[str], prefix: str) -> str | None:
    """What the first subprotocol with this prefix carries, None if that is no text."""
    for name in subprotocols:
        if name.startswith(prefix):
            encoded = name.removeprefix(prefix)
            try:
                padding = "=" * (-len(encoded) % 4)
                return b64decode(encoded + padding, altchars=b"-_", validate=True).decode()
            except ValueError:  # of base64 or of UTF-8
                return None
    return None


def read_handshake(scope: Scope, token: str | None = None) -> Handshake:
    """Everything that `Hooks.authenticate` may look at."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    if token is not None:
        headers.setdefault("authorization", f"Bearer {token}")
    client = scope.get("client")
    return Handshake(
        path=scope["path"],
        headers=headers,
        query=dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))),
        cookies=read_cookies(headers.get("cookie", "")),
        client=(client[0], client[1]) if client else None,
        scope=scope,
    )


def read_cookies(header: str) -> dict[str, str]:
    """The cookies of a header; one that cannot be read hides none of the others.

    >>> read_cookies("a=1; b b=2; c=x=y")
    {'a': '1', 'c': 'x=y'}
    """
    cookies = {}
    for part in header.split(";"):
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(part.strip())
        except CookieError:
            continue
        cookies.update({name: morsel.value for name, morsel in jar.items()})
    return cookies


def origin_allowed(headers: Mapping[str, str], allowed: Iterable[str] | None) -> bool:
    """Whether the page that a request comes from may connect; see the head of this file.

    `allowed` are origins as browsers write them, or `*` for any; None: those of the same host.

    >>> origin_allowed({"origin": "https://a.example", "host": "a.example"}, None)
    True
    >>> origin_allowed({"origin": "https://evil.example", "host": "a.example"}, None)
    False
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    if allowed is not None:
        return origin in allowed or "*" in allowed
    try:
        page = urlsplit(origin)
        port = DEFAULT_PORTS.get(page.scheme)
        ours = urlsplit(f"//{headers.get('host', '')}")
        return (
            page.hostname is not None
            and page.hostname == ours.hostname
            # without a port, it is the one that is usual for the page's scheme
            and (page.port or port) == (ours.port or port)
        )
    except ValueError:  # not a number where a port should be
        return False
