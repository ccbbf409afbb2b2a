"""The hub under uvicorn with a client that never reads: what is held for it has a bound."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.web.conftest import masked, raw_connection, serving

pytest.importorskip("msgspec")

from treadle.hub import Hub, Limits, RoomOptions
from treadle.hub.asgi import WebSocketEndpoint
from treadle.web import WebSocketProtocol

MESSAGES = 1_000
LIMITS = Limits(queue_messages=50, queue_bytes=100_000)
BODY = "x" * 10_000


async def read_frame(reader):
    """The next frame of the hub."""
    head = await reader.readexactly(2)
    size = head[1]
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return json.loads(await reader.readexactly(size))


async def joined(address):
    """A client in the room, for which the kernel holds but some KiB."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    host, port = address.split(":")
    await asyncio.get_running_loop().sock_connect(peer, (host, int(port)))
    reader, writer = await raw_connection(address, sock=peer)
    writer.write(masked(0x1, b'{"type":"join","id":1,"room":"room"}'))
    while (await read_frame(reader))["type"] != "joined":
        pass
    return reader, writer


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "pulled"])
def test_what_is_held_is_bounded_and_what_is_missing_is_told(run, direct):
    async def main():
        hub = Hub(limits=LIMITS, rooms={"room": RoomOptions(presence=False)})
        protocol = {"ws": WebSocketProtocol} if direct else {"ws": "websockets-sansio"}
        async with hub, serving(WebSocketEndpoint(hub), **protocol) as address:
            slow, slow_end = await joined(address)
            slow_end.transport.pause_reading()
            (deaf,) = hub.rooms.connections.values()
            fast, fast_end = await joined(address)
            for number in range(MESSAGES):
                await hub.publish("room", f"{number} {BODY}")
                assert deaf.waiting <= LIMITS.queue_messages
                assert deaf.waiting_bytes <= LIMITS.queue_bytes
                assert (await read_frame(fast))["data"] == f"{number} {BODY}"
            stats = hub.stats()
            assert stats.queue_high_water <= LIMITS.queue_messages
            assert stats.dropped["drop_oldest"] > MESSAGES // 10

            # it reads after all: each message, or the number of those that are missing
            slow_end.transport.resume_reading()
            seen = missing = 0
            while seen + missing < MESSAGES:
                frame = await read_frame(slow)
                if frame["type"] == "gap":
                    missing += frame["dropped"]
                else:
                    assert frame["data"].startswith(f"{seen + missing} ")
                    seen += 1
            assert missing == stats.dropped["drop_oldest"]
            slow_end.close()
            fast_end.close()

    run(main)


def test_the_transport_holds_no_more_than_its_high_water_mark_and_one_message(run):
    lines = []

    class Watched(WebSocketProtocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            lines.append(transport)

    async def main():
        hub = Hub(limits=LIMITS, rooms={"room": RoomOptions(presence=False)})
        async with hub, serving(WebSocketEndpoint(hub), ws=Watched) as address:
            _, writer = await joined(address)
            writer.transport.pause_reading()
            most = 0
            for number in range(MESSAGES):
                await hub.publish("room", BODY)
                most = max(most, lines[0].get_write_buffer_size())
                if number % 100 == 0:
                    await asyncio.sleep(0)
            _, high = lines[0].get_write_buffer_limits()
            assert 0 < most <= high + len(BODY) + 200
            writer.transport.abort()
            await asyncio.sleep(0)

    run(main)
