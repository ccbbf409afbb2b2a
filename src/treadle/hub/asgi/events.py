"""The hub over Server-Sent Events, as an ASGI application, for those who only listen.

    new EventSource("/events?room=news&room=prices")

The request is a client of the hub like any other: it joins the rooms, and what waits for it is
bounded in the same way. Each event has the frame, in JSON, as its data and the frame's type as its
name: `joined`, `message`, `presence`, `gap`; and at the end `bye`, with code and reason.

**Recovery.** A browser that lost the connection asks again by itself, with the `id` of the last
event in `Last-Event-ID`. Ours holds the positions in all rooms, in the order of their names, as
`epoch:offset`, with commas between. A room that cannot go on from there gets a `gap`.

**Refusal** is an HTTP status before anything else is sent: after another status than 200 a browser
does not try again. Where it should, since the hub cannot reach its backend now, it gets an empty
stream and a delay (`retry`).

A comment every `Limits.ping` seconds keeps proxies from ending a connection that looks idle, and
finds clients that have gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from treadle.hub.asgi.closing import GRACE, until_closed
from treadle.hub.asgi.handshake import Receive, Scope, Send, origin_allowed, read_handshake
from treadle.hub.encoded import to_json
from treadle.hub.errors import Code, HubClosed, Refused
from treadle.hub.frames import Failed, Gap, Join, Joined, Message, Ping, Pong, Position, Presence

if TYPE_CHECKING:
    from treadle.hub.connection import Connection
    from treadle.hub.encoded import Encoded
    from treadle.hub.hub import Hub

__all__ = ["EventsEndpoint", "read_positions", "write_positions"]

LOST = (OSError, RuntimeError)  # what servers raise from `send` when the client is gone
RETRY = 5000  # milliseconds after which a browser is to come back when the backend is away
STATUS = {
    Code.MALFORMED: HTTPStatus.BAD_REQUEST,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.UNKNOWN: HTTPStatus.NOT_FOUND,
    Code.FLOODING: HTTPStatus.TOO_MANY_REQUESTS,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.GOING_AWAY: HTTPStatus.SERVICE_UNAVAILABLE,
}
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would gather events
]
PING = to_json(Ping())
SHOWN = {Joined: "joined", Message: "message", Presence: "presence", Gap: "gap"}

Positions = dict[str, Position | None]


class EventsEndpoint:
    """An ASGI application that sends the messages of rooms as events.

    In Starlette: `Route("/events", EventsEndpoint(hub))`. `allowed_origins` is as for
    `WebSocketEndpoint`, and foreign pages that are in it may read the answer (CORS).

    The query has `room`, once for each, and may have `history`, the number of messages to begin
    with.

    >>> from treadle.hub import Hub
    >>> endpoint = EventsEndpoint(Hub())
    """

    def __init__(self, hub: Hub, *, allowed_origins: Iterable[str] | None = None) -> None:
        self.hub = hub
        self.allowed_origins = None if allowed_origins is None else frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"this endpoint is for HTTP, not for {scope['type']}")
        if scope["method"] != "GET":
            headers = [(b"allow", b"GET")]
            await refuse(send, HTTPStatus.METHOD_NOT_ALLOWED, "only GET", headers)
            return
        connection: Connection | None = None
        try:
            connection = await self._connect(scope)
            listener = Listener(connection, *wanted(scope))
            await listener.join()
            async with until_closed(connection, GRACE):
                await self._stream(listener, scope, receive, send)
        except Refused as refusal:
            await answer_refusal(send, refusal)
        except HubClosed as failure:
            await answer_refusal(send, Refused(str(failure), Code.UNAVAILABLE))
        except LOST:
            pass
        finally:
            if connection is not None:
                connection.close(Code.GOING_AWAY, "the connection was lost")

    async def _connect(self, scope: Scope) -> Connection:
        request = read_handshake(scope)
        if not origin_allowed(request.headers, self.allowed_origins):
            raise Refused("foreign page")
        try:
            identity = await self.hub.authenticate(request)
            return await self.hub.connect(identity, heartbeat=False)
        except (Refused, HubClosed):
            raise
        except Exception as failure:
            self.hub.report("authenticate failed", failure)
            raise Refused("an error of the server", Code.INTERNAL) from None

    async def _stream(self, listener: Listener, scope: Scope, receive: Receive, send: Send) -> None:
        origin = dict(scope["headers"]).get(b"origin")
        headers = list(HEADERS)
        if origin is not None and self.allowed_origins is not None:
            headers.append((b"access-control-allow-origin", origin))
            headers.append((b"vary", b"origin"))
            if "*" not in self.allowed_origins:  # who lets in everybody does not mean cookies
                headers.append((b"access-control-allow-credentials", b"true"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        attending = asyncio.create_task(attend(listener.connection, receive))
        try:
            async for piece in listener:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            attending.cancel()
            await asyncio.wait({attending})
            if not attending.cancelled():
                attending.result()


class Listener:
    """Joins rooms and makes events of what comes."""

    def __init__(self, connection: Connection, positions: Positions, history: int) -> None:
        self.connection = connection
        self._positions = positions
        self._history = history
        self._first: list[bytes] = []  # events that came while we joined

    async def join(self) -> None:
        """Join all rooms. Raises `Refused` for the first that is refused."""
        for number, (room, after) in enumerate(self._positions.items(), 1):
            await self.connection.receive(to_json(Join(number, room, after, self._history)))
            answered = False
            while not answered:
                encoded = await self.connection.next()
                if encoded is None:
                    code = self.connection.close_code or Code.NORMAL
                    raise Refused(self.connection.close_reason, Code(code))
                frame = encoded.frame
                if isinstance(frame, Failed):
                    raise Refused(f"{room}: {frame.reason}", Code(frame.code))
                answered = isinstance(frame, Joined) and frame.id == number
                self._first.append(self._event(encoded))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What is sent, piece by piece, until the connection is closed."""
        first, self._first = self._first, []
        yield b"".join(first)
        while (encoded := await self.connection.next()) is not None:
            yield self._event(encoded)
        farewell = {"code": self.connection.close_code, "reason": self.connection.close_reason}
        yield f"event: bye\ndata: {json.dumps(farewell)}\n\n".encode()

    def _event(self, encoded: Encoded) -> bytes:
        frame = encoded.frame
        if isinstance(frame, Pong):
            return b": still here\n\n"
        name = SHOWN.get(type(frame))
        if name is None:
            return b""
        event = encoded.wire.get("events")
        if event is None:  # JSON has no line breaks
            event = encoded.wire["events"] = f"event: {name}\ndata: {encoded.text}\n".encode()
        self._follow(frame)
        if isinstance(frame, Joined) and frame.recovered is False:
            gap = to_json(Gap(frame.room, frame.reason, 0, frame.position))
            event += b"\nevent: gap\ndata: " + gap + b"\n"
        return event + f"id: {write_positions(self._positions)}\n\n".encode()

    def _follow(self, frame: Any) -> None:
        """Note where the client is once it has this event."""
        if isinstance(frame, (Joined, Gap)):
            if frame.position is not None:
                self._positions[frame.room] = frame.position
        elif isinstance(frame, Message) and frame.offset:
            before = self._positions[frame.room]
            if before is not None:
                self._positions[frame.room] = Position(before.epoch, frame.offset)


