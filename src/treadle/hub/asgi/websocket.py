"""The hub over WebSocket, as an ASGI application.

Two ways to send, one to receive:

- **Direct**, where the server lets us write frames ourselves (`"treadle.websocket"` among the
  scope's extensions, as `treadle.web` has it): the hub writes to the transport, while that takes
  more. A frame is made once for all who get it. No task, no queue.
- **Pulled**, anywhere else: one task takes frames out of the connection's outbox and awaits `send`.
  A client that does not read holds up this task and nothing else.

Receiving is the ASGI task's own: one frame at a time, so that a client that sends faster than the
hub works is slowed down by its own connection.

**Closing.** The hub closes a connection while this task waits in `receive`, and a client that does
not read may hold up the other in `send`, for ever. So closing ends both waits (`until_closed`), and
what is left to be sent has `GRACE` seconds. A request that is being worked on is finished first: it
may be the application's code. Every way out, also a cancellation, closes the hub's connection.

**Refusal.** A page of a foreign origin gets HTTP 403. Whoever `authenticate` refuses is let in and
closed at once with the code: browsers do not tell a page why a WebSocket was not opened, and it
would try again for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from treadle.hub.asgi.closing import GRACE, until_closed
from treadle.hub.asgi.handshake import (
    Offer,
    Receive,
    Scope,
    Send,
    origin_allowed,
    read_handshake,
    read_offer,
)
from treadle.hub.errors import Code, HubClosed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.hub.connection import Connection
    from treadle.hub.encoded import Encoded
    from treadle.hub.frames import Encoding
    from treadle.hub.hooks import Handshake, Identity
    from treadle.hub.hub import Hub

__all__ = ["WebSocketEndpoint"]

EXTENSION = "treadle.websocket"
LONGEST_REASON = 123  # bytes; RFC 6455, section 5.5: 125, with the code
LOST = (OSError, RuntimeError)
"""What servers raise from `send` when the client is gone: the former by the specification, the
latter by those that only know that nothing may follow a close."""


class Line(Protocol):
    """The extension: frames can be made once, and written at once."""

    @property
    def writable(self) -> bool: ...
    def frame(self, payload: bytes, text: bool) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def on_writable(self, callback: Callable[[], None] | None) -> None: ...


class WebSocketEndpoint:
    """An ASGI application through which browsers and programs talk to a hub.

    In Starlette: `WebSocketRoute("/hub", WebSocketEndpoint(hub))`; in FastAPI:
    `app.add_websocket_route("/hub", WebSocketEndpoint(hub))`.

    `allowed_origins` are the origins of pages that may connect, `["*"]` for any; those of the same
    host when not given. To let in foreign pages is safe only where cookies do not authenticate.

    >>> from treadle.hub import Hub
    >>> endpoint = WebSocketEndpoint(Hub(), allowed_origins=["https://app.example"])
    """

    def __init__(self, hub: Hub, *, allowed_origins: Iterable[str] | None = None) -> None:
        self.hub = hub
        self.allowed_origins = None if allowed_origins is None else frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise RuntimeError(f"this endpoint is for WebSockets, not for {scope['type']}")
        if (await receive())["type"] != "websocket.connect":
            return
        offer = read_offer(scope.get("subprotocols") or ())
        request = read_handshake(scope, offer.token)
        if not origin_allowed(request.headers, self.allowed_origins):
            await send(
                {"type": "websocket.close", "code": Code.FORBIDDEN, "reason": "foreign page"}
            )
            return
        try:
            connection = await self._connect(request, offer, send)
        except LOST:
            return
        del request, offer  # some KiB, which are of no use while the client stays
        if connection is not None:
            try:
                await self._serve(connection, scope, receive, send)
            except LOST:
                pass  # gone while we said goodbye
            finally:
                connection.close(Code.GOING_AWAY, "the connection was lost")

    async def _connect(self, request: Handshake, offer: Offer, send: Send) -> Connection | None:
        """Let the client in, or tell it why not."""
        refusal: Refused | None = None
        identity: Identity | None = None
        if offer.encoding is None:
            refusal = Refused("no subprotocol is known here", Code.MALFORMED)
        else:
            try:
                identity = await self.hub.authenticate(request)
            except Refused as failure:
                refusal = failure
            except HubClosed as failure:
                refusal = Refused(str(failure), Code.GOING_AWAY)
            except Exception as failure:
                self.hub.report("authenticate failed", failure)
                refusal = Refused("an error of the server", Code.INTERNAL)
        await send({"type": "websocket.accept", "subprotocol": offer.subprotocol})
        if refusal is None and identity is not None and offer.encoding is not None:
            session = offer.session or request.query.get("session")
            try:
                return await self.hub.connect(identity, session=session, encoding=offer.encoding)
            except HubClosed as failure:
                refusal = Refused(str(failure), Code.GOING_AWAY)
            except Refused as failure:
                refusal = failure
            except Exception as failure:
                self.hub.report("connected failed", failure)
                refusal = Refused("an error of the server", Code.INTERNAL)
        assert refusal is not None
        await send(close_event(refusal.code, refusal.reason))
        return None

    async def _serve(
        self, connection: Connection, scope: Scope, receive: Receive, send: Send
    ) -> None:
        line: Line | None = (scope.get("extensions") or {}).get(EXTENSION)
        writing: asyncio.Task[None] | None = None
        if line is not None:
            connection.writer = DirectWriter(line, connection.encoding)
            line.on_writable(connection.resume)
        else:
            writing = asyncio.create_task(write_all(connection, send))
        try:
            async with until_closed(connection) as reading:
                if await read_all(connection, receive, reading):
                    return
            if writing is not None:
                await asyncio.wait({writing}, timeout=GRACE)
                if not writing.done():
                    return  # it reads nothing: it will not read our farewell either
            async with asyncio.timeout(GRACE):
                code = connection.close_code or Code.NORMAL
                await send(close_event(code, connection.close_reason))
        except TimeoutError:
            pass
        finally:
            if line is not None:
                line.on_writable(None)
            if writing is not None:
                await end(writing)


class DirectWriter:
    """Writes frames to a server's transport. See `treadle.hub.encoded.Writer`."""

    __slots__ = ("_key", "_line", "_text")

    def __init__(self, line: Line, encoding: Encoding) -> None:
        self._line = line
        self._text = encoding == "json"
        self._key = f"websocket.{encoding}"  # in Encoded.wire

    @property
    def writable(self) -> bool:
        return self._line.writable

    def write(self, frame: Encoded) -> None:
        ready = frame.wire.get(self._key)
        if ready is None:
            payload = frame.json if self._text else frame.msgpack
            ready = frame.wire[self._key] = self._line.frame(payload, self._text)
        self._line.write(ready)


