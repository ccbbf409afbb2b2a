"""Servers that people run, as they would write them: over HTTP, over WebSockets, and a proxy.

Each of `APPLICATIONS` starts one on the running loop and returns the port at which it is to be
found. They take everything from the libraries that they are made of and from asyncio; what a loop
puts in asyncio's place (`bench.loops.settle`) was put there before. A missing library raises
ModuleNotFoundError.

All of them are given an address, not a socket: the sockets that asyncio makes itself are those for
which it turns Nagle's algorithm off, without which a response in two parts takes 40 ms.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bench.echoes import BACKLOG, HOST

READ_SIZE = 65536
HELLO = b"Hello, world!"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_kept: list[object] = []
"""What serves until the process ends."""


def _port(server: Any) -> int:
    _kept.append(server)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def hello(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The least ASGI program that answers."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(HELLO))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HELLO})


async def _uvicorn(app: Any) -> int:
    """One worker, with the parser of httptools and nothing written to a log."""
    import httptools  # noqa: F401 -- to say that it is missing, before uvicorn does at length
    import uvicorn

    config = uvicorn.Config(
        app,
        host=HOST,
        port=0,
        backlog=BACKLOG,
        loop="none",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    _kept.append(asyncio.create_task(server.serve()))
    while not server.started:
        await asyncio.sleep(0.01)
    return _port(server.servers[0])


async def uvicorn_hello(argument: str) -> int:
    return await _uvicorn(hello)


async def fastapi_json(argument: str) -> int:
    """A model with four fields, validated and written as JSON."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Item(BaseModel):
        id: int
        name: str
        price: float
        tags: list[str]

    app = FastAPI()

    @app.get("/items/{number}")
    async def read(number: int) -> Item:
        return Item(id=number, name=f"item {number}", price=number / 4, tags=["a", "b", "c"])

    return await _uvicorn(app)


async def aiohttp_hello(argument: str) -> int:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=HELLO, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, backlog=BACKLOG).start()
    _kept.append(runner)
    port: int = runner.addresses[0][1]
    return port


async def websockets_broadcast(argument: str) -> int:
    """What one client says goes to all, itself included."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    present: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        present.add(connection)
        try:
            async for message in connection:
                broadcast(present, message)
        finally:
            present.remove(connection)

    return _port(await serve(handle, HOST, 0, backlog=BACKLOG))


async def tcp_proxy(argument: str) -> int:
    """Every connection is handed on to the port that the argument names, by streams."""
    port = int(argument)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(READ_SIZE):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        further_reader, further_writer = await asyncio.open_connection(HOST, port)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, further_writer))
            group.create_task(pump(further_reader, writer))

    return _port(await asyncio.start_server(handle, HOST, 0, backlog=BACKLOG))


class Page(asyncio.Protocol):
    """One connection to the website."""

    __slots__ = ("site", "transport")

    def __init__(self, site: "Website") -> None:
        self.site = site

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        # a crawler asks for one page at a time, in one segment
        number = int(data.split(b" ", 2)[1].rpartition(b"/")[2] or b"0")
        delay, response = self.site.page(number)
        self.site.loop.call_later(delay, self.answer, response)

    def answer(self, response: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(response)


class Website:
    """Pages that link to each other and come after a random while; the same at each start."""

    CHILDREN = 10
    """Links on a page that lead further on; so that each page is linked to, from one at least."""
    ELSEWHERE = 5
    """Links on a page that lead anywhere."""

    def __init__(self, pages: int, most_seconds: float, seed: int) -> None:
        import random

        chance = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self._delays = [chance.uniform(0, most_seconds) for _ in range(pages)]
        self._responses = [self._response(number, pages, chance) for number in range(pages)]

    def page(self, number: int) -> tuple[float, bytes]:
        """How long to wait, and what to answer."""
        return self._delays[number], self._responses[number]

    def _response(self, number: int, pages: int, chance: Any) -> bytes:
        first = number * self.CHILDREN + 1
        links = [link for link in range(first, first + self.CHILDREN) if link < pages]
        links += [chance.randrange(pages) for _ in range(self.ELSEWHERE)]
        chance.shuffle(links)
        body = "".join(f'<p>More on <a href="/{link}">page {link}</a>.</p>\n' for link in links)
        body = f"<html><title>Page {number}</title><body>\n{body}</body></html>\n"
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def website(argument: str) -> int:
    """What a crawler crawls; the argument is JSON: pages, most_seconds and seed."""
    site = Website(**json.loads(argument))
    return _port(await site.loop.create_server(lambda: Page(site), HOST, 0, backlog=BACKLOG))


APPLICATIONS: dict[str, Callable[[str], Awaitable[int]]] = {
    "uvicorn_hello": uvicorn_hello,
    "fastapi_json": fastapi_json,
    "aiohttp_hello": aiohttp_hello,
    "websockets_broadcast": websockets_broadcast,
    "tcp_proxy": tcp_proxy,
    "website": website,
}
