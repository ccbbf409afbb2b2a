"""One client's connection, whatever carries it.

A transport makes one with `Hub.connect`, passes each frame of the client to `receive`, and takes
frames for the client in one of two ways:

- **direct**: it sets `writer`. While nothing waits and `writer.writable`, a frame goes to it in the
  very step in which it was published. When the writer is full, frames wait in the outbox, until the
  transport says `resume()`.
- **pull**: it awaits `next()` again and again, until that returns None.

A connection that is idle has no task, no timer and no queue. It ends with `close`, whoever calls
it: from then on nothing is accepted and nothing given; what still waits is dropped, for a client
that comes back gets it from history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from treadle.hub.encoded import Encoded, Writer
from treadle.hub.errors import Code, HubClosed
from treadle.hub.frames import Answer, Encoding
from treadle.hub.outbox import Loss, Outbox
from treadle.hub.recovery import catch_up
from treadle.hub.requests import Requests

if TYPE_CHECKING:
    from treadle.hub.hooks import Identity
    from treadle.hub.hub import Hub
    from treadle.hub.room import Room
    from treadle.hub.seat import Seat

__all__ = ["Connection"]

# Policies under which the new message gives way when the outbox is full.
NEW_GIVES_WAY = {"drop_newest", "catch_up"}
OnClose = Callable[[int, str], None]


class Connection:
    """A client that is connected.

    >>> import asyncio
    >>> from treadle.hub import Hub, Identity
    >>> async def main():
    ...     async with Hub() as hub:
    ...         connection = await hub.connect(Identity(user="ada"))
    ...         print((await connection.next()).frame.client == connection.client)
    ...         await connection.receive('{"type": "ping", "id": 7}')
    ...         print((await connection.next()).text)
    ...         connection.close()
    ...         print(await connection.next(), connection.close_code)
    >>> asyncio.run(main())
    True
    {"type":"pong","id":7}
    None 1000
    """

    __slots__ = (
        "__weakref__",
        "_drains",
        "_ended",
        "_outbox",
        "_waiter",
        "_writer",
        "client",
        "close_code",
        "close_reason",
        "direct",
        "encoding",
        "heard",
        "hub",
        "identity",
        "on_close",
        "paid",
        "seats",
        "session",
    )

    def __init__(
        self, hub: Hub, client: str, identity: Identity, session: str, encoding: Encoding
    ) -> None:
        self.hub = hub
        self.client = client
        """The public name."""
        self.identity = identity
        self.session = session
        """The token with which the client gets its name again."""
        self.encoding: Encoding = encoding
        self.close_code: int | None = None
        """None while it is open."""
        self.close_reason = ""
        self.on_close: OnClose | None = None
        """For transports: called once, at once, with code and reason, when it is closed."""
        self.direct: Writer | None = None
        """The writer while nothing waits before it; for the fan-out."""
        self.seats: dict[str, Seat] = {}
        """By room."""
        self.heard: float | None = 0.0
        """When the client last said something, by the loop's time; None: nothing is expected."""
        self.paid = 0.0  # see ratelimit.py
        self._writer: Writer | None = None
        self._outbox: Outbox | None = None
        self._waiter: asyncio.Future[None] | None = None  # whoever awaits `next`
        self._ended: asyncio.Future[None] | None = None  # whoever awaits `closed`
        self._drains: list[asyncio.Future[None]] | None = None  # who awaits `drained`

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed: {self.close_code}"
        return f"<Connection {self.client} {state}>"

    @property
    def rooms(self) -> list[str]:
        """The names of the rooms that it is in."""
        return list(self.seats)

    @property
    def waiting(self) -> int:
        """Frames that wait for it."""
        return 0 if self._outbox is None else len(self._outbox)

    @property
    def has_frames(self) -> bool:
        """Whether `next` returns at once with a frame."""
        return self.close_code is None and bool(self._outbox)

    @property
    def waiting_bytes(self) -> int:
        return 0 if self._outbox is None else self._outbox.bytes

    # --- from the client

    async def receive(self, payload: bytes | bytearray | memoryview | str) -> None:
        """Do what a frame of the client asks for; await it before you pass the next one.

        What is wrong with the frame closes the connection. Raises `HubClosed` when it is closed.
        """
        if self.close_code is not None:
            raise HubClosed(f"the connection is closed: {self.close_code} {self.close_reason}")
        await Requests.receive(self, payload)

    # --- to the client: two ways

    @property
    def writer(self) -> Writer | None:
        return self._writer

    @writer.setter
    def writer(self, writer: Writer | None) -> None:
        self._writer = writer
        self.direct = None
        self.resume()

    def resume(self) -> None:
        """The writer is writable again: give it what waits."""
        writer = self._writer
        if writer is None or self.close_code is not None:
            return
        outbox = self._outbox
        while outbox and writer.writable:
            self._write(writer, outbox.take())
            if self._writer is not writer:  # closed, or replaced
                return
        if not outbox:
            self._outbox = None
            self.direct = writer
        self._wake_drained()

    async def next(self) -> Encoded | None:
        """The next frame for the client; None when the connection is closed.

        One caller at a time. Cancelled, it has taken nothing.
        """
        while self.close_code is None:
            outbox = self._outbox
            if outbox:
                frame = outbox.take()
                self._count(frame)
                self._wake_drained()
                return frame
            if self._waiter is not None:
                raise RuntimeError("another task awaits the next frame of this connection")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return None

    # --- to the client: from the hub

    def answer(self, frame: Answer) -> None:
        """Send an answer. A client that does not take its answers is too slow."""
        encoded = Encoded(frame)
        if self.close_code is not None or self._wrote(encoded):
            return
        if self._box().answer(encoded):
            self._wake()
        else:
            self.close(Code.SLOW, "answers are not read")

    def offer(self, room: Room, frame: Encoded) -> None:
        """Send a room's message to a client that is live there, or queue it, or drop it."""
        if self.close_code is not None or self._wrote(frame):
            return
        seat = self.seats.get(room.name)
        if seat is None:
            return
        outbox = self._box()
        if outbox.put(seat, frame):
            self._wake()
            return
        policy = room.options.when_full
        if policy == "disconnect":
            self.close(Code.SLOW, "too slow")
        elif policy not in NEW_GIVES_WAY:
            outbox.put_with_force(seat, frame)
        elif policy == "catch_up" and frame.position is not None:
            self._fall_behind(room, seat)
        else:
            outbox.drop(seat, frame)

    def offer_aside(self, seat: Seat, frame: Encoded) -> None:
        """Send a message to a client that is behind; only what is read for it may be in order."""
        if self.close_code is not None or self._wrote(frame):
            return
        outbox = self._box()
        if outbox.put(seat, frame):
            self._wake()
        elif frame.position is not None:
            outbox.put_with_force(seat, frame)
        elif seat.room.options.when_full == "disconnect":
            self.close(Code.SLOW, "too slow")
        else:
            outbox.drop(seat, frame)

    def tell_loss(self, seat: Seat, loss: Loss) -> None:
        """Tell the client that messages of a room are missing, after what it was given so far."""
        if self.close_code is None:
            self._box().owe(seat, loss)
            self._wake()

    def failed(self, failure: BaseException) -> None:
        """The writer raised."""
        if self.close_code is None:
            self.hub.report("a transport failed to write", failure)
            self.close(Code.INTERNAL, "the transport failed")

    # --- for who reads history on its behalf

    @property
    def hungry(self) -> bool:
        """Whether it can take more of what is read for it."""
        if self._outbox is not None and not self._outbox.half_empty:
            return False
        return self._writer is None or self._writer.writable

    async def drained(self) -> None:
        """Return when it can take more, or is closed."""
        while self.close_code is None and not self.hungry:
            if self._drains is None:
                self._drains = []
            waiter = asyncio.get_running_loop().create_future()
            self._drains.append(waiter)
            await waiter

    # --- the end

    def close(self, code: int = Code.NORMAL, reason: str = "") -> None:
        """Close it. What waits is dropped, all rooms are left. May be called again."""
        if self.close_code is not None:
            return
        self.close_code = int(code)
        self.close_reason = reason
        self.direct = self._writer = self._outbox = None
        self._wake()
        self._wake_drained()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self.hub.disconnected(self)
        if self.on_close is not None:
            on_close, self.on_close = self.on_close, None
            try:
                on_close(self.close_code, reason)
            except Exception as failure:
                self.hub.report("a transport failed to close", failure)

    async def closed(self) -> None:
        """Return when it is closed; see `close_code` and `close_reason` then."""
        if self.close_code is None:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)

    def forget(self, seat: Seat) -> None:
        """A room was left."""
        if self._outbox is not None:
            self._outbox.forget(seat)
            self.resume()

    # --- inside

    def _box(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self.hub.limits, self.encoding, self.hub.counters)
            self.direct = None
        return self._outbox

    def _wrote(self, frame: Encoded) -> bool:
        writer = self.direct
        if writer is None or not writer.writable:
            return False
        self._write(writer, frame)
        return True

    def _write(self, writer: Writer, frame: Encoded) -> None:
        try:
            writer.write(frame)
        except Exception as failure:
            self.failed(failure)
        else:
            self._count(frame)

    def _count(self, frame: Encoded) -> None:
        counters = self.hub.counters
        counters.delivered += 1
        counters.bytes += frame.size(self.encoding)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self._writer is not None and self._writer.writable:
            self.resume()

    def _wake_drained(self) -> None:
        if self._drains and (self.close_code is not None or self.hungry):
            drains, self._drains = self._drains, None
            for waiter in drains:
                if not waiter.done():
                    waiter.set_result(None)

    def _fall_behind(self, room: Room, seat: Seat) -> None:
        position = room.feed.position
        assert position is not None  # it delivers just now
        room.fall_behind(seat, position)
        room.rooms.chores.start(catch_up(seat), self.hub.report)
