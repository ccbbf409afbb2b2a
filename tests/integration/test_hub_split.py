"""A split between a node and the broker, while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.brokers import Broker
from tests.integration.ear import Ear
from tests.integration.wire import Wire
from treadle.hub import Hub, RoomOptions, Unavailable
from treadle.hub.options import Retention

# on one loop, for these wait out timeouts; faults of backends are tested on every loop
pytestmark = pytest.mark.treadle_only

ROOM = "lobby"
BRIEF = 1.0  # seconds until the node that is cut off notices it
FEW = {ROOM: RoomOptions(history=Retention(count=5, age=600.0))}


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.02)


async def publish(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        await hub.publish(ROOM, ["near", number])


def split(wire: Wire, how: str) -> None:
    if how == "cut":
        wire.cut()
    else:
        wire.go_dead()


@pytest.mark.parametrize("how", ["cut", "dead"])
async def test_what_was_published_during_a_split_arrives_after_it(
    broker: Broker, wire: Wire, how: str
) -> None:
    far_backend = broker.backend(port=wire.port, timeout=BRIEF)
    async with Hub(broker.backend()) as near, Hub(far_backend, lease=60) as far:
        client = await far.client()
        await client.join(ROOM)
        ear = Ear(client)
        await publish(near, 0, 1, 2)
        split(wire, how)
        await publish(near, *range(3, 103))
        await until(lambda: far.stats().backend != "up")
        await publish(near, *range(103, 203))
        wire.mend()
        await until(lambda: far.stats().backend == "up")
        await publish(near, 203)
        await ear.until(lambda: 203 in ear.numbers("near"))
        assert ear.numbers("near") == list(range(204))
        assert not ear.gaps
    await ear.end()


async def test_a_split_that_outlasts_history_is_told_as_a_gap(broker: Broker, wire: Wire) -> None:
    far_backend = broker.backend(port=wire.port)
    async with Hub(broker.backend(), rooms=FEW) as near, Hub(far_backend, rooms=FEW) as far:
        client = await far.client()
        await client.join(ROOM)
        ear = Ear(client)
        await publish(near, 0)
        await ear.until(lambda: ear.numbers("near") == [0])
        wire.cut()
        await until(lambda: far.stats().backend != "up")
        await publish(near, *range(1, 50))
        wire.mend()
        await ear.until(lambda: 49 in ear.numbers("near"))
        await publish(near, 50)
        await ear.until(lambda: 50 in ear.numbers("near"))
        assert ear.numbers("near") == [0, *range(45, 51)]
        assert len(ear.gaps) == 1
    await ear.end()


async def test_clients_of_a_node_that_is_cut_off_stay_and_are_told(
    broker: Broker, wire: Wire, loop: Any
) -> None:
    backend = broker.backend(port=wire.port, timeout=BRIEF)
    async with Hub(backend, lease=60) as hub:
        client = await hub.client()
        await client.join(ROOM)
        wire.cut()
        with pytest.raises(Unavailable):
            await client.publish(ROOM, "lost", dedupe="once")
        assert await client.ping()
        wire.mend()
        while True:
            try:
                await client.publish(ROOM, "found", dedupe="once")
                break
            except Unavailable:
                continue
        assert (await client.message()).data == "found"
