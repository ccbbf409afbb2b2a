"""How connections end when one side does not play along, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct

import pytest

from tests.web.conftest import deaf_peer, masked, opening, raw_connection, serving
from treadle.web import WebSocketProtocol, keepalive, websocket

ACCEPT = {"type": "websocket.accept"}


@pytest.fixture
def impatient(monkeypatch):
    """Connections that ought to end are given little time for it."""
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.02)


def fill(line):
    """Write until the transport wants no more."""
    frame = WebSocketProtocol.frame(bytes(60_000), text=False)
    while line.writable:
        line.write(frame)


async def gone(line):
    while line._transport is not None:
        await asyncio.sleep(0.001)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_peer_that_never_reads_is_gone_soon_after_its_application(run, how):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        fill(line)
        lines.put_nowait(line)
        if how == "raises":
            raise LookupError("no such thing")

    async def main():
        async with serving(app) as address:
            with await deaf_peer(address):
                await gone(await lines.get())

    lines = asyncio.Queue()
    run(main)


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_says_it_is_done_and_never_reads_is_gone_soon(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        fill(line)
        lines.put_nowait(line)
        await receive()

    async def main():
        async with serving(app) as address:
            with await deaf_peer(address) as peer:
                line = await lines.get()
                peer.shutdown(socket.SHUT_WR)
                await gone(line)

    lines = asyncio.Queue()
    run(main)


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_never_reads_does_not_hold_up_a_stopping_server(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        fill(scope["extensions"]["treadle.websocket"])
        full.set()
        await receive()

    async def main():
        async with serving(app) as address:
            peer = await deaf_peer(address)
            await full.wait()
        peer.close()

    full = asyncio.Event()
    run(main)


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_neither_reads_nor_answers_pings_is_given_up(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        fill(scope["extensions"]["treadle.websocket"])
        heard.put_nowait(await receive())

    async def main():
        async with serving(app, ws_ping_interval=0.02, ws_ping_timeout=0.02) as address:
            with await deaf_peer(address):
                assert (await heard.get())["code"] == 1011

    heard = asyncio.Queue()
    run(main)


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_does_not_answer_a_close_frame_is_cut_off(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4000})

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            assert await reader.readexactly(4) == b"\x88\x02" + struct.pack("!H", 4000)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()

    run(main)


def test_an_application_that_just_returns_waits_for_the_peers_answer(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            assert await reader.readexactly(4) == b"\x88\x02\x03\xe8"
            writer.write(masked(0x1, b"too late"))
            writer.write(masked(0x8, b"\x03\xe8"))
            assert await reader.read() == b""
            writer.close()

    run(main)


def test_a_peer_that_goes_before_it_is_accepted_ends_the_application_quietly(run, caplog):
    async def app(scope, receive, send):
        await receive()
        asked.set()
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send(ACCEPT)
        finally:
            ended.set()

    async def main():
        async with serving(app, log_level="error") as address:
            host, port = address.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(opening())
            await asked.wait()
            writer.transport.abort()
            await ended.wait()

    asked, ended = asyncio.Event(), asyncio.Event()
    run(main)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_server_that_stops_before_a_peer_is_accepted_answers_500(run):
    async def app(scope, receive, send):
        await receive()
        asked.set()
        heard.append(await receive())
        try:
            await send(ACCEPT)
        except OSError:
            heard.append("cannot accept")

    async def main():
        async with serving(app) as address:
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(opening())
            await asked.wait()
        assert (await reader.read()).startswith(b"HTTP/1.1 500")
        writer.close()

    asked, heard = asyncio.Event(), []
    run(main)
    assert heard[0]["type"] == "websocket.disconnect"
    assert heard[1:] == ["cannot accept"]


def test_an_application_that_is_cancelled_says_goodbye(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        asyncio.current_task().cancel()
        await receive()

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            assert await reader.readexactly(4) == b"\x88\x02\x03\xf3"
            writer.write(masked(0x8, b"\x03\xf3"))
            assert await reader.read() == b""
            writer.close()

    run(main)


@pytest.mark.treadle_only  # asyncio loses a connection twice that is aborted here
def test_a_callback_may_end_the_connection_that_has_become_writable(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        fill(line)
        line.on_writable(lambda: line._transport and line._transport.abort())
        full.set()
        heard.append((await receive())["code"])

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            await full.wait()
            try:
                await reader.read()
            except ConnectionError:
                pass  # it was reset
            writer.close()

    full, heard = asyncio.Event(), []
    run(main)
    assert heard == [1006]


def test_the_keepalive_is_forgotten_with_its_server(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()

    async def main():
        async with serving(app) as address:
            _, writer = await raw_connection(address)
            assert len(keepalive._keepalives) == 1
            writer.close()

    gc.collect()
    run(main)
    gc.collect()
    assert not keepalive._keepalives
