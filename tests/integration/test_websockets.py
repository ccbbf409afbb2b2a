"""The websockets library, server and client, on the loop: over TCP, TLS and a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import pytest

from tests.integration.servers import client_context, server_context

websockets = pytest.importorskip("websockets")
client = pytest.importorskip("websockets.asyncio.client")
server = pytest.importorskip("websockets.asyncio.server")

pytestmark = pytest.mark.every_driver

Connect = Callable[..., Any]
WAYS = ["tcp", "tls", "unix"]


async def echo(socket: Any) -> None:
    async for message in socket:
        await socket.send(message)


@contextlib.asynccontextmanager
async def serving(handler: Any, way: str, folder: Path, **options: Any) -> AsyncIterator[Connect]:
    """A server, and what makes a connection to it."""
    if way == "unix":
        path = str(folder / "ws.sock")
        async with server.unix_serve(handler, path, **options):
            yield lambda **more: client.unix_connect(
                path, "ws://localhost/", open_timeout=None, **more
            )
        return
    secure = way == "tls"
    context = server_context() if secure else None
    async with server.serve(handler, "127.0.0.1", 0, ssl=context, **options) as listening:
        port = listening.sockets[0].getsockname()[1]
        address = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
        trust = {"ssl": client_context()} if secure else {}
        yield lambda **more: client.connect(address, open_timeout=None, **trust | more)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_messages_of_every_size_are_echoed(way: str, tmp_path: Path) -> None:
    async with serving(echo, way, tmp_path, max_size=None) as connect:
        async with connect(max_size=None) as socket:
            for size in (0, 1, 125, 126, 16384, 65535, 65536, 1_000_000):
                for message in ("ä" * size, bytes(size)):
                    await socket.send(message)
                    assert await socket.recv() == message


async def test_a_crowd_hears_every_broadcast_in_order(way: str, tmp_path: Path) -> None:
    members, words = 40, [f"word {number}" for number in range(25)]
    room: set[Any] = set()
    complete = asyncio.Event()

    async def join(socket: Any) -> None:
        room.add(socket)
        if len(room) == members:
            complete.set()
        await socket.wait_closed()

    async def listen(connect: Connect) -> list[str]:
        async with connect(compression=None) as socket:
            return [await socket.recv() for _ in words]

    async with serving(join, way, tmp_path, compression=None) as connect:
        listeners = [asyncio.ensure_future(listen(connect)) for _ in range(members)]
        await complete.wait()
        for word in words:
            websockets.broadcast(room, word)
        assert await asyncio.gather(*listeners) == [words] * members


async def test_the_closing_handshake_tells_both_sides_why(way: str, tmp_path: Path) -> None:
    told = asyncio.get_running_loop().create_future()

    async def wait(socket: Any) -> None:
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            told.set_result((closed.rcvd.code, closed.rcvd.reason))

    async with serving(wait, way, tmp_path) as connect:
        async with connect() as socket:
            await socket.close(4000, "enough")
        assert (socket.close_code, await told) == (4000, (4000, "enough"))


async def test_pings_are_answered_while_messages_flow(way: str, tmp_path: Path) -> None:
    async with serving(echo, way, tmp_path, ping_interval=0.001) as connect:
        async with connect(ping_interval=0.001) as socket:
            for number in range(100):
                await socket.send(str(number))
                assert await socket.recv() == str(number)
            await (await socket.ping())
            assert socket.latency > 0


async def test_a_client_that_reads_slowly_holds_the_server_up(way: str, tmp_path: Path) -> None:
    sent = 0

    def narrow(socket: Any, option: int) -> None:
        kernel = socket.transport.get_extra_info("socket")
        kernel.setsockopt(SOL_SOCKET, option, 100_000)

    async def flood(socket: Any) -> None:
        nonlocal sent
        narrow(socket, SO_SNDBUF)
        for number in range(100):
            await socket.send(bytes([number]) * 500_000)
            sent = number + 1

    async with serving(flood, way, tmp_path, compression=None) as connect:
        async with connect(compression=None, max_queue=1) as socket:
            narrow(socket, SO_RCVBUF)
            for number in range(100):
                assert await socket.recv() == bytes([number]) * 500_000
                assert sent < number + 25  # the rest of 50 MB fits nowhere on the way
    assert sent == 100


async def test_a_cancelled_reader_can_read_again(way: str, tmp_path: Path) -> None:
    async with serving(echo, way, tmp_path) as connect, connect() as socket:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await socket.recv()
        await socket.send("still there")
        assert await socket.recv() == "still there"


async def test_a_server_that_closes_says_goodbye_to_its_clients(way: str, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(echo, way, tmp_path) as connect:
            sockets = [await stack.enter_async_context(connect()) for _ in range(10)]
        for socket in sockets:
            with pytest.raises(websockets.ConnectionClosedOK):
                await socket.recv()
            assert socket.close_code == 1001


async def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    async with serving(echo, "tls", tmp_path) as connect:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(ssl=ssl.create_default_context())
