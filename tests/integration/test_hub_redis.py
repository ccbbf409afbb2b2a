"""What is Redis's alone: several servers, scripts, keys."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub.backends.nodes import KEPT, Node, Nodes, in_time
from tests.integration.servers import Make, Redis
from treadle.hub.errors import Unavailable
from treadle.hub.frames import Member
from treadle.hub.options import Retention

redis = pytest.importorskip("redis.asyncio")
module = pytest.importorskip("treadle.hub.backends.redis")


@pytest.fixture
def two_servers(start: Make) -> list[Redis]:
    return [start(Redis), start(Redis)]


@pytest.fixture
def sharded(two_servers: list[Redis], loop: Any) -> Iterator[Nodes]:
    urls = [f"redis://127.0.0.1:{server.port}" for server in two_servers]
    made = Nodes(lambda timeout=30.0: module.RedisBackend(urls, timeout=timeout))
    yield made
    loop.run_until_complete(made.close())


def home(node: Node, room: str) -> int:
    """The number of the server that a room lives on."""
    return int(module.rendezvous(room, node.backend._identities))  # type: ignore[attr-defined]


def room_on(node: Node, server: int) -> str:
    names = (f"room{number}" for number in itertools.count())
    return next(name for name in names if home(node, name) == server)


def test_rooms_are_spread_and_stay_where_they_are_when_a_server_goes() -> None:
    servers = [f"redis://host{n}:6379" for n in range(4)]
    rooms = [f"room{n}" for n in range(400)]
    before = {room: servers[module.rendezvous(room, servers)] for room in rooms}
    assert all(count > 50 for count in Counter(before.values()).values())
    left = servers[:-1]
    after = {room: left[module.rendezvous(room, left)] for room in rooms}
    moved = {room for room in rooms if before[room] != after[room]}
    assert moved == {room for room in rooms if before[room] == servers[-1]}


def test_the_order_of_servers_and_who_logs_in_do_not_matter() -> None:
    one = [module.identity(url) for url in ("redis://a:x@h/0", "redis://h:6380/0")]
    two = [module.identity(url) for url in ("redis://h:6380/0", "redis://h:6379/0")]
    for number in range(50):
        room = f"room{number}"
        assert one[module.rendezvous(room, one)] == two[module.rendezvous(room, two)]


async def test_rooms_of_several_servers_are_one_hub(sharded: Nodes) -> None:
    one, two = await sharded(), await sharded()
    rooms = [room_on(one, 0), room_on(one, 1)]
    for room in rooms:
        await two.backend.attach(room)
        await one.append(room, room.encode())
        await one.backend.enter(room, Member("ann"))
        await two.recorder.heard(room, room.encode())
        assert await two.backend.members(room) == [Member("ann")]


@pytest.mark.treadle_only  # on one loop, for it waits out a timeout
async def test_a_server_that_is_away_takes_only_its_own_rooms_with_it(
    sharded: Nodes, two_servers: list[Redis]
) -> None:
    node = await sharded(timeout=1.0)
    there, gone = room_on(node, 0), room_on(node, 1)
    await node.backend.enter(gone, Member("ann"))
    two_servers[1].crash()
    await node.recorder.until(lambda: bool(node.recorder.links))
    with pytest.raises(Unavailable):
        await node.append(gone, b"x")
    await in_time(lambda: node.append(there, b"x"), bool)
    with pytest.raises(Unavailable):
        await node.backend.beat(60)
    two_servers[1].start()
    await node.recorder.until(lambda: node.recorder.links[-1] == "restored")
    await in_time(lambda: node.append(gone, b"x"), bool)
    await in_time(lambda: node.backend.members(gone), lambda found: found == [Member("ann")])


async def test_a_server_that_forgot_its_scripts_is_told_them_again(
    redis_server: Redis, make_redis: Any, loop: Any
) -> None:
    nodes = Nodes(make_redis)
    node = await nodes()
    await node.append("lobby", b"1")
    async with redis.Redis(port=redis_server.port) as client:
        await client.script_flush()
    await node.append("lobby", b"2")
    await nodes.close()


async def test_every_key_but_those_of_nodes_expires(
    redis_server: Redis, make_redis: Any, fresh: str, loop: Any
) -> None:
    nodes = Nodes(make_redis)
    node = await nodes()
    await node.backend.append("lobby", b"1", KEPT, dedupe="once")
    await node.backend.last("attic")
    async with redis.Redis(port=redis_server.port) as client:
        keys = [key async for key in client.scan_iter(f"{fresh}:*") if b"{" in key]
        lives = await asyncio.gather(*(client.pttl(key) for key in keys))
    assert len(keys) == 4  # two rooms, one log, one name
    assert all(life > 0 for life in lives)
    await nodes.close()


async def test_nothing_of_a_node_is_left_when_it_is_closed(
    redis_server: Redis, make_redis: Any, fresh: str, loop: Any
) -> None:
    nodes = Nodes(make_redis)
    node = await nodes()
    await node.backend.beat(60)
    await node.backend.enter("lobby", Member("ann"))
    await node.backend.enter("lobby", Member("bob"))
    await node.backend.exit("lobby", "bob")
    await nodes.close()
    async with redis.Redis(port=redis_server.port) as client:
        assert [key async for key in client.scan_iter(f"{fresh}:*")] == []
        channels = await client.pubsub_channels(f"{fresh}:*")
    assert channels == []


async def test_old_entries_are_removed_as_new_ones_come(
    redis_server: Redis, make_redis: Any, fresh: str, loop: Any
) -> None:
    nodes = Nodes(make_redis)
    node = await nodes()
    brief = Retention(count=100, age=0.01)
    await node.append("lobby", *(b"%d" % n for n in range(20)), retention=brief)
    while (await node.backend.tail("lobby", 1))[1]:
        await asyncio.sleep(0.01)
    await node.append("lobby", *(b"%d" % n for n in range(10)))
    async with redis.Redis(port=redis_server.port) as client:
        assert await client.xlen(f"{fresh}:{{lobby}}:log") == 10
    await nodes.close()


def test_no_server_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="one Redis server at least"):
        module.RedisBackend([])
