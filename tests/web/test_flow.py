"""How much is read ahead and written ahead, and who waits."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.conftest import deaf_peer, masked, opening, raw_connection, serving
from treadle.web import WebSocketProtocol
from treadle.web.keepalive import SLICES
from treadle.web.websocket import LARGE, READ_AHEAD

ACCEPT = {"type": "websocket.accept"}


class Tap:
    """A transport that writes down when reading pauses and goes on."""

    def __init__(self, transport, calls):
        self._transport = transport
        self._calls = calls

    def __getattr__(self, name):
        if name in ("pause_reading", "resume_reading"):
            self._calls.append(name)
        return getattr(self._transport, name)


@pytest.fixture
def tapped():
    """A protocol class, and what it asked its transports for."""
    calls = []

    class Tapped(WebSocketProtocol):
        def connection_made(self, transport):
            super().connection_made(Tap(transport, calls))

    return Tapped, calls


@pytest.mark.parametrize("messages", [[b"x"] * READ_AHEAD * 3, [bytes(LARGE)] * 3])
def test_reading_pauses_and_goes_on_in_turns(run, tapped, messages):
    protocol, calls = tapped

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        while not line._paused:
            await asyncio.sleep(0)
        for expected in messages:
            assert (await receive())["bytes"] == expected
        done.set()

    async def main():
        async with serving(app, ws=protocol) as address:
            _, writer = await raw_connection(address)
            for message in messages:
                if len(message) < 126:
                    writer.write(masked(0x2, message))
                else:
                    writer.write(b"\x82\xff" + len(message).to_bytes(8, "big") + bytes(4) + message)
            await done.wait()
            writer.close()

    done = asyncio.Event()
    run(main)
    assert calls[:2] == ["pause_reading", "resume_reading"]
    assert calls == ["pause_reading", "resume_reading"] * (len(calls) // 2)


def test_reading_goes_on_when_the_application_leaves_messages_behind(run, tapped):
    protocol, calls = tapped

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        while not scope["extensions"]["treadle.websocket"]._paused:
            await asyncio.sleep(0)

    async def main():
        async with serving(app, ws=protocol) as address:
            reader, writer = await raw_connection(address)
            writer.write(masked(0x2, b"x") * READ_AHEAD)
            assert await reader.readexactly(4) == b"\x88\x02\x03\xe8"
            writer.write(masked(0x8, b"\x03\xe8"))
            assert await reader.read() == b""  # our answer was read
            writer.close()

    run(main)
    assert calls == ["pause_reading", "resume_reading"]


def test_a_peer_that_is_not_listened_to_is_not_given_up(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        while not line._paused:
            await asyncio.sleep(0)
        keepalive = line._keepalive
        for _ in range(5 * SLICES):  # five intervals, in which no pong can be read
            keepalive._look()
            await asyncio.sleep(0.001)
        states.append(line._state)
        done.set()

    async def main():
        async with serving(app, ws_ping_interval=1000.0, ws_ping_timeout=0.01) as address:
            _, writer = await raw_connection(address)
            writer.write(masked(0x2, b"x") * READ_AHEAD)
            await done.wait()
            writer.close()

    done, states = asyncio.Event(), []
    run(main)
    assert states == ["open"]


def test_what_comes_before_the_application_has_accepted_is_kept(run):
    async def app(scope, receive, send):
        asked.set()
        await early.wait()
        heard.extend([(await receive())["type"], (await receive())["type"]])
        await send(ACCEPT)
        done.set()

    class Early(WebSocketProtocol):
        def data_received(self, data):
            super().data_received(data)
            if data == masked(0x1, b"early"):
                early.set()

    async def main():
        async with serving(app, ws=Early) as address:
            host, port = address.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(opening())
            await asked.wait()
            writer.write(masked(0x1, b"early"))
            await done.wait()
            writer.close()

    asked, early, done, heard = asyncio.Event(), asyncio.Event(), asyncio.Event(), []
    run(main)
    assert heard == ["websocket.connect", "websocket.receive"]


def test_two_receivers_get_each_message_once_and_both_the_end(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        for _ in range(2):
            events = await asyncio.gather(receive(), receive())
            heard.extend(event.get("text", event.get("code")) for event in events)

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            writer.write(masked(0x1, b"one"))
            writer.write(masked(0x1, b"two"))
            writer.write(masked(0x8, b"\x0f\xa0"))
            await reader.read()
            writer.close()

    heard = []
    run(main)
    assert heard == ["one", "two", 4000, 4000]


def test_a_receiver_that_is_cancelled_leaves_nothing_behind_and_loses_nothing(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        for _ in range(10):
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        heard.append(len(line._receivers))
        await send({"type": "websocket.send", "text": "go"})
        heard.append((await receive())["text"])

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            await reader.readexactly(4)
            writer.write(masked(0x1, b"one"))
            await reader.readexactly(4)
            writer.write(masked(0x8, b"\x03\xe8"))
            await reader.read()
            writer.close()

    heard = []
    run(main)
    assert heard == [0, "one"]


def test_sending_to_a_peer_that_never_reads_waits_and_is_cancelled_cleanly(run):
    size = 1 << 16

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        while line.writable:
            await send({"type": "websocket.send", "bytes": bytes(size)})
        held = line._transport.get_write_buffer_size()
        waiting = [
            asyncio.ensure_future(send({"type": "websocket.send", "bytes": bytes(size)}))
            for _ in range(10)
        ]
        await asyncio.sleep(0)
        assert line._transport.get_write_buffer_size() == held
        for sender in waiting:
            sender.cancel()
        await asyncio.wait(waiting)
        counts.extend([held, len(line._senders)])
        line._transport.abort()

    async def main():
        async with serving(app) as address:
            with await deaf_peer(address):
                while not counts:
                    await asyncio.sleep(0.001)

    counts = []
    run(main)
    held, waiting = counts
    assert 0 < held < 3 * size  # the high-water mark, and the message that passed it
    assert waiting == 0


def test_pings_do_not_pile_up_for_a_peer_that_never_reads(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        while line.writable:
            line.write(line.frame(bytes(60_000), text=False))
        held = line._transport.get_write_buffer_size()
        for _ in range(1000):
            line.ping()
        counts.append(line._transport.get_write_buffer_size() - held)
        line._transport.abort()

    async def main():
        async with serving(app) as address:
            with await deaf_peer(address):
                while not counts:
                    await asyncio.sleep(0.001)

    counts = []
    run(main)
    assert counts == [0]


def test_a_peer_that_sends_pings_and_never_reads_is_owed_one_pong(run):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        line = scope["extensions"]["treadle.websocket"]
        while line.writable:
            line.write(line.frame(bytes(60_000), text=False))
        held = line._transport.get_write_buffer_size()
        for number in range(1000):
            line.data_received(masked(0x9, b"%03d" % number))
        counts.append(line._transport.get_write_buffer_size() - held)
        while not line.writable:
            await asyncio.sleep(0.001)
        await send({"type": "websocket.close"})

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            writer.transport.pause_reading()
            while not counts:
                await asyncio.sleep(0.001)
            writer.transport.resume_reading()
            everything = bytearray()
            while not everything.endswith(b"\x88\x02\x03\xe8"):
                everything += await reader.read(1 << 20)
            assert everything.endswith(b"\x8a\x03999\x88\x02\x03\xe8")
            writer.close()

    counts = []
    run(main)
    assert counts == [0]
