"""A uvicorn server in the test's own loop, with treadle's WebSocket protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.net.wire import open_descriptors

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("websockets.asyncio.client")


class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
    """uvicorn's server with a future that is done when it has bound its port."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bound = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self.bound.set_result(self.servers[0].sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        """uvicorn's own looks every tenth of a second whether to stop."""
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        """As uvicorn's own, which looks every tenth of a second whether all have gone."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.001)
        for server in self.servers:
            await server.wait_closed()


@contextlib.asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[str]:
    """The address of a server of `app`, which stops at the end."""
    from treadle.web import WebSocketProtocol

    settings = {"ws": WebSocketProtocol, "lifespan": "off", "log_level": "critical"} | settings
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **settings))
    task = asyncio.ensure_future(server.serve())
    await asyncio.wait([task, server.bound], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"127.0.0.1:{server.bound.result()}"
    finally:
        server.stopping.set()
        await task


@pytest.fixture
def run(loop: Any) -> Iterator[Any]:
    """Run a test's coroutine. No descriptor and no task may be left of it."""

    def call(main: Any) -> None:
        loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0))
        assert not asyncio.all_tasks(loop)
        loop.run_until_complete(loop.shutdown_default_executor())

    loop.run_until_complete(asyncio.sleep(0))
    before = open_descriptors()
    yield call
    assert not {fd: what for fd, what in open_descriptors().items() if fd not in before}


async def raw_connection(address: str, **options: Any) -> Any:
    """A WebSocket without a library: what a peer may do that no library does."""
    if "sock" not in options:
        options["host"], options["port"] = address.split(":")
    reader, writer = await asyncio.open_connection(**options)
    writer.write(opening())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    return reader, writer


def opening(path: bytes = b"/") -> bytes:
    """A client's request."""
    return (
        b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def masked(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A client's frame, with a mask of zeros."""
    return struct.pack("!BB4x", opcode | (0x80 if fin else 0), 0x80 | len(payload)) + payload


async def deaf_peer(address: str) -> socket.socket:
    """A WebSocket that never reads, with little room in the kernel."""
    loop = asyncio.get_running_loop()
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    host, port = address.split(":")
    await loop.sock_connect(peer, (host, int(port)))
    await loop.sock_sendall(peer, opening())
    return peer
