"""Rooms over NATS: core subjects for what is live, JetStream for history and for who is where.

The history is in `nats_log.py`, the members in `nats_members.py`; here they come together with the
connection. Two streams, `PREFIX_rooms` and `PREFIX_members`, are made when they are missing; when
they are there, their own settings are left as they are, but for limits that a room needs larger.

A room is one subject that is listened to, `PREFIX.live.ROOM`: the stream publishes there what it
has stored, and nodes what is not to be stored. JetStream is needed, of nats-server 2.9 or later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from treadle.hub.backends.base import Appended, Backend, Departure, Entry, Receiver
from treadle.hub.backends.link import within_timeout
from treadle.hub.backends.nats_link import Msg, NatsLink
from treadle.hub.backends.nats_log import HEADER, Log, decode, encode
from treadle.hub.backends.nats_members import Members
from treadle.hub.errors import HubError, Unavailable
from treadle.hub.frames import Member, Position
from treadle.hub.options import Retention

__all__ = ["NatsBackend"]

SEQUENCE = "Nats-Sequence"  # of a message that the stream published again
FIRST_LEASE = 30.0  # seconds, until the first `beat` says otherwise


class NatsBackend(Backend):
    """Rooms that span every node which uses the same NATS system and the same prefix.

    `urls` are addresses of servers of one system. `timeout` is in seconds, and the longest that any
    call takes. `replicas` is how many servers of a cluster keep the streams. Further `options` go
    to nats-py's `connect`: `user`, `password`, `token`, `user_credentials`, `tls` and others.

    >>> hub = Hub(NatsBackend("nats://one.example.org", prefix="game", timeout=2.0))
    >>> type(hub.backend).__name__
    'NatsBackend'
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        prefix: str = "treadle",
        timeout: float = 5.0,
        replicas: int = 1,
        **options: Any,
    ) -> None:
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        if not self._urls:
            raise ValueError("give the address of one NATS server at least")
        self._prefix = prefix
        self._timeout = timeout
        self._replicas = replicas
        self._options = options
        self._node = ""
        self._receiver: Receiver | None = None
        self._link: NatsLink | None = None
        self._log: Log | None = None
        self._members: Members | None = None
        self._attached: dict[str, int] = {}
        self._seen: dict[str, Position] = {}  # the last that was delivered in an attached room
        self._epochs = 0
        self._lease = FIRST_LEASE
        self._quiet_until: float | None = None  # nothing is buried before

    # --- life

    async def start(self, node: str, receiver: Receiver) -> None:
        self._node, self._receiver = node, receiver
        self._lease = FIRST_LEASE
        link = NatsLink(
            self._urls, f"treadle.hub {node}", self._timeout, self._deliver, self._options
        )
        members = Members(link, self._prefix, self._replicas, node, encode)
        log = Log(link, self._prefix, self._replicas, self._epoch, members.now)
        link.chore = members.tidy
        link.up, link.down, link.on_ready = self._up, receiver.lost, self._restored
        self._link, self._log, self._members = link, log, members
        try:
            await link.start()
        except BaseException:
            self._link = self._log = self._members = None
            raise

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                if self._link is not None and self._link.is_up and self._members is not None:
                    await self._members.withdraw()
        except (HubError, TimeoutError):
            pass  # the lease will run out
        finally:
            await self._disconnect()

    async def _disconnect(self) -> None:
        link, self._link = self._link, None
        self._log = self._members = None
        self._attached.clear()
        self._seen.clear()
        if link is not None:
            await link.close()

    async def _up(self) -> None:
        """What has to be so before anybody uses a new connection."""
        self._the_log.doubt()
        await self._the_log.stream.ensure()
        await self._the_members.stream.ensure()
        await self._the_members.beat(self._lease)

    def _restored(self) -> None:
        self._quiet_until = asyncio.get_running_loop().time() + self._lease
        assert self._receiver is not None
        self._receiver.restored()

    def _epoch(self) -> str:
        """One that nobody has used; the node's name is unlike any other's."""
        self._epochs += 1
        return f"{encode(self._node)}.{self._epochs}"

    @property
    def _the_link(self) -> NatsLink:
        if self._link is None:
            raise Unavailable("the backend is not started, or closed")
        return self._link

    @property
    def _the_log(self) -> Log:
        if self._log is None:
            raise Unavailable("the backend is not started, or closed")
        return self._log

    @property
    def _the_members(self) -> Members:
        if self._members is None:
            raise Unavailable("the backend is not started, or closed")
        return self._members

    # --- rooms

    def _live(self, room: str) -> str:
        return f"{self._prefix}.live.{encode(room)}"

    def _deliver(self, message: Msg) -> None:
        if self._receiver is None or self._log is None:
            return
        room = decode(message.subject.rpartition(".")[2])
        headers = message.headers
        if headers is None or HEADER not in headers:
            self._receiver.signal(room, message.data)
            return
        tip = self._log.heard(room, int(headers[SEQUENCE]), headers)
        if room in self._attached:
            self._seen[room] = tip.position
        if tip.is_entry:
            self._receiver.entry(room, tip.entry(message.data))

    @within_timeout
    async def attach(self, room: str) -> Position:
        link, subject = self._the_link, self._live(room)
        await link.subscribe(subject)
        self._attached[room] = self._attached.get(room, 0) + 1
        try:
            return await self.last(room)
        except BaseException:
            await self._detach(link, room)
            raise

    async def detach(self, room: str) -> None:
        if room in self._attached and self._link is not None:
            await self._detach(self._link, room)

    async def _detach(self, link: NatsLink, room: str) -> None:
        self._attached[room] -= 1
        if not self._attached[room]:
            del self._attached[room]
            self._seen.pop(room, None)
        await link.unsubscribe(self._live(room))

    @within_timeout
    async def append(
        self, room: str, body: bytes, retention: Retention, dedupe: str | None = None
    ) -> Appended:
        return await self._the_log.append(room, body, retention, dedupe)

    @within_timeout
    async def send(self, room: str, body: bytes) -> None:
        await self._the_link.publish(self._live(room), body)

    @within_timeout
    async def last(self, room: str) -> Position:
        seen = self._seen.get(room, Position("", 0))
        return (await self._the_log.kept_tip(room, seen)).position

    @within_timeout
    async def read(self, room: str, after: Position, limit: int) -> list[Entry]:
        return await self._the_log.read(room, after, limit)

    @within_timeout
    async def tail(self, room: str, count: int) -> tuple[Position, list[Entry]]:
        return await self._the_log.tail(room, count)

    @within_timeout
    async def oldest(self, room: str) -> Position:
        return await self._the_log.oldest(room)

    # --- who is where

    @within_timeout
    async def enter(self, room: str, member: Member) -> bool:
        return await self._the_members.enter(room, member)

    @within_timeout
    async def exit(self, room: str, client: str) -> bool:
        return await self._the_members.exit(room, client)

    @within_timeout
    async def members(self, room: str) -> list[Member]:
        return await self._the_members.members(room)

    @within_timeout
    async def beat(self, lease: float) -> bool:
        if self._quiet_until is None:
            self._quiet_until = asyncio.get_running_loop().time() + lease
        self._lease = lease
        await self._the_members.beat(lease)
        members = self._the_members
        await members.tidy()
        lapsed, members.lapsed = members.lapsed, False
        return lapsed

    @within_timeout
    async def bury(self) -> list[Departure]:
        now = asyncio.get_running_loop().time()
        if self._quiet_until is None or now < self._quiet_until:
            return []
        return await self._the_members.bury()
