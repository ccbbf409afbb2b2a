"""A broker that goes away, with a word or without, and comes back, with its data or without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hub.backends.nodes import KEPT, Node, Nodes, Recorder, in_time
from tests.integration.brokers import Broker
from tests.integration.servers import free_ports
from tests.integration.wire import Wire
from treadle.hub.errors import HubError, Unavailable, Unrecoverable
from treadle.hub.frames import Member, Position

BRIEF = 1.0  # seconds until a node notices that a broker is silent


async def append(node: Node, room: str, body: bytes) -> None:
    """Publish as a client does: again, under the same name, until it is known to be there."""
    await in_time(lambda: node.backend.append(room, body, KEPT, dedupe=body.hex()), bool)


async def read_on(node: Node, room: str, after: Position) -> list[bytes]:
    entries = await in_time(lambda: node.backend.read(room, after, 100), lambda _: True)
    return [entry.body for entry in entries]


def all_calls(node: Node) -> dict[str, Any]:
    backend, position = node.backend, Position("epoch", 1)
    return {
        "attach": lambda: backend.attach("other"),
        "append": lambda: backend.append("lobby", b"x", KEPT),
        "append once": lambda: backend.append("lobby", b"x", KEPT, dedupe="x"),
        "send": lambda: backend.send("lobby", b"x"),
        "last": lambda: backend.last("lobby"),
        "read": lambda: backend.read("lobby", position, 1),
        "tail": lambda: backend.tail("lobby", 1),
        "enter": lambda: backend.enter("lobby", Member("ann")),
        "members": lambda: backend.members("lobby"),
        "beat": lambda: backend.beat(60),
    }


def backends_tasks() -> set[asyncio.Task[Any]]:
    """The tasks that a backend or its client library has started, and that still run."""
    folders = ("/treadle/hub/", "/nats/", "/redis/")
    found = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)  # compiled coroutines have none
        if code is not None and any(folder in code.co_filename for folder in folders):
            found.add(task)
    return found


# starting ------------------------------------------------------------------------------------


async def test_a_start_without_a_broker_fails_and_leaves_nothing(broker: Broker) -> None:
    backend = broker.backend(port=free_ports(1)[0])
    with pytest.raises(Unavailable):
        await backend.start("node", Recorder())
    await backend.close()
    assert not backends_tasks()


async def test_a_start_that_gets_no_answer_fails_in_time(broker: Broker, wire: Wire) -> None:
    wire.go_dead()
    backend = broker.backend(port=wire.port, timeout=0.1)
    with pytest.raises(Unavailable):
        await backend.start("node", Recorder())
    await backend.close()


async def test_a_cancelled_start_leaves_nothing(broker: Broker, wire: Wire) -> None:
    for steps in range(12):
        backend = broker.backend(port=wire.port)
        task = asyncio.ensure_future(backend.start("node", Recorder()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await backend.close()
        assert not backends_tasks()


# a wire --------------------------------------------------------------------------------------


async def test_a_node_connects_again_by_itself_and_says_so(
    broker: Broker, wire: Wire, nodes: Nodes
) -> None:
    near, far = await nodes(), await nodes(port=wire.port)
    position = await far.backend.attach("lobby")
    await near.append("lobby", b"1")
    await far.recorder.heard("lobby", b"1")
    wire.cut()
    await far.recorder.until(lambda: len(far.recorder.links) == 1)
    await near.append("lobby", b"2")
    wire.mend()
    await far.recorder.until(lambda: far.recorder.links[-1] == "restored")
    assert [link.partition(":")[0] for link in far.recorder.links] == ["lost", "restored"]
    assert await read_on(far, "lobby", position) == [b"1", b"2"]
    (three,) = await near.append("lobby", b"3")
    await far.recorder.until(lambda: three in far.recorder.entries["lobby"])


@pytest.mark.treadle_only  # on one loop, for it waits out a timeout
async def test_silence_is_noticed(broker: Broker, wire: Wire, nodes: Nodes) -> None:
    near, far = await nodes(), await nodes(port=wire.port, timeout=BRIEF)
    position = await far.backend.attach("lobby")
    wire.go_dead()
    await near.append("lobby", b"1")
    await far.recorder.until(lambda: bool(far.recorder.links))
    assert far.recorder.links[0].startswith("lost")
    wire.mend()
    await far.recorder.until(lambda: far.recorder.links[-1] == "restored")
    assert await read_on(far, "lobby", position) == [b"1"]


@pytest.mark.treadle_only  # on one loop, for it waits out a timeout
@pytest.mark.parametrize("how", ["cut", "dead"])
async def test_every_call_fails_in_time_while_the_broker_is_away(
    broker: Broker, wire: Wire, nodes: Nodes, how: str, loop: Any
) -> None:
    node = await nodes(port=wire.port, timeout=BRIEF)
    await node.backend.attach("lobby")
    if how == "cut":
        wire.cut()
    else:
        wire.go_dead()
    began = loop.time()
    calls = all_calls(node)
    failures = await asyncio.gather(*(call() for call in calls.values()), return_exceptions=True)
    # signals may be lost, and a dead wire swallows them
    kinds = {name: type(f) for name, f in zip(calls, failures, strict=True) if name != "send"}
    assert set(kinds.values()) == {Unavailable}, kinds
    assert loop.time() - began < 30
    await node.backend.detach("lobby")
    wire.mend()
    for name, call in all_calls(node).items():
        try:
            await in_time(call, lambda _: True)
        except Unrecoverable:
            assert name == "read"


@pytest.mark.treadle_only  # on one loop, for it waits out a timeout
async def test_a_node_may_be_closed_while_the_broker_is_away(
    broker: Broker, wire: Wire, nodes: Nodes
) -> None:
    for how in (wire.cut, wire.go_dead):
        wire.mend()
        node = await nodes(port=wire.port, timeout=BRIEF)
        await node.backend.attach("lobby")
        await node.backend.enter("lobby", Member("ann"))
        how()
        await node.backend.close()
        assert not backends_tasks()


async def test_rooms_attached_and_detached_while_the_broker_is_away_are_so_afterwards(
    broker: Broker, wire: Wire, nodes: Nodes
) -> None:
    near, far = await nodes(), await nodes(port=wire.port)
    await far.backend.attach("old")
    wire.cut()
    await far.recorder.until(lambda: bool(far.recorder.links))
    attaching = asyncio.ensure_future(far.backend.attach("new"))
    await far.backend.detach("old")
    wire.mend()
    await attaching
    await near.append("old", b"unheard")
    await near.append("new", b"heard")
    await far.recorder.heard("new", b"heard")
    assert not far.recorder.bodies("old")


@pytest.mark.treadle_only  # on one loop, for it waits out a timeout
async def test_a_member_whose_leaving_failed_is_gone_with_the_next_beat(
    broker: Broker, wire: Wire, nodes: Nodes
) -> None:
    near, far = await nodes(), await nodes(port=wire.port, timeout=BRIEF)
    await far.backend.enter("lobby", Member("ann"))
    await far.backend.enter("lobby", Member("bob"))
    wire.cut()
    with pytest.raises(Unavailable):
        await far.backend.exit("lobby", "ann")
    wire.mend()
    await in_time(lambda: far.backend.beat(60), lambda _: True)
    assert await near.backend.members("lobby") == [Member("bob")]


# a broker ------------------------------------------------------------------------------------


async def test_history_and_epoch_outlive_the_broker(own_broker: Broker, own_nodes: Nodes) -> None:
    one, two = await own_nodes(), await own_nodes()
    position = await two.backend.attach("lobby")
    await one.backend.enter("lobby", Member("ann"))
    for number in range(5):
        await append(one, "lobby", b"%d" % number)
    own_broker.server.crash()
    for node in (one, two):
        await node.recorder.until(lambda r=node.recorder: bool(r.links))
    waiting = asyncio.ensure_future(append(one, "lobby", b"5"))
    await asyncio.sleep(0)
    own_broker.server.start()
    await waiting
    await append(one, "lobby", b"6")
    await two.recorder.until(lambda: two.recorder.links[-1] == "restored")
    bodies = await read_on(two, "lobby", position)
    assert bodies == [b"%d" % number for number in range(7)]
    await one.backend.beat(60)
    assert await two.backend.members("lobby") == [Member("ann")]


async def test_a_broker_that_lost_its_data_begins_another_epoch(
    own_broker: Broker, own_nodes: Nodes
) -> None:
    node = await own_nodes()
    await node.backend.attach("lobby")
    await node.backend.enter("lobby", Member("ann"))
    (entry,) = await node.append("lobby", b"1")
    own_broker.server.crash()
    own_broker.forget()
    own_broker.server.start()
    await node.recorder.until(lambda: node.recorder.links[-1:] == ["restored"])
    with pytest.raises(Unrecoverable):
        await in_time(lambda: node.backend.read("lobby", entry.position, 1), lambda _: True)
    position = await node.backend.last("lobby")
    assert position.epoch != entry.position.epoch
    assert position.offset == 0
    await append(node, "lobby", b"2")
    assert await read_on(node, "lobby", position) == [b"2"]
    await node.recorder.until(lambda: b"2" in node.recorder.bodies("lobby"))
    # noted again, though nobody asked
    assert await node.backend.members("lobby") == [Member("ann")]


async def test_nobody_is_buried_for_the_time_that_the_broker_was_away(
    own_broker: Broker, own_nodes: Nodes
) -> None:
    lease = 0.5
    one, two = await own_nodes(), await own_nodes()
    await one.backend.enter("lobby", Member("ann"))
    for node in (one, two):
        await node.backend.beat(lease)
    own_broker.server.crash()
    for node in (one, two):
        await node.recorder.until(lambda r=node.recorder: bool(r.links))
    own_broker.server.start()
    for node in (one, two):
        await node.recorder.until(lambda r=node.recorder: r.links[-1] == "restored")
        await node.backend.beat(60)
    assert await two.backend.bury() == []
    assert await two.backend.members("lobby") == [Member("ann")]


async def test_a_server_that_lost_its_last_moments_begins_another_epoch(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    (entry,) = await node.append("lobby", b"1")
    await node.recorder.heard("lobby", b"1")
    # as if more had been heard than there is
    ahead = Position(entry.position.epoch, entry.position.offset + 5)
    node.backend._seen["lobby"] = ahead  # type: ignore[attr-defined]
    position = await node.backend.last("lobby")
    assert position.epoch != entry.position.epoch
    assert position.offset == 0
    (later,) = await node.append("lobby", b"2")
    assert later.position.epoch == position.epoch
    assert later.previous == 0


async def test_a_closed_backend_says_so(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.close()
    for call in all_calls(node).values():
        with pytest.raises(HubError):
            await call()


async def test_what_a_node_knew_of_a_lost_history_does_not_mix_with_the_new_one(
    own_broker: Broker, own_nodes: Nodes
) -> None:
    node = await own_nodes()
    (old,) = await node.append("lobby", b"old")
    own_broker.server.crash()
    own_broker.forget()
    own_broker.server.start()
    other = await own_nodes()
    # the numbers of the new history are those of the old one, which the first node remembers
    (new,) = await other.append("lobby", b"new")
    await node.recorder.until(lambda: node.recorder.links[-1:] == ["restored"])
    await append(node, "lobby", b"newer")
    position = await node.backend.last("lobby")
    assert position.epoch == new.position.epoch != old.position.epoch
    assert await read_on(node, "lobby", Position(position.epoch, 0)) == [b"new", b"newer"]
