"""A frame, encoded once for all who get it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from treadle.hub.frames import Answer, Encoding, Position

__all__ = ["Encoded", "Writer", "pack", "to_json"]

to_json = msgspec.json.Encoder().encode
pack = msgspec.msgpack.Encoder().encode


class Encoded:
    """One frame of the hub, in the encodings that were asked for so far.

    >>> from treadle.hub import Message
    >>> frame = Encoded(Message(room="chat", data="hello"))
    >>> frame.text
    '{"type":"message","room":"chat","data":"hello"}'
    >>> frame.json is frame.json
    True
    """

    __slots__ = ("_json", "_msgpack", "_text", "frame", "key", "position", "wire")

    def __init__(
        self, frame: Answer, position: Position | None = None, key: str | None = None
    ) -> None:
        self.frame = frame
        self.position = position
        """Where in the room's history it is; None when it is not kept."""
        self.key = key
        self.wire: dict[Any, Any] = {}
        """For transports: what they made of the frame, by a key of their own."""
        self._json: bytes | None = None
        self._text: str | None = None
        self._msgpack: bytes | None = None

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = to_json(self.frame)
        return self._json

    @property
    def text(self) -> str:
        """The JSON, as a string."""
        if self._text is None:
            self._text = self.json.decode()
        return self._text

    @property
    def msgpack(self) -> bytes:
        if self._msgpack is None:
            self._msgpack = pack(self.frame)
        return self._msgpack

    def size(self, encoding: Encoding) -> int:
        """Bytes of it on the wire."""
        return len(self.json if encoding == "json" else self.msgpack)

    def __repr__(self) -> str:
        return f"<Encoded {self.frame!r}>"


class Writer(Protocol):
    """Where a transport takes frames at once, without a queue of the hub's between.

    >>> import asyncio
    >>> class Printer:
    ...     writable = True
    ...     def write(self, frame):
    ...         print(frame.frame.data)
    >>> async def main():
    ...     async with Hub() as hub:
    ...         connection = await hub.connect(Identity())
    ...         await connection.receive('{"type": "join", "id": 1, "room": "chat"}')
    ...         await connection.next(), await connection.next()  # the welcome, the answer
    ...         connection.writer = Printer()
    ...         await hub.publish("chat", "hello")
    >>> asyncio.run(main())
    hello
    """

    @property
    def writable(self) -> bool:
        """Whether `write` may be called; when it becomes true again, call `Connection.resume`."""

    def write(self, frame: Encoded) -> None:
        """Send. Must not wait; may make `writable` false; may close the connection."""
