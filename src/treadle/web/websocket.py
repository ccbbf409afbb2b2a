"""WebSockets under uvicorn: a protocol class for its `ws` setting.

uvicorn's own class serves any ASGI application well. This one does the same, and is made for
servers of many connections that mostly wait, and for messages that go to many at once:

- **Idle connections are small.** No queue, event or timer of their own; pings of all connections
  come from one timer (`keepalive`). Messages are not compressed: compression keeps tens of KiB for
  each connection, and what is sent to many would have to be compressed for each of them.
- **A frame that is ready can be written at once.** The ASGI way costs a coroutine, a dict and a new
  frame for each recipient. The scope has an extension, `"treadle.websocket"`: the protocol itself,
  of which an application may use `frame`, `write`, `writable` and `on_writable`. A frame is made
  once with `frame(payload, text)` and handed to `write` of a thousand connections.

The WebSocket protocol itself is spoken by `websockets`, whose `ServerProtocol` does no input and
output. What is read ahead of the application is bounded: reading pauses while `READ_AHEAD` messages
or a large one wait for `receive`.

**Nothing outlives its peer.** A peer that never reads leaves a transport that `close` would keep
until everything is sent, for ever. So whatever ends a connection goes through `_ended`, and from
then on it has `CLOSE_TIMEOUT` seconds: to send the rest, and to answer a close frame. Then it is
aborted.

This file knows nothing of rooms; `treadle.hub` finds the extension by its name.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from treadle.web.handshake import refusal, response_headers, scope_of
from treadle.web.keepalive import Keepalive, keepalive_of

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

__all__ = ["READ_AHEAD", "WebSocketProtocol"]

READ_AHEAD = 16
"""Messages that may wait for the application before reading pauses."""

LARGE = 1 << 16
"""Bytes of a message that is enough alone to pause reading."""

CLOSE_TIMEOUT = 10.0
"""Seconds that a peer has to take what was written and to answer a close frame."""

OPENING, OPEN, REFUSING, CLOSED = "opening", "open", "refusing", "closed"
"""`OPENING`: the application has not said yet. `REFUSING`: it is answering with a response of its
own. `CLOSED`: a close frame or a refusal was sent, or the connection is gone.
"""

_logger = logging.getLogger("uvicorn.error")
_quiet = logging.getLogger("treadle.web.websocket")


def _discard(data: bytes) -> None:
    """In the place of the transport's `write` when nothing can be sent."""


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket connection under uvicorn: `uvicorn.Config(app, ws=WebSocketProtocol)`.

    Of uvicorn's settings it keeps to `ws_max_size`, `ws_ping_interval`, `ws_ping_timeout` and
    `headers`; `ws_max_queue` and `ws_per_message_deflate` have no meaning here.

    >>> WebSocketProtocol.frame(b"hi", text=True)
    b'\\x81\\x02hi'
    """

    __slots__ = (
        "__weakref__",
        "_app_state",
        "_config",
        "_deadline",
        "_disconnect",
        "_events",
        "_keepalive",
        "_on_writable",
        "_parts",
        "_paused",
        "_place",
        "_receivers",
        "_response",
        "_sansio",
        "_scope",
        "_senders",
        "_server_state",
        "_state",
        "_text",
        "_transport",
        "heard",
        "loop",
        "writable",
        "write",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self.loop = _loop or asyncio.get_event_loop()
        self._sansio = ServerProtocol(max_size=config.ws_max_size, logger=_quiet)
        self._state = OPENING
        self._transport: asyncio.Transport | None = None
        self._scope: dict[str, Any] | None = None  # until the handshake's end
        self._response: Any = None  # the handshake's answer, until it is sent
        # what the application has not received yet; None rather than empty, for it is so nearly
        # always, and an empty deque is as large as the rest of this object
        self._events: deque[dict[str, Any]] | None = None
        self._receivers: list[asyncio.Future[None]] = []
        self._senders: list[asyncio.Future[None]] = []  # wait until the transport takes more
        self._disconnect: dict[str, Any] | None = (
            None  # the last event, told again when asked again
        )
        self._parts: bytearray | None = None  # of a message in several frames
        self._text = False
        self._paused = False
        self._deadline: asyncio.TimerHandle | None = None  # set by `_ended`
        self._keepalive: Keepalive | None = None
        self._place = 0
        self._on_writable: Callable[[], None] | None = None
        self.heard = True
        self.writable = True
        """Whether the transport wants more; see `on_writable`."""
        self.write: Callable[[bytes], None] = _discard
        """Send a frame that `frame` made; while the connection is not open, nothing happens.

        What is written while `writable` is False is kept in memory by the transport.
        """

    # --- for applications, beside ASGI

    @staticmethod
    def frame(payload: bytes, text: bool) -> bytes:
        """A whole message as a server sends it: the same bytes may go to any connection."""
        kind = 0x81 if text else 0x82
        length = len(payload)
        if length < 126:
            return b"%c%c%b" % (kind, length, payload)
        if length < 65536:
            return struct.pack("!BBH", kind, 126, length) + payload
        return struct.pack("!BBQ", kind, 127, length) + payload

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """Have a function called each time the transport wants more again, and when the connection
        is lost. There is one; None takes it away.
        """
        self._on_writable = callback

    # --- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._transport = None
        self._ended(1006)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.resume_writing()

    def eof_received(self) -> None:
        self._ended(1006)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._flush()
        _wake(self._senders)
        if self._on_writable is not None:
            self._on_writable()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        sansio = self._sansio
        sansio.receive_data(data)
        for event in sansio.events_received():
            if isinstance(event, Request):
                self._requested(event)
            elif isinstance(event, Frame):
                self._received(event)
        if self.writable or sansio.eof_sent:
            self._flush()
        else:
            del sansio.writes[:-1]  # one pong for all pings, when the peer reads again
        if sansio.eof_sent:
            # the peer took its leave or answered ours, or broke the rules and was told so
            said = sansio.close_rcvd or sansio.close_sent
            self._ended(said.code if said else 1006, said.reason if said else "")
            self._close_transport()

    # --- what uvicorn calls

    def shutdown(self) -> None:
        """The server stops: say so, and end."""
        if self._state is OPEN:
            self._say_goodbye(1012, "")
        elif self._state is OPENING and self._scope is not None:
            self._refuse(500, [], b"Internal Server Error")
        self._close_transport()

    # --- what comes in

    def _requested(self, request: Request) -> None:
        response = self._sansio.accept(request)
        if response.status_code != 101 or self._transport is None:
            self._sansio.send_response(response)
            return  # `data_received` closes
        self._response = response
        self._scope = scope_of(request, self._transport, self._config, self._app_state, self)
        self._happened({"type": "websocket.connect"})
        task = self.loop.create_task(self._run(self._scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _received(self, frame: Frame) -> None:
        kind = frame.opcode
        if kind is Opcode.TEXT or kind is Opcode.BINARY:
            self._text = kind is Opcode.TEXT
            if frame.fin:
                self._message(bytes(frame.data))
            else:
                self._parts = bytearray(frame.data)
        elif kind is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                whole, self._parts = bytes(self._parts), None
                self._message(whole)

    def _message(self, data: bytes) -> None:
        if self._disconnect is not None:
            return  # the application took its leave, and waits for the peer to do so
        if self._text:
            try:
                self._happened({"type": "websocket.receive", "text": data.decode()})
            except UnicodeDecodeError as error:
                reason = f"{error.reason} at position {error.start}"
                self._sansio.fail(1007, reason)
                self._ended(1007, reason)
                return
        else:
            self._happened({"type": "websocket.receive", "bytes": data})
        assert self._events is not None
        full = len(self._events) >= READ_AHEAD or len(data) >= LARGE
        if full and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _happened(self, event: dict[str, Any]) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        _wake(self._receivers)

    def _ended(self, code: int, reason: str = "") -> None:
        """Nothing more is exchanged. The first call says what the application is told."""
        self.write = _discard
        self._state = CLOSED
        if self._keepalive is not None:
            self._keepalive.remove(self, self._place)
            self._keepalive = None
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._happened(self._disconnect)
        if self._deadline is None and self._transport is not None:
            self._deadline = self.loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    # --- what goes out

    def _flush(self) -> None:
        """Write what the library has made; an empty piece asks to end the connection."""
        if self._transport is None or self._transport.is_closing():
            self._sansio.data_to_send()
            return
        written = b"".join(self._sansio.data_to_send())
        if written:
            self._transport.write(written)

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._sansio.send_close(code, reason)
        self._flush()
        self._ended(code, reason)
        self._read_on()  # for the answer

    def _refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._sansio.send_response(refusal(status, headers, body))
        self._flush()
        self._ended(1006)
        self._close_transport()

    def ping(self) -> None:
        """Ask whether the peer is there; `keepalive` calls it."""
        if self._paused:
            self.heard = True  # it may have answered: it is we who do not listen
        elif self._state is OPEN and self.writable:
            self._sansio.send_ping(b"treadle")
            self._flush()

    def give_up(self) -> None:
        """The peer did not answer; `keepalive` calls it."""
        if self._state is OPEN:
            self._sansio.fail(1011, "keepalive ping timeout")
            self._flush()
            self._ended(1011, "keepalive ping timeout")
        self._close_transport()

    # --- the application

    async def _run(self, scope: dict[str, Any]) -> None:
        code = 1011
        try:
            result = await self._config.loaded_app(scope, self._receive, self._send)
            code = 1000
            if result is not None:
                _logger.error("ASGI callable should return None, but returned '%s'.", result)
        except ClientDisconnected:
            pass
        except asyncio.CancelledError:
            _logger.debug("ASGI application cancelled")
            raise
        except BaseException as error:
            _logger.exception("Exception in ASGI application\n")
            if not isinstance(error, Exception):
                raise
        finally:
            self._left_by_application(code)

    def _left_by_application(self, code: int) -> None:
        """The application is over; what it did not end is ended here."""
        if self._state is OPEN:
            self._say_goodbye(code, "")
        elif self._state is not CLOSED:
            if code == 1000:
                _logger.error("ASGI callable returned without completing handshake.")
            self._refuse(500, [], b"Internal Server Error")

    async def _receive(self) -> dict[str, Any]:
        while self._events is None:
            if self._disconnect is not None:
                return self._disconnect
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._receivers.append(waiter)
            try:
                await waiter
            finally:
                _forget(waiter, self._receivers)
        event = self._events.popleft()
        if not self._events:
            self._events = None
            self._read_on()
        return event

    def _read_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    async def _send(self, message: dict[str, Any]) -> None:
        while not self.writable:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._senders.append(waiter)
            try:
                await waiter
            finally:
                _forget(waiter, self._senders)
        kind = message["type"]
        if self._transport is None:
            raise ClientDisconnected
        try:
            act = _ACTIONS[self._state, kind]
        except KeyError:
            if self._state is CLOSED and self._disconnect is not None:
                raise ClientDisconnected from None
            raise RuntimeError(f"{kind!r} was sent while the WebSocket was {self._state}") from None
        act(self, message)

    def _accept(self, message: dict[str, Any]) -> None:
        config = self._config
        assert self._scope is not None
        response, self._response = self._response, None
        del response.headers["Date"]
        response.headers.update(response_headers(self._server_state, message))
        self._scope = None
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ClientDisconnected
        self._sansio.send_response(response)
        self._flush()
        self._state = OPEN
        self.write = transport.write
        if config.ws_ping_interval:
            self._keepalive = keepalive_of(
                self._server_state, self.loop, config.ws_ping_interval, config.ws_ping_timeout
            )
            self._place = self._keepalive.add(self)

    def _forbid(self, message: dict[str, Any]) -> None:
        self._refuse(403, [], b"")

    def _begin_response(self, message: dict[str, Any]) -> None:
        headers = [
            (k.decode("latin-1"), v.decode("latin-1")) for k, v in message.get("headers", [])
        ]
        self._response = (message["status"], headers, b"")
        self._state = REFUSING

    def _continue_response(self, message: dict[str, Any]) -> None:
        status, headers, body = self._response
        body += message.get("body", b"")
        self._response = (status, headers, body)
        if not message.get("more_body", False):
            self._refuse(status, headers, body)

    def _send_message(self, message: dict[str, Any]) -> None:
        payload = message.get("bytes")
        if payload is not None:
            self.write(self.frame(payload, text=False))
        else:
            self.write(self.frame(message["text"].encode(), text=True))

    def _close(self, message: dict[str, Any]) -> None:
        self._say_goodbye(message.get("code", 1000), message.get("reason") or "")


_ACTIONS: dict[tuple[str, str], Callable[[WebSocketProtocol, dict[str, Any]], None]] = {
    (OPENING, "websocket.accept"): WebSocketProtocol._accept,
    (OPENING, "websocket.close"): WebSocketProtocol._forbid,
    (OPENING, "websocket.http.response.start"): WebSocketProtocol._begin_response,
    (REFUSING, "websocket.http.response.body"): WebSocketProtocol._continue_response,
    (OPEN, "websocket.send"): WebSocketProtocol._send_message,
    (OPEN, "websocket.close"): WebSocketProtocol._close,
}


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
    waiting.clear()


def _forget(waiter: asyncio.Future[None], waiting: list[asyncio.Future[None]]) -> None:
    """Of one whose task was cancelled; one that was woken is not there any more."""
    if waiter in waiting:
        waiting.remove(waiter)
