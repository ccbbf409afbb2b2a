"""The echo servers, one for each style of writing one. They know only asyncio's interface.

Each of `SERVERS` starts a server on the running loop and returns the address at which it is to be
found: a port, or the path of a Unix socket. It is given the namespace from which it takes streams
(`bench.loops.names`), and an argument, which is what that style needs to know: the size of a
message, a path, or nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from bench.primitives import Names
from bench.tls import server_context

HOST = "127.0.0.1"
BACKLOG = 4096
READ_SIZE = 65536
BUFFER_SIZE = 256 * 1024
"""As much as the other styles' transports receive at once."""

Address = int | str

_kept: list[object] = []
"""What serves until the process ends."""


class Echo(asyncio.Protocol):
    """Sends back whatever comes."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    """The same from a buffer of its own."""

    __slots__ = ("buffer", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = bytearray(BUFFER_SIZE)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        with memoryview(self.buffer) as view:
            self.transport.write(bytes(view[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    """The same with datagrams."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_SIZE):
        writer.write(data)
    writer.close()


async def _readline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def _protocol(aio: Names, argument: str) -> Address:
    loop = asyncio.get_running_loop()
    return _port(await loop.create_server(Echo, HOST, 0, backlog=BACKLOG))


async def _buffered(aio: Names, argument: str) -> Address:
    loop = asyncio.get_running_loop()
    return _port(await loop.create_server(BufferedEcho, HOST, 0, backlog=BACKLOG))


async def _tls(aio: Names, argument: str) -> Address:
    loop = asyncio.get_running_loop()
    context = server_context()
    return _port(await loop.create_server(Echo, HOST, 0, backlog=BACKLOG, ssl=context))


async def _unix(aio: Names, argument: str) -> Address:
    loop = asyncio.get_running_loop()
    _kept.append(await loop.create_unix_server(Echo, argument, backlog=BACKLOG))
    return argument


async def _udp(aio: Names, argument: str) -> Address:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=(HOST, 0))
    _kept.append(transport)
    port: int = transport.get_extra_info("sockname")[1]
    return port


async def _streams(aio: Names, argument: str) -> Address:
    return _port(await aio.start_server(_read, HOST, 0, backlog=BACKLOG))


async def _readlines(aio: Names, argument: str) -> Address:
    # a line may be as long as the longest message that can be asked for
    return _port(await aio.start_server(_readline, HOST, 0, backlog=BACKLOG, limit=1 << 30))


async def _readexactly(aio: Names, argument: str) -> Address:
    size = int(argument)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await reader.readexactly(size))
            await writer.drain()

    return _port(await aio.start_server(handle, HOST, 0, backlog=BACKLOG))


async def _sock(aio: Names, argument: str) -> Address:
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    listener.setblocking(False)
    _kept.append(asyncio.create_task(_accept(listener)))
    port: int = listener.getsockname()[1]
    return port


async def _accept(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _kept.append(asyncio.create_task(_serve(loop, connection)))


async def _serve(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    with connection:
        while data := await loop.sock_recv(connection, READ_SIZE):
            await loop.sock_sendall(connection, data)


def _port(server: asyncio.Server) -> int:
    _kept.append(server)
    port: int = server.sockets[0].getsockname()[1]
    return port


SERVERS: dict[str, Callable[[Names, str], Awaitable[Address]]] = {
    "protocol": _protocol,
    "active": _protocol,
    "streams": _streams,
    "sock": _sock,
    "buffered": _buffered,
    "readexactly": _readexactly,
    "readline": _readlines,
    "tls": _tls,
    "unix": _unix,
    "udp": _udp,
}
