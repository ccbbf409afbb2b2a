"""Two ASGI servers, uvicorn and hypercorn, serve one FastAPI application: in the clear, over TLS
(with HTTP/2 where the server knows it) and over Unix sockets; httpx and websockets ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.servers import CERTIFICATE, KEY, client_context

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
hypercorn = pytest.importorskip("hypercorn.asyncio")
hypercorn_config = pytest.importorskip("hypercorn.config")
responses = pytest.importorskip("fastapi.responses")
uvicorn = pytest.importorskip("uvicorn")
websockets = pytest.importorskip("websockets.asyncio.client")

MEGABYTE = 1024 * 1024


def application() -> Any:
    """An application that notes its lifespan in ``app.state.events``."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.state.events = ["startup"]
        await asyncio.sleep(0)
        yield
        app.state.events.append("shutdown")

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/about")
    async def about(request: fastapi.Request) -> Any:
        version = request.scope["http_version"]
        return {"loop": id(asyncio.get_running_loop()), "http": version}

    @app.get("/thread/{number}")
    def in_a_thread(number: int) -> int:
        return number

    @app.post("/digest")
    async def digest(request: fastapi.Request) -> str:
        made = hashlib.sha256()
        async for part in request.stream():
            made.update(part)
        return made.hexdigest()

    @app.get("/download/{megabytes}")
    async def download(megabytes: int) -> Any:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(megabytes):
                yield bytes([number]) * MEGABYTE

        return responses.StreamingResponse(parts())

    @app.websocket("/echo")
    async def echo(socket: fastapi.WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(fastapi.WebSocketDisconnect):
            while True:
                await socket.send_text(await socket.receive_text())

    return app


class Site(NamedTuple):
    """Where an application is served, and it itself."""

    app: Any
    port: int
    path: str  # of the Unix socket, if it is one
    secure: bool

    def client(self, **options: Any) -> Any:
        transport = httpx.AsyncHTTPTransport(
            uds=self.path or None, verify=client_context(), **options
        )
        scheme = "https" if self.secure else "http"
        address = f"{scheme}://127.0.0.1:{self.port}"
        return httpx.AsyncClient(transport=transport, base_url=address, timeout=60)

    def websocket(self) -> Any:
        uri = f"{'wss' if self.secure else 'ws'}://127.0.0.1:{self.port}/echo"
        trust = {"ssl": client_context()} if self.secure else {}
        if self.path:
            return websockets.unix_connect(self.path, uri)
        return websockets.connect(uri, **trust)


@contextlib.asynccontextmanager
async def uvicorn_serving(site: Site) -> AsyncIterator[Site]:
    options: dict[str, Any] = {"uds": site.path} if site.path else {"host": "127.0.0.1", "port": 0}
    if site.secure:
        options |= {"ssl_certfile": CERTIFICATE, "ssl_keyfile": KEY}
    config = uvicorn.Config(
        site.app, lifespan="on", log_level="warning", ws="websockets-sansio", **options
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not (server.started or task.done()):
        await asyncio.sleep(0)
    try:
        port = 0 if site.path else server.servers[0].sockets[0].getsockname()[1]
        yield site._replace(port=port)
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def hypercorn_serving(site: Site) -> AsyncIterator[Site]:
    config = hypercorn_config.Config()
    config.bind = [f"unix:{site.path}" if site.path else "127.0.0.1:0"]
    config.errorlog = errors = logging.getLogger("hypercorn.of.this.test")
    ready = asyncio.get_running_loop().create_future()
    errors.setLevel(logging.INFO)
    if site.secure:
        config.certfile, config.keyfile = str(CERTIFICATE), str(KEY)

    def note(record: logging.LogRecord) -> bool:
        """It tells its port nowhere but in its log."""
        if "Running on" in record.getMessage() and not ready.done():
            ready.set_result(record.getMessage().split()[2])
        return False

    errors.addFilter(note)
    end = asyncio.Event()
    task = asyncio.ensure_future(hypercorn.serve(site.app, config, shutdown_trigger=end.wait))
    try:
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        port = 0 if site.path else int(ready.result().rpartition(":")[2])
        yield site._replace(port=port)
    finally:
        errors.removeFilter(note)
        end.set()
        await task


SERVERS = {"uvicorn": uvicorn_serving, "hypercorn": hypercorn_serving}


@pytest.fixture(params=["tcp", "tls", "unix"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SERVERS)
def serving(request: pytest.FixtureRequest, way: str, tmp_path: Path) -> Any:
    """One of the servers, not yet started, with the way to it."""
    path = str(tmp_path / "asgi.sock") if way == "unix" else ""
    return SERVERS[request.param](Site(application(), 0, path, way == "tls"))


async def test_the_application_runs_on_the_loop_within_its_lifespan(serving: Any) -> None:
    async with serving as site, site.client() as client:
        about = (await client.get("/about")).json()
        assert about == {"loop": id(asyncio.get_running_loop()), "http": "1.1"}
        assert site.app.state.events == ["startup"]
    assert site.app.state.events == ["startup", "shutdown"]


async def test_requests_at_once_each_get_their_own_answer(serving: Any) -> None:
    async with serving as site, site.client() as client:
        answers = await asyncio.gather(*[client.get(f"/thread/{n}") for n in range(40)])
    assert [answer.json() for answer in answers] == list(range(40))


async def test_bodies_are_streamed_both_ways(serving: Any) -> None:
    data = os.urandom(MEGABYTE)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield data

    async with serving as site, site.client() as client:
        answer = await client.post("/digest", content=parts())
        assert answer.json() == hashlib.sha256(data * 3).hexdigest()
        answer = await client.get("/download/3")
        assert answer.content == b"".join(bytes([n]) * MEGABYTE for n in range(3))


async def test_websockets_talk_beside_requests(serving: Any) -> None:
    async def talk(site: Site, name: str) -> None:
        async with site.websocket() as socket:
            for number in range(10):
                await socket.send(f"{name} {number}")
                assert await socket.recv() == f"{name} {number}"

    async with serving as site, site.client() as client:
        asked = asyncio.ensure_future(client.get("/download/1"))
        await asyncio.gather(*[talk(site, str(name)) for name in range(10)])
        assert len((await asked).content) == MEGABYTE


async def test_http_2_is_agreed_upon_in_the_handshake(tmp_path: Path) -> None:
    site = Site(application(), 0, "", secure=True)
    async with hypercorn_serving(site) as site, site.client(http2=True) as client:
        answers = await asyncio.gather(*[client.get(f"/thread/{n}") for n in range(40)])
        assert [answer.json() for answer in answers] == list(range(40))
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        answer = await client.get("/download/2")
        assert answer.content == b"".join(bytes([n]) * MEGABYTE for n in range(2))
