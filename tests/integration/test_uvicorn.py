"""uvicorn serves a FastAPI application on treadle, in this process and as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import treadle
from tests.net.wire import open_descriptors

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
connect = pytest.importorskip("websockets.asyncio.client").connect

APP = """
import asyncio
import contextlib
import hashlib

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

import treadle

events = []


def running_on_treadle():
    return type(asyncio.get_running_loop()) is treadle.Loop


@contextlib.asynccontextmanager
async def lifespan(app):
    assert running_on_treadle()
    events.append("startup")
    yield
    assert running_on_treadle()
    events.append("shutdown")
    print("the lifespan has ended", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def root():
    return {"treadle": running_on_treadle(), "events": events}


@app.get("/thread")
def in_a_thread():
    return {"in": "a thread"}


@app.post("/upload")
async def upload(request: Request):
    digest = hashlib.sha256()
    async for part in request.stream():
        digest.update(part)
    return {"sha256": digest.hexdigest()}


@app.get("/download")
async def download(chunks: int):
    async def parts():
        for number in range(chunks):
            yield b"%06d" % number * 1000

    return StreamingResponse(parts())


@app.websocket("/ws/{name}")
async def talk(socket: WebSocket, name: str):
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"{name} says {await socket.receive_text()}")
    except WebSocketDisconnect as exc:
        events.append(f"{name} left with {exc.code}")
"""


class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
    """uvicorn's server with a future that is done when it has bound its port."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bound = asyncio.get_running_loop().create_future()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self.bound.set_result(self.servers[0].sockets[0].getsockname()[1])


@pytest.fixture
def application() -> dict[str, Any]:
    """The application's module, executed anew."""
    module: dict[str, Any] = {"__name__": "application"}
    exec(compile(APP, "application", "exec"), module)
    return module


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        lifespan="on",
        log_level="warning",
        ws="websockets-sansio",  # the default one is deprecated by the websockets library
    )
    server = Server(config)
    task = asyncio.ensure_future(server.serve())
    await asyncio.wait([task, server.bound], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"127.0.0.1:{server.bound.result()}"
    finally:
        server.should_exit = True
        await task


def serve_and(main: Any, application: dict[str, Any]) -> None:
    """Run ``main(address)`` beside the server; afterwards nothing may be open."""

    async def both() -> None:
        async with serving(application["app"]) as address:
            await main(address)

    before = open_descriptors()
    treadle.run(both())
    assert set(open_descriptors()) <= set(before)


# in this process ------------------------------------------------------------------------------


def test_the_lifespan_surrounds_the_requests(application: dict[str, Any]) -> None:
    async def main(address: str) -> None:
        assert application["events"] == ["startup"]
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{address}/")
        assert answer.json() == {"treadle": True, "events": ["startup"]}

    serve_and(main, application)
    assert application["events"] == ["startup", "shutdown"]


def test_blocking_routes_run_in_threads(application: dict[str, Any]) -> None:
    async def main(address: str) -> None:
        async with httpx.AsyncClient() as client:
            answers = await asyncio.gather(
                *[client.get(f"http://{address}/thread") for _ in range(20)]
            )
        assert [answer.json() for answer in answers] == [{"in": "a thread"}] * 20

    serve_and(main, application)


def test_websockets_carry_messages_to_whom_they_are_for(application: dict[str, Any]) -> None:
    async def main(address: str) -> None:
        async def visit(name: str) -> None:
            async with connect(f"ws://{address}/ws/{name}", proxy=None) as socket:
                for number in range(20):
                    await socket.send(f"hello {number}")
                    assert await socket.recv() == f"{name} says hello {number}"

        names = [f"guest-{number}" for number in range(20)]
        await asyncio.gather(*map(visit, names))

    serve_and(main, application)
    left = {event for event in application["events"] if "left" in event}
    assert left == {f"guest-{number} left with 1000" for number in range(20)}


def test_a_large_message_comes_back_whole(application: dict[str, Any]) -> None:
    async def main(address: str) -> None:
        text = "wörter " * 100_000
        async with connect(f"ws://{address}/ws/x", proxy=None, max_size=None) as socket:
            await socket.send(text)
            assert await socket.recv() == f"x says {text}"

    serve_and(main, application)


# as a program of its own ----------------------------------------------------------------------


@pytest.fixture(params=["default", "selector"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, str]]:
    """``python -m uvicorn`` with treadle's loop, and the address on which it listens."""
    (tmp_path / "application.py").write_text(APP)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    if request.param != "default":
        environment["TREADLE_DRIVER"] = request.param
    options = ["--loop", "treadle:new_event_loop", "--host", "127.0.0.1", "--port", "0"]
    command = [sys.executable, "-m", "uvicorn", "application:app", *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            seen = ""
            for line in process.stderr:
                seen += line
                if found := re.search(r"running on http://(127\.0\.0\.1:\d+)", line):
                    break
            else:
                pytest.fail(f"uvicorn did not start:\n{seen}")
            yield process, found[1]
        finally:
            process.kill()


def test_a_program_serves_and_ends_cleanly_on_ctrl_c(program: tuple[Any, str]) -> None:
    process, address = program

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{address}/")
            assert answer.json()["treadle"] is True
        async with connect(f"ws://{address}/ws/me", proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "me says hello"

    treadle.run(main())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "the lifespan has ended" in out
    assert "Finished server process" in err
    assert "Traceback" not in err


def test_a_program_ends_on_ctrl_c_while_a_websocket_is_open(program: tuple[Any, str]) -> None:
    process, address = program

    async def main() -> None:
        async with connect(f"ws://{address}/ws/me", proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "me says hello"
            process.send_signal(signal.SIGINT)
            await socket.wait_closed()
            assert socket.close_code == 1012  # service restart

    treadle.run(main())
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "the lifespan has ended" in out
