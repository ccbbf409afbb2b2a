"""The endpoints behind real servers and in frameworks, with a real client."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.hub.asgi.serving import SERVERS, UVICORN, serving, talking, uvicorn_serving
from treadle.hub import (
    NO_HISTORY,
    Code,
    Hub,
    Limits,
    RoomOptions,
    javascript_client,
)
from treadle.hub.asgi import EventsEndpoint, WebSocketEndpoint
from treadle.hub.asgi import websocket as module


def bare(hub):
    async def app(scope, receive, send):
        endpoint = WebSocketEndpoint if scope["type"] == "websocket" else EventsEndpoint
        await endpoint(hub)(scope, receive, send)

    return app


def starlette(hub):
    return Starlette(
        routes=[
            WebSocketRoute("/hub", WebSocketEndpoint(hub)),
            Route("/events", EventsEndpoint(hub)),
            Route("/treadle-hub.js", lambda request: FileResponse(javascript_client())),
        ]
    )


def fastapi(hub):
    app = FastAPI()
    app.router.routes.append(WebSocketRoute("/hub", WebSocketEndpoint(hub)))
    app.router.routes.append(Route("/events", EventsEndpoint(hub)))
    return app


FRAMEWORKS = [bare, starlette, fastapi]


async def closed(talk):
    """The code with which a connection is closed, after whatever else comes."""
    try:
        while True:
            await talk.socket.recv()
    except ConnectionClosed as end:
        return end.rcvd.code


@pytest.mark.parametrize("server", SERVERS)
async def test_a_message_goes_from_one_client_to_another(server):
    async with Hub() as hub, serving(server, bare(hub)) as address:
        async with talking(address) as ada, talking(address) as bob:
            for talk in (ada, bob):
                await talk.ask("join", room="chat")
            await ada.ask("publish", room="chat", data="hello")
            assert (await bob.frame("message"))["data"] == "hello"


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_framework_serves_both_endpoints(framework):
    async with Hub() as hub, uvicorn_serving(framework(hub)) as address:
        async with talking(address) as ada, httpx.AsyncClient() as http:
            url = f"http://{address}/events?room=chat"
            async with http.stream("GET", url, follow_redirects=True) as response:
                lines = response.aiter_lines()
                assert await anext(lines) == "event: joined"
                await ada.ask("join", room="chat")
                await ada.ask("publish", room="chat", data="hello")
                while '"data":"hello"' not in await anext(lines):
                    pass


@pytest.mark.parametrize("server", SERVERS)
async def test_a_foreign_page_gets_403(server):
    async with Hub() as hub, serving(server, bare(hub)) as address:
        with pytest.raises(InvalidStatus) as caught:
            async with talking(address, origin="https://evil.example"):
                pass
        assert caught.value.response.status_code == 403


@pytest.mark.parametrize("server", SERVERS)
async def test_bad_clients_are_closed_with_their_codes_while_another_goes_on(server):
    limits = Limits(max_message=1000, rate=1, burst=20)
    async with Hub(limits=limits) as hub, serving(server, bare(hub)) as address:
        async with (
            talking(address) as good,
            talking(address) as oversized,
            talking(address) as malformed,
            talking(address) as flooding,
        ):
            await good.ask("join", room="chat")
            await oversized.socket.send("x" * 2000)
            await malformed.socket.send("{")
            for _ in range(30):
                await flooding.socket.send('{"type": "ping"}')
            assert await closed(oversized) == Code.TOO_LARGE
            assert await closed(malformed) == Code.MALFORMED
            assert await closed(flooding) == Code.FLOODING
            await good.ask("publish", room="chat", data="on")


@pytest.mark.parametrize("server", UVICORN)
async def test_a_client_that_never_reads_is_closed_and_delays_nobody(server, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.01)
    limits = Limits(queue_messages=50)
    rooms = {"*": RoomOptions(history=NO_HISTORY, when_full="disconnect")}
    async with Hub(limits=limits, rooms=rooms) as hub, serving(server, bare(hub)) as address:
        async with talking(address) as good:
            await good.ask("join", room="chat")
            deaf = await never_reading(address)
            while hub.stats().subscriptions < 2:
                await asyncio.sleep(0)
            for number in range(2000):
                await hub.publish("chat", [number, "x" * 10_000])
                assert (await good.frame("message"))["data"][0] == number
                if Code.SLOW in hub.stats().disconnected:
                    break
            assert hub.stats().disconnected == {Code.SLOW: 1}
            assert hub.stats().queue_high_water <= 50
            deaf.close()


async def never_reading(address):
    """A socket that joined a room and takes nothing more than its kernel does."""
    host, _, port = address.partition(":")
    loop = asyncio.get_running_loop()
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    await loop.sock_connect(line, (host, int(port)))
    await loop.sock_sendall(
        line,
        b"GET /hub HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += await loop.sock_recv(line, 1)
    frame = b'{"type":"join","id":1,"room":"chat"}'
    await loop.sock_sendall(line, bytes([0x81, 0x80 | len(frame)]) + bytes(4) + frame)
    return line


@pytest.mark.parametrize("server", SERVERS)
async def test_a_hub_that_closes_tells_its_clients(server):
    hub = Hub()
    await hub.start()
    async with serving(server, bare(hub)) as address, talking(address) as talk:
        await talk.ask("ping")
        await hub.close()
        assert await closed(talk) == Code.GOING_AWAY


# hypercorn does not close WebSockets when it stops; it waits until their clients do
@pytest.mark.parametrize("server", UVICORN)
async def test_a_server_that_stops_leaves_no_connection(server):
    async with Hub() as hub:
        async with serving(server, bare(hub)) as address:
            talk = talking(address)
            client = await talk.__aenter__()
            await client.ask("join", room="chat")
        while hub.stats().connections:
            await asyncio.sleep(0)
        await talk.__aexit__(None, None, None)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_whose_network_breaks_leaves_its_rooms(server):
    async with Hub() as hub, serving(server, bare(hub)) as address:
        async with talking(address) as talk:
            await talk.ask("join", room="chat")
            talk.socket.transport.abort()
            while hub.stats().connections:
                await asyncio.sleep(0)


@pytest.mark.parametrize("server", UVICORN)
async def test_a_thousand_messages_arrive_in_order(server):
    rooms = {"*": RoomOptions(when_full="catch_up")}
    async with Hub(rooms=rooms, limits=Limits(queue_messages=20)) as hub:
        async with serving(server, bare(hub)) as address, talking(address) as talk:
            await talk.ask("join", room="chat")
            for number in range(1000):
                await hub.publish("chat", number)
            seen = [(await talk.frame("message"))["data"] for _ in range(1000)]
            assert seen == list(range(1000))


async def test_the_client_is_served_as_a_module():
    async with Hub() as hub, uvicorn_serving(starlette(hub)) as address:
        async with httpx.AsyncClient() as http:
            response = await http.get(f"http://{address}/treadle-hub.js")
            assert "javascript" in response.headers["content-type"]
            assert "export function connect" in response.text