async def attend(connection: Connection, receive: Receive) -> None:
    """Notice when the client goes, and have a comment sent now and then."""
    pause = connection.hub.limits.ping
    while connection.close_code is None:
        try:
            async with asyncio.timeout(pause):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            try:
                await connection.receive(PING)
            except HubClosed:
                return
        else:
            connection.close(Code.GOING_AWAY, "the client went away")


def wanted(scope: Scope) -> tuple[Positions, int]:
    """The rooms of a request, with the positions to go on from, and how much history.

    Raises `Refused` for a request that says neither.
    """
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
    rooms = sorted({value for name, value in query if name == "room"})
    if not rooms:
        raise Refused("which rooms? /events?room=a&room=b", Code.MALFORMED)
    try:
        history = int(dict(query).get("history", "0"))
    except ValueError:
        raise Refused("history is a number of messages", Code.MALFORMED) from None
    last = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1")
    return read_positions(last, rooms), history


def write_positions(positions: Positions) -> str:
    """The `id` of an event.

    >>> write_positions({"a": Position("x,1", 7), "b": None})
    'x%2C1:7,'
    """
    return ",".join(
        "" if position is None else f"{quote(position.epoch, safe='')}:{position.offset}"
        for _, position in sorted(positions.items())
    )


def read_positions(text: str, rooms: Sequence[str]) -> Positions:
    """Positions by room, of an `id` that `write_positions` made for the same rooms.

    What is none gives a position that no history has, so that the client is told of a gap.

    >>> read_positions("x%2C1:7,", ["a", "b"])
    {'a': Position(epoch='x,1', offset=7), 'b': None}
    """
    if not text:
        return dict.fromkeys(rooms)
    parts = text.split(",")
    if len(parts) != len(rooms):
        return dict.fromkeys(rooms, Position("", 0))
    positions: Positions = {}
    for room, part in zip(rooms, parts, strict=True):
        epoch, _, offset = part.rpartition(":")
        if not part:
            positions[room] = None
        elif offset.isascii() and offset.isdigit() and len(offset) < 20:
            positions[room] = Position(unquote(epoch), int(offset))
        else:
            positions[room] = Position("", 0)
    return positions


async def answer_refusal(send: Send, refusal: Refused) -> None:
    """Say no, or not now."""
    if refusal.code in (Code.UNAVAILABLE, Code.GOING_AWAY):
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        farewell = json.dumps({"code": int(refusal.code), "reason": refusal.reason})
        body = f"retry: {RETRY}\nevent: bye\ndata: {farewell}\n\n".encode()
        await send({"type": "http.response.body", "body": body})
    else:
        status = STATUS.get(refusal.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        await refuse(send, status, refusal.reason)


async def refuse(
    send: Send, status: HTTPStatus, reason: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """An ordinary answer, with the reason as its text."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
