"""A process that is a node of a hub: its clients join a room, and one of them publishes.

    python -m tests.integration.hub_worker redis 6379 PREFIX NAME

It publishes the numbers 0, 1, 2 … each until it is acknowledged, and prints the number then. It
goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from types import SimpleNamespace

from tests.integration.brokers import BROKERS
from treadle.hub import Hub, Unavailable
from treadle.hub.hooks import Identity

ROOM = "lobby"
LEASE = 3.0
MEMBERS = 3
PAUSE = 0.005  # between two messages, so that others have their turn


async def publish(hub: Hub, name: str, number: int) -> None:
    """Publish a number as a client does: again, under the same name, until it is acknowledged."""
    while True:
        try:
            await hub.publish(ROOM, [name, number], dedupe=f"{name} {number}")
            return
        except Unavailable:
            await asyncio.sleep(0.02)


async def work(kind: str, port: int, prefix: str, name: str) -> None:
    broker = BROKERS[kind](SimpleNamespace(ports=[port]), prefix)
    async with Hub(broker.backend(), lease=LEASE) as hub:
        clients = [await hub.client(Identity(info=f"{name}{n}")) for n in range(MEMBERS)]
        for client in clients:
            await client.join(ROOM)
        reading = [asyncio.ensure_future(read(client)) for client in clients]
        for number in itertools.count():
            await publish(hub, name, number)
            print(number, flush=True)
            await asyncio.sleep(PAUSE)
        await asyncio.wait(reading)


async def read(client: object) -> None:
    async for _ in client:  # type: ignore[attr-defined]
        pass


if __name__ == "__main__":
    kind, port, prefix, name = sys.argv[1:]
    asyncio.run(work(kind, int(port), prefix, name))
