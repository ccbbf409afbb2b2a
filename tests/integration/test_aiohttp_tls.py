"""aiohttp over TLS, over Unix sockets, through a proxy, and serving files with sendfile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import client_context, server_context
from tests.kit import Handler

aiohttp = pytest.importorskip("aiohttp")
web = pytest.importorskip("aiohttp.web")

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024


async def upload(request: Any) -> Any:
    return web.Response(body=await request.read())


async def echo(request: Any) -> Any:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


async def silence(request: Any) -> Any:
    await asyncio.get_running_loop().create_future()


@contextlib.asynccontextmanager
async def runner(folder: Path | None = None) -> AsyncIterator[Any]:
    """An application that a test lets listen where it wants."""
    app = web.Application(client_max_size=0)
    app.router.add_post("/upload", upload)
    app.router.add_get("/echo", echo)
    app.router.add_get("/silence", silence)
    if folder is not None:
        app.router.add_static("/files", folder)
    made = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await made.setup()
    try:
        yield made
    finally:
        await made.cleanup()


@contextlib.asynccontextmanager
async def serving(
    context: ssl.SSLContext | None = None, folder: Path | None = None
) -> AsyncIterator[str]:
    async with runner(folder) as made:
        await web.TCPSite(made, "127.0.0.1", 0, ssl_context=context).start()
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{made.addresses[0][1]}"


@contextlib.asynccontextmanager
async def secure_client() -> AsyncIterator[Any]:
    """A client that trusts our certificate, and whose connections are gone when it is closed."""
    connector = aiohttp.TCPConnector(ssl=client_context())
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


async def test_many_requests_over_tls_each_get_their_own_answer() -> None:
    async def ask(client: Any, url: str, number: int) -> None:
        body = b"%d," % number * 1000
        async with client.post(f"{url}/upload", data=body) as response:
            assert await response.read() == body

    async with serving(server_context()) as url, secure_client() as client:
        await asyncio.gather(*[ask(client, url, number) for number in range(60)])


async def test_bodies_are_streamed_both_ways_over_tls() -> None:
    data = os.urandom(MEGABYTE)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield data

    async with (
        serving(server_context()) as url,
        secure_client() as client,
        client.post(f"{url}/upload", data=parts()) as response,
    ):
        assert await response.read() == data * 4


async def test_a_websocket_over_tls_echoes_messages_of_every_size() -> None:
    async with (
        serving(server_context()) as url,
        secure_client() as client,
        client.ws_connect(f"{url}/echo") as socket,
    ):
        for size in (0, 1, 125, 126, 16384, 65535, 65536, 1_000_000):
            await socket.send_bytes(bytes(size))
            assert await socket.receive_bytes() == bytes(size)


async def test_a_certificate_that_nobody_signed_is_refused() -> None:
    async with serving(server_context()) as url, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get(f"{url}/echo")


async def test_plain_text_to_a_tls_server_is_an_error() -> None:
    async with serving(server_context()) as url, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            await client.get(url.replace("https", "http"))


async def test_a_request_over_tls_can_be_cancelled() -> None:
    async with serving(server_context()) as url, secure_client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get(f"{url}/silence")


async def test_a_unix_socket_carries_requests_and_websockets(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    async with runner() as made, aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as c:
        await web.UnixSite(made, path).start()
        async with c.post("http://there/upload", data=bytes(MEGABYTE)) as response:
            assert await response.read() == bytes(MEGABYTE)
        async with c.ws_connect("http://there/echo") as socket:
            await socket.send_bytes(b"hello")
            assert await socket.receive_bytes() == b"hello"


@pytest.mark.parametrize("context", [None, server_context()], ids=["sendfile", "TLS"])
async def test_a_file_is_served_whole_and_in_part(
    tmp_path: Path, context: ssl.SSLContext | None
) -> None:
    data = os.urandom(3 * MEGABYTE)
    (tmp_path / "file").write_bytes(data)
    async with serving(context, tmp_path) as url, secure_client() as client:
        for _ in range(2):  # twice over one connection
            async with client.get(f"{url}/files/file") as response:
                assert await response.read() == data
        part = {"Range": "bytes=1000000-2000000"}
        async with client.get(f"{url}/files/file", headers=part) as response:
            assert response.status == 206
            assert await response.read() == data[1_000_000:2_000_001]


async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that knows CONNECT: it copies bytes both ways until one side ends."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().partition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    copies = [
        asyncio.ensure_future(copy(reader, far_writer)),
        asyncio.ensure_future(copy(far_reader, writer)),
    ]
    await asyncio.wait(copies)
    for end in (writer, far_writer):
        end.close()
        with contextlib.suppress(ConnectionError):
            await end.wait_closed()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_tls_through_a_proxy_is_started_on_the_open_connection(scheme: str) -> None:
    handler = Handler(proxy)
    context = server_context() if scheme == "https" else None  # then there is TLS within TLS
    between = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    through = f"{scheme}://127.0.0.1:{between.sockets[0].getsockname()[1]}"
    async with between, serving(server_context()) as url:
        async with secure_client() as client:
            for size in (10, MEGABYTE):
                body = os.urandom(size)
                async with client.post(f"{url}/upload", data=body, proxy=through) as response:
                    assert await response.read() == body
        await handler.finished()
