"""The hub: what an application holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.hub.backends.memory import MemoryBackend
from treadle.hub.bodies import Said, encode_body, read_body, shown
from treadle.hub.connection import Connection
from treadle.hub.errors import Code, HubClosed, Refused
from treadle.hub.frames import Encoding, Join, Member, Message, Position, Welcome
from treadle.hub.handlers import Handler, Handlers
from treadle.hub.hooks import Handshake, Hooks, Identity, Incoming
from treadle.hub.options import Limits, RoomOptions
from treadle.hub.presence import Presence
from treadle.hub.ratelimit import RateLimit
from treadle.hub.remembered import Remembered
from treadle.hub.requests import join
from treadle.hub.rooms import Rooms
from treadle.hub.stats import Counters, HubStats
from treadle.hub.subscription import Subscription, first_answer
from treadle.hub.tokens import Tokens
from treadle.hub.upkeep import beat_and_bury, close_the_silent, look_for_losses

if TYPE_CHECKING:
    from types import TracebackType

    from treadle.hub.backends.base import Backend
    from treadle.hub.client import Client
    from treadle.hub.seat import Seat
    from treadle.hub.tokens import Entropy

__all__ = ["Hub"]

FAREWELL = 5.0  # seconds for hooks and the backend when the hub is closed
REMEMBERED = 4096  # names of messages without history
OnPublish = TypeVar("OnPublish", bound=Callable[[Incoming], Awaitable[None]])


class Hub:
    """Rooms, and the connections in them. One to a process, usually.

    `rooms` maps patterns of names (as `fnmatch` has them) to options; the first that fits counts.
    Nodes that share a `secret` accept each other's session tokens; left out, one is made.

    >>> import asyncio
    >>> async def main():
    ...     async with Hub() as hub:
    ...         ada = await hub.client()
    ...         bob = await hub.client()
    ...         await ada.join("chat")
    ...         await bob.join("chat")
    ...         await ada.publish("chat", "hello")
    ...         print((await bob.message()).data)
    >>> asyncio.run(main())
    hello
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        rooms: Mapping[str, RoomOptions] | None = None,
        limits: Limits | None = None,
        hooks: Hooks | None = None,
        secret: str | bytes | None = None,
        lease: float = 15.0,
        entropy: Entropy | None = None,
    ) -> None:
        self.backend: Backend = MemoryBackend() if backend is None else backend
        self.limits = Limits() if limits is None else limits
        self.hooks = Hooks() if hooks is None else hooks
        self.counters = Counters()
        self.handlers = Handlers()
        self.remembered = Remembered(REMEMBERED)
        self.rate_limit = RateLimit(self.limits.rate, self.limits.burst)
        self.rooms = Rooms(self.backend, rooms or {}, self.counters, self.report)
        self.presence = Presence(self.backend, self.rooms.chores, self.report)
        self.tokens = Tokens(secret) if entropy is None else Tokens(secret, entropy)
        self.node = self.tokens.name()
        """This node's name among those of one backend."""
        self._lease = lease
        self._upkeep: list[asyncio.Task[None]] = []
        self._listeners: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._closed = False

    # --- its life

    async def start(self) -> None:
        """Connect to the backend and begin; raises `Unavailable` when that is impossible now."""
        if self._loop is not None or self._closed:
            raise RuntimeError("a hub is started once")
        self._loop = asyncio.get_running_loop()
        try:
            await self.backend.start(self.node, self.rooms)
        except BaseException:
            self._loop = None
            await self.backend.close()
            raise
        self.rooms.on_restored = self.presence.settle_all
        create = self._loop.create_task
        self._upkeep = [
            create(close_the_silent(self)),
            create(beat_and_bury(self, self._lease)),
            create(look_for_losses(self)),
        ]

    async def close(self) -> None:
        """Close every connection with `Code.GOING_AWAY`, and the backend. May be called again."""
        if self._closed:
            return
        self._closed = True
        for connection in [*self.rooms.connections.values(), *self._listeners]:
            connection.close(Code.GOING_AWAY, "the server is closing")
        for task in self._upkeep:
            task.cancel()
        try:
            if self._upkeep:
                await asyncio.wait(self._upkeep)
            await self.rooms.chores.finish(FAREWELL)
        finally:
            await self.backend.close()
            self._loop = None

    async def __aenter__(self) -> Hub:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # --- for the application

    async def publish(
        self,
        room: str,
        data: Any,
        *,
        key: str | None = None,
        exclude: str | None = None,
        to: str | None = None,
        sender: str | None = None,
        dedupe: str | None = None,
    ) -> Position | None:
        """Send `data` to everybody in a room, to all but the client `exclude`, or only to `to`.

        Returns its place in history, None when it has none. With `dedupe`, a message that was
        published in the room under that name already is not published again; without history,
        only this node remembers names, and only the last few thousand. Raises `Unavailable` when
        the backend cannot be reached, and ValueError when the data cannot be encoded.
        """
        self._running()
        body = encode_body(Said(data, sender, key, to, exclude))
        self.counters.published += 1
        history = self.rooms.options(room).history
        if to is not None or not history.kept:
            if dedupe is None or (room, dedupe) not in self.remembered:
                await self.backend.send(room, body)
                if dedupe is not None:
                    self.remembered.add((room, dedupe))
            return None
        appended = await self.backend.append(room, body, history, dedupe)
        return appended.entry.position

    async def members(self, room: str) -> list[Member]:
        """Who is in a room, on all nodes."""
        self._running()
        if not self.rooms.options(room).presence:
            return []
        return await self.backend.members(room)

    async def history(self, room: str, count: int = 50) -> list[Message]:
        """The last messages of a room, oldest first."""
        self._running()
        if count < 1 or not self.rooms.options(room).history.kept:
            return []
        _, entries = await self.backend.tail(room, count)
        found: list[Message] = []
        for entry in entries:
            body = read_body(entry.body)
            if body is not None:
                frame = shown(room, body, entry.position).frame
                if isinstance(frame, Message):
                    found.append(frame)
        return found

    async def subscribe(
        self, room: str, after: Position | None = None, history: int = 0
    ) -> Subscription:
        """Receive a room's messages in the server. It is not a member of the room."""
        self._running()
        connection = Connection(self, "", Identity(), "", "json")
        connection.heard = None
        self._listeners.add(connection)
        try:
            await join(connection, Join(0, room, after, history), asked=False)
            joined = await first_answer(connection)
        except BaseException:
            connection.close()
            raise
        return Subscription(connection, room, joined)

    def on_publish(self, pattern: str, type: Any = Any) -> Callable[[OnPublish], OnPublish]:
        """Let a coroutine answer for what clients publish to rooms of this pattern.

        It gets an `Incoming` whose data was converted to `type` by msgspec; data that does not fit
        is refused before. It may publish, raise `Refused`, or just return.

        >>> hub = Hub()
        >>> @hub.on_publish("dice:*", type=int)
        ... async def roll(message):
        ...     await hub.publish(message.room, min(message.data, 6), sender=message.client)
        """

        def keep(call: OnPublish) -> OnPublish:
            self.handlers.add(Handler(pattern, call, type))
            return call

        return keep

    async def client(
        self,
        identity: Identity | None = None,
        *,
        session: str | None = None,
        encoding: Encoding = "json",
    ) -> Client:
        """A client in this process, that speaks frames as those of a network do; for tests."""
        from treadle.hub.client import Client

        connection = await self.connect(identity or Identity(), session=session, encoding=encoding)
        return await Client.of(connection)

    def stats(self) -> HubStats:
        """What it holds now, and its totals."""
        rooms = self.rooms.all()
        behind = sum(len(room.behind) for room in rooms)
        counters = self.counters
        return HubStats(
            connections=len(self.rooms.connections),
            rooms=len(rooms),
            subscriptions=sum(len(room.live) for room in rooms) + behind,
            members=len(self.presence),
            behind=behind,
            published=counters.published,
            received=counters.received,
            delivered=counters.delivered,
            bytes=counters.bytes,
            dropped=dict(counters.dropped),
            coalesced=counters.coalesced,
            disconnected=dict(counters.disconnected),
            recoveries=counters.recoveries,
            unrecoverable=counters.unrecoverable,
            recovered=counters.recovered,
            gaps=counters.gaps,
            queue_high_water=counters.high_water,
            backend=self.rooms.away or "up",
        )

    # --- for transports

    async def authenticate(self, request: Handshake) -> Identity:
        """Who this is; raises `Refused` when they may not connect."""
        self._running()
        return await self.hooks.authenticate(request)

    async def connect(
        self,
        identity: Identity,
        session: str | None = None,
        encoding: Encoding = "json",
        *,
        heartbeat: bool = True,
    ) -> Connection:
        """A new connection, with the `Welcome` waiting in it.

        With a session token of the same user it keeps its name, and an older connection of that
        name is closed with `Code.REPLACED`. `heartbeat=False`: the client cannot send, and is
        never too silent. Raises `Refused` when the hook `connected` does.
        """
        now = self._running().time()
        client = None if session is None else self.tokens.client(session, identity.user)
        if client is None:
            client = self.tokens.name()
        token = self.tokens.session(client, identity.user)
        connection = Connection(self, client, identity, token, encoding)
        connection.heard = now if heartbeat else None
        older = self.rooms.connections.get(client)
        self.rooms.connections[client] = connection
        if older is not None:
            older.close(Code.REPLACED, "connected again")
        limits = self.limits
        connection.answer(Welcome(client, token, limits.ping, limits.max_message))
        try:
            await self.hooks.connected(connection)
        except Refused as refusal:
            connection.close(refusal.code, refusal.reason)
            raise
        except BaseException:
            connection.close(Code.INTERNAL, "an error of the server")
            raise
        return connection

    # --- for its parts

    def now(self) -> float:
        """The loop's time."""
        return self._running().time()

    def report(self, message: str, failure: BaseException) -> None:
        """Tell the loop's exception handler of a failure that nobody else gets."""
        loop = self._loop or asyncio.get_running_loop()
        loop.call_exception_handler({"message": f"treadle.hub: {message}", "exception": failure})

    def stand_up(self, seat: Seat) -> None:
        """A connection leaves a room; its presence there is another matter."""
        connection = seat.connection
        if connection.seats.get(seat.room.name) is seat:
            del connection.seats[seat.room.name]
        seat.room.remove(seat)
        connection.forget(seat)
        self.rooms.leave(seat.room)

    def disconnected(self, connection: Connection) -> None:
        """A connection was closed."""
        for name, seat in list(connection.seats.items()):
            self.stand_up(seat)
            self.presence.leave(name, connection)
        if connection in self._listeners:
            self._listeners.discard(connection)
            return
        if self.rooms.connections.get(connection.client) is connection:
            del self.rooms.connections[connection.client]
        code, reason = connection.close_code or 0, connection.close_reason
        counts = self.counters.disconnected
        counts[code] = counts.get(code, 0) + 1
        if type(self.hooks).disconnected is not Hooks.disconnected:
            hook = self.hooks.disconnected(connection, code, reason)
            self.rooms.chores.start(hook, self.report)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._closed:
            raise HubClosed("the hub is closed" if self._closed else "the hub is not started")
        return self._loop