async def read_all(connection: Connection, receive: Receive, reading: until_closed) -> bool:
    """Hand what the client sends to the hub. True: the client is gone; False: the hub closed."""
    while connection.close_code is None:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            code = Code.NORMAL if event.get("code") == Code.NORMAL else Code.GOING_AWAY
            connection.close(code, event.get("reason") or "the client went away")
            return True
        payload = event.get("text")
        reading.busy = True  # a handler of the application may be at work
        try:
            await connection.receive(event["bytes"] if payload is None else payload)
        except HubClosed:
            return False
        finally:
            reading.busy = False
    return False


async def write_all(connection: Connection, send: Send) -> None:
    """Send what waits for the client, until the connection is closed."""
    text = connection.encoding == "json"
    try:
        while (frame := await connection.next()) is not None:
            event: dict[str, Any] = {"type": "websocket.send"}
            if text:
                event["text"] = frame.text
            else:
                event["bytes"] = frame.msgpack
            await send(event)
    except LOST:
        connection.close(Code.GOING_AWAY, "the connection was lost")


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task of ours and wait until it is over."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise failure


def close_event(code: int, reason: str) -> dict[str, Any]:
    """Say goodbye. A reason that is too long is cut, between two characters."""
    short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
    return {"type": "websocket.close", "code": int(code), "reason": short}
