"""WebSockets over TLS."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.net.tls_wire import LOCALHOST, client_context
from tests.web.conftest import raw_connection, serving
from treadle.web import WebSocketProtocol, websocket

SECURE = {"ssl_certfile": LOCALHOST, "ssl_keyfile": LOCALHOST.with_suffix(".key")}
ACCEPT = {"type": "websocket.accept"}


def trusting(address):
    return connect(
        f"wss://{address}", ssl=client_context(), server_hostname="localhost", proxy=None
    )


def test_messages_come_back_and_the_scheme_is_wss(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": scope["scheme"]})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": event["bytes"]})

    async def main():
        async with serving(app, **SECURE) as address, trusting(address) as client:
            assert await client.recv() == "wss"
            for size in (0, 1, 300_000):
                await client.send(bytes(size))
                assert await client.recv() == bytes(size)

    run(main)


def test_the_application_closes_with_its_code(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4321, "reason": "enough"})

    async def main():
        async with serving(app, **SECURE) as address, trusting(address) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
        assert caught.value.rcvd.code == 4321

    run(main)


def test_a_peer_that_vanishes_ends_the_application(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        heard.put_nowait((await receive())["code"])

    async def main():
        async with serving(app, **SECURE) as address:
            _, writer = await raw_connection(
                address, ssl=client_context(), server_hostname="localhost"
            )
            writer.transport.abort()
            assert await heard.get() == 1006

    heard = asyncio.Queue()
    run(main)


def test_a_peer_that_never_reads_is_gone_soon_after_its_application(run, monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.02)

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        frame = WebSocketProtocol.frame(bytes(60_000), text=False)
        while line.writable:
            line.write(frame)
        lines.put_nowait(line)

    async def main():
        async with serving(app, **SECURE) as address:
            _, writer = await raw_connection(
                address, ssl=client_context(), server_hostname="localhost"
            )
            writer.transport.pause_reading()
            line = await lines.get()
            while line._transport is not None:
                await asyncio.sleep(0.001)
            writer.transport.abort()

    lines = asyncio.Queue()
    run(main)
