"""A client in this process: everything a client on a network does, without the network.

Each request is a frame that is encoded, and each frame of the hub is decoded again. It reads only
when it is asked to, so that it can be as slow as a test wants.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from treadle.hub.encoded import pack, to_json
from treadle.hub.errors import Code, HubClosed, Refused, Unavailable
from treadle.hub.frames import (
    Answer,
    Failed,
    Gap,
    Join,
    Joined,
    Leave,
    Left,
    Member,
    Members,
    Message,
    Ping,
    Pong,
    Position,
    Publish,
    Published,
    Request,
    Roster,
    Welcome,
)

if TYPE_CHECKING:
    from types import TracebackType

    from treadle.hub.connection import Connection

__all__ = ["Client"]

read_json = msgspec.json.Decoder(Answer).decode
read_msgpack = msgspec.msgpack.Decoder(Answer).decode
Kind = TypeVar("Kind")


class Client:
    """A client of a hub; `Hub.client` makes one.

    >>> import asyncio
    >>> from treadle.hub import Hub
    >>> async def main():
    ...     async with Hub() as hub:
    ...         client = await hub.client()
    ...         await client.join("chat")
    ...         published = await client.publish("chat", {"text": "hello"})
    ...         message = await client.message()
    ...         print(published.offset, message.data, client.positions["chat"].offset)
    >>> asyncio.run(main())
    1 {'text': 'hello'} 1
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = ""
        self.session = ""
        self.positions: dict[str, Position] = {}
        """By room: where to begin after a reconnect."""
        self._aside: deque[Answer] = deque()  # came while an answer was awaited
        self._requests = 0

    @classmethod
    async def of(cls, connection: Connection) -> Client:
        client = cls(connection)
        welcome = await client.frame()
        assert isinstance(welcome, Welcome)
        client.name, client.session = welcome.client, welcome.session
        return client

    # --- requests

    async def join(self, room: str, after: Position | None = None, history: int = 0) -> Joined:
        """Raises `Refused` or `Unavailable`, as all requests do."""
        return await self.ask(Join(self._id(), room, after, history), Joined)

    async def leave(self, room: str) -> Left:
        return await self.ask(Leave(self._id(), room), Left)

    async def publish(
        self,
        room: str,
        data: Any,
        *,
        key: str | None = None,
        to: str | None = None,
        others: bool = False,
        dedupe: str | None = None,
    ) -> Published:
        request = Publish(self._id(), room, data, key, to, others, dedupe)
        return await self.ask(request, Published)

    async def members(self, room: str) -> list[Member]:
        return (await self.ask(Members(self._id(), room), Roster)).members

    async def ping(self) -> Pong:
        return await self.ask(Ping(self._id()), Pong)

    async def ask(self, request: Request, kind: type[Kind]) -> Kind:
        """Send a request and return the answer to it; what else comes is kept for `frame`."""
        await self.send(request)
        while (frame := await self._read()) is not None:
            if getattr(frame, "id", None) != request.id:
                self._aside.append(frame)
            elif isinstance(frame, Failed):
                if frame.code == Code.UNAVAILABLE:
                    raise Unavailable(frame.reason)
                raise Refused(frame.reason, Code(frame.code))
            elif isinstance(frame, kind):
                return frame
        raise HubClosed(f"closed: {self.connection.close_code} {self.connection.close_reason}")

    async def send(self, request: Request) -> None:
        """Send a request; its answer comes from `frame`."""
        packed = self.connection.encoding == "msgpack"
        await self.connection.receive(pack(request) if packed else to_json(request))

    # --- what comes

    async def frame(self) -> Answer | None:
        """The next frame of any kind; None when the connection is closed."""
        if self._aside:
            return self._aside.popleft()
        return await self._read()

    async def message(self) -> Message:
        """The next message; other frames before it are passed over."""
        while (frame := await self.frame()) is not None:
            if isinstance(frame, Message):
                return frame
        raise HubClosed(f"closed: {self.connection.close_code} {self.connection.close_reason}")

    async def waiting(self, most: int | None = None) -> list[Answer]:
        """The frames that are there now, `most` at most; it waits for none."""
        frames: list[Answer] = []
        while (self._aside or self.connection.has_frames) and len(frames) != most:
            if (frame := await self.frame()) is not None:
                frames.append(frame)
        return frames

    def __aiter__(self) -> Client:
        return self

    async def __anext__(self) -> Answer:
        frame = await self.frame()
        if frame is None:
            raise StopAsyncIteration
        return frame

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside

    def _id(self) -> int:
        self._requests += 1
        return self._requests

    async def _read(self) -> Answer | None:
        encoded = await self.connection.next()
        if encoded is None:
            return None
        frame: Answer
        if self.connection.encoding == "msgpack":
            frame = read_msgpack(encoded.msgpack)
        else:
            frame = read_json(encoded.json)
        self._follow(frame)
        return frame

    def _follow(self, frame: Answer) -> None:
        if isinstance(frame, (Joined, Gap)) and frame.position is not None:
            self.positions[frame.room] = frame.position
        elif isinstance(frame, Message) and frame.offset and frame.room in self.positions:
            self.positions[frame.room] = Position(self.positions[frame.room].epoch, frame.offset)
        elif isinstance(frame, Left):
            self.positions.pop(frame.room, None)
