"""httpx, and with it anyio's sockets, on the loop: against a small server made of streams."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.net.wire import open_descriptors

httpx = pytest.importorskip("httpx")

pytestmark = pytest.mark.every_driver

CERTIFICATE = Path(__file__).parents[1] / "net" / "certs" / "localhost.crt"


class Service:
    """HTTP/1.1 as far as these tests need it: answers with what it was sent."""

    def __init__(self) -> None:
        self.connections = 0
        self.open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self.answer(head, reader, writer)
        except asyncio.IncompleteReadError:
            pass  # the client hung up
        finally:
            self.open.discard(task)
            writer.close()

    async def answer(self, head: bytes, reader: Any, writer: Any) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/silent":
            await reader.read()
            return
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await reader.readexactly(int(line.split(b":")[1]))
            elif line == b"transfer-encoding: chunked":
                while size := int(await reader.readline(), 16):
                    body += await reader.readexactly(size)
                    await reader.readline()
                await reader.readline()
        body = body or path
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()


@pytest.fixture
def run(loop_factory: Callable[[], Any]) -> Callable[..., None]:
    """Runs ``main(service, address)`` beside the service; afterwards nothing may be open."""

    def run(main: Callable[..., Any], context: ssl.SSLContext | None = None) -> None:
        async def both() -> None:
            async with serving(context) as (service, address):
                await main(service, address)

        before = open_descriptors()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(both())
        gc.collect()
        assert set(open_descriptors()) <= set(before)

    return run


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[tuple[Service, str]]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield service, f"localhost:{server.sockets[0].getsockname()[1]}"
        server.close()
        if service.open:
            await asyncio.wait(service.open)


def test_requests_share_a_connection(run: Callable[..., None]) -> None:
    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient() as client:
            for number in range(20):
                answer = await client.get(f"http://{address}/{number}")
                assert answer.text == f"/{number}"
        assert service.connections == 1

    run(main)


def test_requests_at_once_each_get_their_own_answer(run: Callable[..., None]) -> None:
    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient() as client:
            answers = await asyncio.gather(
                *[client.get(f"http://{address}/{number}") for number in range(100)]
            )
        assert [answer.text for answer in answers] == [f"/{number}" for number in range(100)]

    run(main)


def test_bodies_are_streamed_both_ways(run: Callable[..., None]) -> None:
    data = os.urandom(100_000)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield data

    async def main(service: Service, address: str) -> None:
        digest = hashlib.sha256()
        async with (
            httpx.AsyncClient() as client,
            client.stream("POST", f"http://{address}/", content=parts()) as answer,
        ):
            async for part in answer.aiter_bytes():
                digest.update(part)
        assert digest.digest() == hashlib.sha256(data * 30).digest()

    run(main)


def test_a_silent_server_is_a_timeout(run: Callable[..., None]) -> None:
    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(30, read=0.01)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://{address}/silent")

    run(main)


def test_nobody_there_is_a_connect_error(run: Callable[..., None]) -> None:
    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")

    run(main)


def test_a_cancelled_request_leaves_nothing_open(run: Callable[..., None]) -> None:
    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient() as client:
            task = asyncio.ensure_future(client.get(f"http://{address}/silent", timeout=None))
            while not service.open:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


def test_tls_is_spoken(run: Callable[..., None]) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    client_context = ssl.create_default_context(cafile=str(CERTIFICATE))

    async def main(service: Service, address: str) -> None:
        async with httpx.AsyncClient(verify=client_context) as client:
            answers = [await client.get(f"https://{address}/{n}") for n in range(3)]
        assert [answer.text for answer in answers] == ["/0", "/1", "/2"]

    run(main, server_context)
