"""A room, for code in the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.hub.errors import HubClosed, Refused
from treadle.hub.frames import Failed, Gap, Joined, Message

if TYPE_CHECKING:
    from types import TracebackType

    from treadle.hub.connection import Connection

__all__ = ["Subscription"]


class Subscription:
    """The messages of a room, one after the other; see `Hub.subscribe`.

    What it reads too slowly is treated as a slow client's is. A `Gap` comes in the place of
    messages that were lost. It ends when it or the hub is closed.

    >>> import asyncio
    >>> from treadle.hub import Hub
    >>> async def main():
    ...     async with Hub() as hub:
    ...         async with await hub.subscribe("news") as subscription:
    ...             await hub.publish("news", "hello")
    ...             async for message in subscription:
    ...                 print(message.data)
    ...                 break
    >>> asyncio.run(main())
    hello
    """

    def __init__(self, connection: Connection, room: str, joined: Joined) -> None:
        self._connection = connection
        self.room = room
        self.position = joined.position
        """Of the last message that was given out; None in a room without history."""
        self.recovered = joined.recovered
        """Whether nothing after the position that was asked for is missing; None: none was."""

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message | Gap:
        """The next message, or gap. Cancelled, it has taken nothing."""
        while (encoded := await self._connection.next()) is not None:
            frame = encoded.frame
            if isinstance(frame, Message):
                if encoded.position is not None:
                    self.position = encoded.position
                return frame
            if isinstance(frame, Gap):
                self.position = frame.position or self.position
                return frame
        raise StopAsyncIteration

    def close(self) -> None:
        """Leave the room."""
        self._connection.close()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def first_answer(connection: Connection) -> Joined:
    """The answer to the join of a subscription."""
    encoded = await connection.next()
    if encoded is None:
        raise HubClosed("the hub is closed")
    if isinstance(encoded.frame, Failed):
        raise Refused(encoded.frame.reason)
    assert isinstance(encoded.frame, Joined)
    return encoded.frame
