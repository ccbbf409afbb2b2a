"""Web programs on the loop, continued: silence, farewells, chunked answers, `treadle run`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Handler

aiohttp = pytest.importorskip("aiohttp")
web = pytest.importorskip("aiohttp.web")
httpx = pytest.importorskip("httpx")
anyio = pytest.importorskip("anyio")

PATIENCE = 60  # seconds that a process may take

every_driver = pytest.mark.every_driver


# aiohttp --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def aiohttp_serving(handler: Any, patience: float) -> AsyncIterator[tuple[Any, str]]:
    """A server that gives its handlers `patience` seconds to end when it shuts down."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner, "http://{}:{}/".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@every_driver
def test_aiohttp_gives_up_on_a_handler_that_never_answers(loop: Any) -> None:
    async def silent(request: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=0.01)
        # the handler is cancelled at shutdown; 0 would wait for it for ever
        async with aiohttp_serving(silent, 0.01) as (_, url), aiohttp.ClientSession() as client:
            with pytest.raises(TimeoutError):
                await client.get(url, timeout=timeout)

    loop.run_until_complete(main())


@every_driver
def test_aiohttp_answers_the_request_that_is_under_way_when_it_shuts_down(loop: Any) -> None:
    async def slow(request: Any) -> Any:
        begun.set()
        await may_answer.wait()
        return web.Response(text="finished")

    async def main() -> None:
        async with (
            aiohttp_serving(slow, PATIENCE) as (runner, url),
            aiohttp.ClientSession() as client,
        ):
            asked = asyncio.ensure_future(client.get(url))
            await begun.wait()
            shutdown = asyncio.ensure_future(runner.cleanup())
            while runner.sites:  # until it listens no more
                await asyncio.sleep(0)
            with pytest.raises(aiohttp.ClientConnectorError):
                await client.get(url)
            may_answer.set()
            async with await asked as response:
                assert await response.text() == "finished"
            await shutdown

    begun, may_answer = asyncio.Event(), asyncio.Event()
    loop.run_until_complete(main())


# httpx ----------------------------------------------------------------------------------------


async def chunked_service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request on the connection with its path, in three chunks."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"%x\r\n%b\r\n" % (len(path), path))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
    except asyncio.IncompleteReadError:
        pass  # the client hung up
    finally:
        writer.close()


@every_driver
def test_httpx_puts_chunked_answers_together_over_anyio(loop: Any) -> None:
    async def main() -> None:
        handler = Handler(chunked_service)
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, httpx.AsyncClient() as client:
            answers: dict[int, str] = {}

            async def ask(number: int) -> None:
                answers[number] = (await client.get(f"{url}/{number}")).text

            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(ask, number)
        await handler.finished()
        assert answers == {number: f"/{number}" * 3 for number in range(50)}

    loop.run_until_complete(main())


@every_driver
def test_anyio_runs_httpx_on_the_loop_that_it_is_told_to(loop_factory: Callable[[], Any]) -> None:
    async def main() -> str:
        handler = Handler(chunked_service)
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        async with server, httpx.AsyncClient() as client:
            assert (await client.get(url)).text == "/x/x/x"
        await handler.finished()
        return type(asyncio.get_running_loop()).__name__

    def factory() -> Any:
        made.append(loop_factory())
        return made[-1]

    made: list[Any] = []
    options = {"loop_factory": factory}
    assert anyio.run(main, backend="asyncio", backend_options=options) == type(made[0]).__name__


# programs -------------------------------------------------------------------------------------

TINY = """
import asyncio
from aiohttp import ClientSession, web

async def hello(request):
    return web.json_response({"loop": type(asyncio.get_running_loop()).__module__})

async def main():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        async with client.get("http://{}:{}/".format(*runner.addresses[0])) as response:
            print((await response.json())["loop"])
    await runner.cleanup()

asyncio.run(main())
"""

SERVED = """
import asyncio, contextlib
from fastapi import FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    print("the lifespan has ended", flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def root():
    return {"loop": type(asyncio.get_running_loop()).__module__.partition(".")[0]}
"""


def environment(folder: Path) -> dict[str, str]:
    return dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), *filter(None, sys.path)]))


@pytest.mark.parametrize(
    ("launcher", "loop_module"),
    [((), "asyncio.unix_events"), (("-m", "treadle", "run"), "treadle")],
    ids=["python", "treadle run"],
)
def test_an_aiohttp_script_runs_unchanged(
    tmp_path: Path, launcher: tuple[str, ...], loop_module: str
) -> None:
    pytest.importorskip("click")
    script = tmp_path / "tiny.py"
    script.write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *launcher, str(script)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().partition(".")[0] == loop_module.partition(".")[0]


@contextlib.contextmanager
def uvicorn_process(folder: Path, loop: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    (folder / "served.py").write_text(SERVED)
    options = ["--loop", loop, "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "served:app", *options],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                    yield process, found[1]
                    return
            pytest.fail("uvicorn did not start")
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_uvicorn_ends_by_a_signal_as_it_does_on_asyncio(tmp_path: Path, number: int) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    ends = {}
    for loop, module in (("asyncio", "asyncio"), ("treadle:new_event_loop", "treadle")):
        with uvicorn_process(tmp_path, loop) as (process, url):
            assert httpx.get(url, trust_env=False).json() == {"loop": module}
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
            assert "Traceback" not in err
            ends[module] = (process.returncode, out.splitlines()[-1])
    assert ends["treadle"] == ends["asyncio"]
    assert ends["treadle"][1] == "the lifespan has ended"
