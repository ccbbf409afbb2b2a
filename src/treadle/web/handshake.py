"""Between a WebSocket's opening request and the scope and headers of ASGI."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

__all__ = ["refusal", "response_headers", "scope_of"]


def scope_of(
    request: Request,
    transport: asyncio.Transport,
    config: Config,
    app_state: dict[str, Any],
    extension: object,
) -> dict[str, Any]:
    """The scope of a connection, after the specification of ASGI for WebSockets, version 2.4."""
    raw_path, _, query = request.path.partition("?")
    wanted = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(raw_path),
        "raw_path": (config.root_path + raw_path).encode("ascii", "surrogateescape"),
        "query_string": query.encode("ascii", "surrogateescape"),
        "headers": [
            (name.lower().encode("ascii"), value.encode("latin-1", "surrogateescape"))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": [name.strip() for name in wanted if name.strip()],
        "state": app_state.copy(),
        "extensions": {"websocket.http.response": {}, "treadle.websocket": extension},
    }


def response_headers(server_state: ServerState, accept: dict[str, Any]) -> list[tuple[str, str]]:
    """The headers of the answer that opens a connection, besides the handshake's own."""
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in (*server_state.default_headers, *accept.get("headers", []))
    ]
    subprotocol = accept.get("subprotocol")
    if subprotocol:
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    return headers


def refusal(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    """An ordinary HTTP response in the place of a WebSocket.

    Raises ValueError for a status that there is not.
    """
    complete = Headers(headers)
    complete.setdefault("Connection", "close")
    complete.setdefault("Content-Length", str(len(body)))
    complete.setdefault("Content-Type", "text/plain; charset=utf-8")
    return Response(status, HTTPStatus(status).phrase, complete, body)
