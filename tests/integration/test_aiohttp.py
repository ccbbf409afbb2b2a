"""aiohttp, server and client, on the loop: requests, streaming both ways, WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import treadle
from tests.net.wire import open_descriptors

aiohttp = pytest.importorskip("aiohttp")
web = pytest.importorskip("aiohttp.web")

pytestmark = pytest.mark.every_driver

ROOM = web.AppKey("room", set)
CHUNK = bytes(range(256)) * 256


@pytest.fixture
def run(loop_factory: Callable[[], Any]) -> Callable[..., None]:
    """Runs ``main(client, url)`` beside the server; afterwards nothing may be open."""

    def run(main: Callable[..., Any]) -> None:
        before = open_descriptors()
        failures: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))
            runner.run(beside_server(main))
        gc.collect()
        assert failures == []
        assert set(open_descriptors()) <= set(before)

    return run


async def beside_server(main: Callable[..., Any]) -> None:
    async with serving() as url, aiohttp.ClientSession() as client:
        await main(client, url)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    app = web.Application(client_max_size=0)
    app.router.add_get("/hello/{name}", hello)
    app.router.add_post("/sum", add)
    app.router.add_put("/upload", upload)
    app.router.add_get("/download", download)
    app.router.add_get("/echo", echo)
    app.router.add_get("/room", room)
    app[ROOM] = set()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def hello(request: Any) -> Any:
    loop = type(asyncio.get_running_loop())
    return web.json_response({"hello": request.match_info["name"], "loop": loop.__module__})


async def add(request: Any) -> Any:
    return web.json_response({"sum": sum((await request.json())["numbers"])})


async def upload(request: Any) -> Any:
    digest = hashlib.sha256()
    size = 0
    async for part in request.content.iter_any():
        digest.update(part)
        size += len(part)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


async def download(request: Any) -> Any:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query["chunks"])):
        await response.write(CHUNK)
    await response.write_eof()
    return response


async def echo(request: Any) -> Any:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


async def room(request: Any) -> Any:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    members = request.app[ROOM]
    members.add(socket)
    async for message in socket:
        for member in list(members):
            await member.send_str(message.data)
    members.discard(socket)
    return socket


def test_json_comes_back_from_the_loop_under_test(
    run: Callable[..., None], loop_factory: Callable[[], Any]
) -> None:
    async def main(client: Any, url: str) -> None:
        async with client.get(f"{url}/hello/world") as response:
            assert response.status == 200
            answer = await response.json()
        ours = isinstance(asyncio.get_running_loop(), treadle.Loop)
        assert answer["hello"] == "world"
        assert (answer["loop"] == "treadle") is ours
        assert ours is (loop_factory is not asyncio.SelectorEventLoop)

    run(main)


def test_one_connection_carries_many_requests(run: Callable[..., None]) -> None:
    async def main(client: Any, url: str) -> None:
        for number in range(50):
            async with client.post(f"{url}/sum", json={"numbers": [number, 1]}) as response:
                assert await response.json() == {"sum": number + 1}
        async with client.get(f"{url}/nowhere") as response:
            assert response.status == 404

    run(main)


def test_many_requests_at_once_each_get_their_own_answer(run: Callable[..., None]) -> None:
    async def main(client: Any, url: str) -> None:
        async def ask(number: int) -> None:
            async with client.get(f"{url}/hello/{number}") as response:
                assert (await response.json())["hello"] == str(number)

        await asyncio.gather(*map(ask, range(200)))

    run(main)


def test_an_upload_is_streamed(run: Callable[..., None]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(60):
            yield CHUNK
            if number % 10 == 0:
                await asyncio.sleep(0)

    async def main(client: Any, url: str) -> None:
        async with client.put(f"{url}/upload", data=parts()) as response:
            answer = await response.json()
        assert answer["size"] == 60 * len(CHUNK)
        assert answer["sha256"] == hashlib.sha256(CHUNK * 60).hexdigest()

    run(main)


def test_a_download_is_streamed_to_a_slow_reader(run: Callable[..., None]) -> None:
    async def main(client: Any, url: str) -> None:
        digest = hashlib.sha256()
        async with client.get(f"{url}/download", params={"chunks": 60}) as response:
            async for part in response.content.iter_chunked(10_000):
                digest.update(part)
                await asyncio.sleep(0)
        assert digest.digest() == hashlib.sha256(CHUNK * 60).digest()

    run(main)


def test_a_client_that_goes_away_during_a_download_leaves_nothing_open(
    run: Callable[..., None],
) -> None:
    async def main(client: Any, url: str) -> None:
        async with client.get(f"{url}/download", params={"chunks": 10_000}) as response:
            assert await response.content.readexactly(len(CHUNK)) == CHUNK
            response.close()

    run(main)


def test_a_websocket_echoes_text_and_bytes_of_every_size(run: Callable[..., None]) -> None:
    async def main(client: Any, url: str) -> None:
        async with client.ws_connect(f"{url}/echo") as socket:
            for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
                await socket.send_str("x" * size)
                assert await socket.receive_str() == "x" * size
                await socket.send_bytes(bytes(size))
                assert await socket.receive_bytes() == bytes(size)
            await socket.close()
            assert socket.close_code == aiohttp.WSCloseCode.OK

    run(main)


def test_a_room_of_websockets_hears_everything_that_is_said(run: Callable[..., None]) -> None:
    members, words = 20, 5

    async def main(client: Any, url: str) -> None:
        async def member(name: int) -> list[str]:
            async with client.ws_connect(f"{url}/room") as socket:
                await everybody_is_there.wait()
                for number in range(words):
                    await socket.send_str(f"{name}:{number}")
                heard = [await socket.receive_str() for _ in range(members * words)]
                await everybody_has_heard.wait()
                return heard

        everybody_is_there = asyncio.Barrier(members)
        everybody_has_heard = asyncio.Barrier(members)
        said = {f"{name}:{number}" for name in range(members) for number in range(words)}
        for heard in await asyncio.gather(*map(member, range(members))):
            assert len(heard) == len(said)
            assert set(heard) == said

    run(main)
