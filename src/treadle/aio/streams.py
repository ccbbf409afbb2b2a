"""Streams: reading and writing with coroutines instead of callbacks.

The parts are in ``stream_reader``, ``stream_writer`` and ``stream_protocol``; here they are put
together. All of it runs on any asyncio loop, with that loop's transports.
"""

from __future__ import annotations

from asyncio.events import get_running_loop
from typing import Any

from treadle.aio.stream_protocol import StreamReaderProtocol
from treadle.aio.stream_reader import DEFAULT_LIMIT, StreamReader
from treadle.aio.stream_writer import StreamWriter

__all__ = [
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
]


class _Factory:
    """Makes the protocol of a server's connection."""

    def __init__(self, client_connected_cb: Any, limit: int, loop: Any) -> None:
        self.client_connected_cb = client_connected_cb
        self.limit = limit
        self.loop = loop

    def __call__(self) -> StreamReaderProtocol:
        reader = StreamReader(self.limit, self.loop)
        return StreamReaderProtocol(reader, self.client_connected_cb, self.loop)


async def open_connection(
    host: Any = None, port: Any = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect, and return a reader and a writer; takes what ``loop.create_connection`` takes.

    `limit`, in bytes, is the reader's. Cancelled, it leaves nothing open.

    >>> import asyncio, treadle
    >>> async def echo(reader, writer):
    ...     writer.write(await reader.readline())
    ...     writer.close()
    >>> async def main():
    ...     async with await treadle.start_server(echo, "127.0.0.1", 0) as server:
    ...         reader, writer = await treadle.open_connection(*server.sockets[0].getsockname())
    ...         writer.write(b"hello\\n")
    ...         answer = await reader.readline()
    ...         writer.close()
    ...         await writer.wait_closed()
    ...     return answer
    >>> asyncio.run(main())
    b'hello\\n'
    """
    loop = get_running_loop()
    reader, protocol = _pair(limit, loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: Any,
    host: Any = None,
    port: Any = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> Any:
    """Serve streams; takes and returns what ``loop.create_server`` does.

    `client_connected_cb` is called with a reader and a writer for each connection. If it gives a
    coroutine, that runs as a task; an exception of it goes to the loop's exception handler, and
    closes the connection. `limit`, in bytes, is the readers'.

    >>> import asyncio, treadle
    >>> async def greet(reader, writer):
    ...     writer.write(b"hello\\n")
    ...     writer.close()
    >>> async def main():
    ...     async with await treadle.start_server(greet, "127.0.0.1", 0) as server:
    ...         reader, writer = await treadle.open_connection(*server.sockets[0].getsockname())
    ...         print(await reader.readline())
    ...         writer.close()
    ...         await writer.wait_closed()
    >>> asyncio.run(main())
    b'hello\\n'
    """
    loop = get_running_loop()
    factory = _Factory(client_connected_cb, limit, loop)
    return await loop.create_server(factory, host, port, **kwds)


async def open_unix_connection(
    path: Any = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Like `open_connection`, with what ``loop.create_unix_connection`` takes.

    >>> import asyncio, os, tempfile, treadle
    >>> async def greet(reader, writer):
    ...     writer.write(b"hello")
    ...     writer.close()
    >>> async def main(path):
    ...     async with await treadle.start_unix_server(greet, path):
    ...         reader, writer = await treadle.open_unix_connection(path)
    ...         print(await reader.read())
    ...         writer.close()
    ...         await writer.wait_closed()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(main(os.path.join(folder, "socket")))
    b'hello'
    """
    loop = get_running_loop()
    reader, protocol = _pair(limit, loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_unix_server(
    client_connected_cb: Any, path: Any = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> Any:
    """Like `start_server`, with what ``loop.create_unix_server`` takes.

    >>> import asyncio, os, tempfile, treadle
    >>> async def greet(reader, writer):
    ...     writer.write(b"hello")
    ...     writer.close()
    >>> async def main(path):
    ...     async with await treadle.start_unix_server(greet, path):
    ...         reader, writer = await treadle.open_unix_connection(path)
    ...         print(await reader.read())
    ...         writer.close()
    ...         await writer.wait_closed()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(main(os.path.join(folder, "socket")))
    b'hello'
    """
    loop = get_running_loop()
    factory = _Factory(client_connected_cb, limit, loop)
    return await loop.create_unix_server(factory, path, **kwds)


def _pair(limit: int, loop: Any) -> tuple[StreamReader, StreamReaderProtocol]:
    reader = StreamReader(limit, loop)
    return reader, StreamReaderProtocol(reader, None, loop)
