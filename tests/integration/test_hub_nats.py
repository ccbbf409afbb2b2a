"""What is NATS's alone: marks, milestones, what the streams keep."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.hub.backends.nodes import KEPT, Node, Nodes
from treadle.hub.errors import Code, Refused
from treadle.hub.frames import Member
from treadle.hub.options import Retention

module = pytest.importorskip("treadle.hub.backends.nats")
HOUR = 3600 * 1_000_000_000


@asynccontextmanager
async def one_node(make: Callable[..., Any]) -> AsyncIterator[Node]:
    nodes = Nodes(make)
    yield await nodes()
    await nodes.close()


async def stored(node: Node, stream: str) -> dict[str, int]:
    """How many messages of each subject are kept."""
    backend: Any = node.backend
    question = json.dumps({"subjects_filter": ">"}).encode()
    answer = await backend._link.request(f"$JS.API.STREAM.INFO.{stream}", question)
    return dict(answer["state"].get("subjects", {}))


async def later(node: Node, hours: float, ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask as if so much time had passed on the server."""
    members: Any = node.backend._members  # type: ignore[attr-defined]
    at, when = members._clock
    members._clock = (at + int(hours * HOUR), when)
    try:
        return await ask()
    finally:
        members._clock = (at, when)


async def test_a_quiet_room_is_marked_before_it_is_forgotten(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as node:
        await node.backend.attach("lobby")
        (one,) = await node.append("lobby", b"1")
        assert await later(node, 11, lambda: node.backend.last("lobby")) == one.position
        before = await stored(node, f"{node.backend._prefix}_rooms")
        assert await later(node, 13, lambda: node.backend.last("lobby")) == one.position
        after = await stored(node, f"{node.backend._prefix}_rooms")
        assert sum(after.values()) == sum(before.values()) + 1
        (two,) = await node.append("lobby", b"2")
        assert two.previous == one.position.offset
        assert await node.backend.last("lobby") == two.position
        assert await node.backend.read("lobby", one.position, 10) == [two]
        assert await node.backend.tail("lobby", 10) == (
            type(one.position)(one.position.epoch, 0),
            [one, two],
        )
        await node.recorder.heard("lobby", b"1", b"2")


async def test_a_room_is_trimmed_to_what_it_keeps(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as node:
        few = Retention(count=3, age=600.0)
        await node.append("lobby", *(b"%d" % n for n in range(300)), retention=few)
        (count,) = (await stored(node, f"{node.backend._prefix}_rooms")).values()
        assert 3 <= count <= 3 + 64 + 64


async def test_the_stream_grows_with_what_rooms_want(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as node:
        await node.append("lobby", b"1", retention=Retention(count=50_000, age=400 * 3600.0))
        config = node.backend._log.stream.config  # type: ignore[attr-defined]
        assert config["max_age"] > 400 * HOUR
        assert config["max_msgs_per_subject"] > 50_000
        await node.append("lobby", b"2", retention=KEPT)
        assert config["max_age"] > 400 * HOUR


async def test_nothing_of_a_node_is_left_when_it_is_closed(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as watching:
        async with one_node(make_nats) as node:
            await node.backend.beat(60)
            await node.backend.enter("lobby", Member("ann"))
            await node.backend.enter("lobby", Member("bob"))
            await node.backend.exit("lobby", "bob")
        left = await stored(watching, f"{watching.backend._prefix}_members")
        assert list(left) == [f"{watching.backend._prefix}.lease.{watching.name}"]


async def test_no_consumer_is_left_by_what_was_read(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as node:
        await node.append("lobby", b"1")
        for _ in range(3):
            await node.backend.tail("lobby", 1)
        stream = node.backend._log.stream.name  # type: ignore[attr-defined]
        await node.backend.last("lobby")  # the deletions are before it in the line
        link = node.backend._link  # type: ignore[attr-defined]
        answer = await link.request(f"$JS.API.CONSUMER.NAMES.{stream}", b"")
        assert not answer["consumers"]


async def test_what_is_larger_than_the_broker_takes_is_refused(make_nats: Any, loop: Any) -> None:
    async with one_node(make_nats) as node:
        with pytest.raises(Refused) as refused:
            await node.append("lobby", bytes(2 << 20))
        assert refused.value.code is Code.TOO_LARGE
        await node.append("lobby", b"small")


def test_no_server_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="one NATS server at least"):
        module.NatsBackend([])
