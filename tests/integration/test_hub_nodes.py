"""Several nodes over one broker: what one does, the others see."""

from __future__ import annotations

import asyncio

from tests.hub.backends.nodes import KEPT, Nodes, buried_by, in_time
from treadle.hub.backends.base import Departure
from treadle.hub.frames import Member

LEASE = 0.3


async def test_what_one_node_appends_all_hear_in_one_order(nodes: Nodes) -> None:
    several = [await nodes() for _ in range(3)]
    for node in several:
        await node.backend.attach("lobby")
    await asyncio.gather(
        *(node.append("lobby", *(b"%d" % n for n in range(10))) for node in several)
    )
    heard = []
    for node in several:
        await node.recorder.until(lambda r=node.recorder: len(r.bodies("lobby")) == 30)
        heard.append(node.recorder.entries["lobby"])
    assert heard[0] == heard[1] == heard[2]
    offsets = [entry.position.offset for entry in heard[0]]
    assert [entry.previous for entry in heard[0]] == [0, *offsets[:-1]]


async def test_nodes_that_attach_an_empty_room_at_once_agree_on_its_epoch(nodes: Nodes) -> None:
    several = [await nodes() for _ in range(4)]
    positions = await asyncio.gather(*(node.backend.attach("lobby") for node in several))
    assert len(set(positions)) == 1


async def test_signals_reach_every_node(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    await one.backend.attach("lobby")
    await two.backend.attach("lobby")
    await one.backend.send("lobby", b"typing")
    for node in (one, two):
        await node.recorder.until(lambda r=node.recorder: bool(r.signals))
        assert node.recorder.signals == {"lobby": [b"typing"]}


async def test_a_name_used_on_another_node_is_known(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    first = await one.backend.append("lobby", b"x", KEPT, dedupe="name")
    again = await two.backend.append("lobby", b"x", KEPT, dedupe="name")
    assert again.duplicate
    assert again.entry.position == first.entry.position
    assert again.entry.previous == first.entry.previous


async def test_members_of_all_nodes_are_seen(nodes: Nodes) -> None:
    one, two = await nodes(), await nodes()
    await one.backend.enter("lobby", Member("ann"))
    await two.backend.enter("lobby", Member("bob"))
    for node in (one, two):
        assert await node.backend.members("lobby") == [Member("ann"), Member("bob")]


async def test_the_members_of_a_dead_node_are_buried_once(nodes: Nodes) -> None:
    dead, one, two = await nodes(), await nodes(), await nodes()
    await dead.backend.beat(LEASE)
    await one.backend.enter("lobby", Member("here"))
    places = [("lobby", "ann"), ("lobby", "bob"), ("attic", "ann")]
    for room, client in places:
        await dead.backend.enter(room, Member(client, {"of": room}))
    await dead.die()

    found: list[Departure] = []

    async def bury() -> int:
        for node in (one, two):
            await node.backend.beat(LEASE)
        several = await asyncio.gather(*(node.backend.bury() for node in (one, two) * 2))
        found.extend(departure for some in several for departure in some)
        return len(found)

    await in_time(bury, lambda count: count >= len(places))
    await bury()
    wanted = [Departure(room, Member(client, {"of": room})) for room, client in places]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert await one.backend.members("lobby") == [Member("here")]


async def test_members_of_a_dead_node_are_seen_no_more_before_they_are_buried(
    nodes: Nodes,
) -> None:
    dead, one = await nodes(), await nodes()
    await dead.backend.beat(LEASE)
    await dead.backend.enter("lobby", Member("ann"))
    await dead.die()
    await in_time(lambda: one.backend.members("lobby"), lambda members: members == [])


async def test_many_members_of_a_dead_node_are_all_buried(nodes: Nodes) -> None:
    dead, one = await nodes(), await nodes()
    await dead.backend.beat(30)
    clients = {f"client{n}" for n in range(1200)}
    for some in range(0, 1200, 100):
        names = (f"client{n}" for n in range(some, some + 100))
        await asyncio.gather(*(dead.backend.enter("lobby", Member(name)) for name in names))
    await dead.backend.beat(0.001)
    await dead.die()
    found = await buried_by(one, LEASE, len(clients))
    assert {departure.member.client for departure in found} == clients
    assert len(found) == len(clients)


async def test_a_node_that_is_closed_takes_its_members_along(nodes: Nodes) -> None:
    leaving, one = await nodes(), await nodes()
    await one.backend.enter("lobby", Member("here"))
    await leaving.backend.enter("lobby", Member("ann"))
    await leaving.backend.close()
    assert await one.backend.members("lobby") == [Member("here")]


async def test_a_client_that_moved_to_another_node_stays(nodes: Nodes) -> None:
    old, new = await nodes(), await nodes()
    await old.backend.beat(LEASE)
    await old.backend.enter("lobby", Member("ann", "old"))
    await old.backend.enter("lobby", Member("bob"))
    assert not await new.backend.enter("lobby", Member("ann", "new"))
    await old.die()
    found = await buried_by(new, LEASE)
    assert found == [Departure("lobby", Member("bob"))]
    assert await new.backend.members("lobby") == [Member("ann", "new")]


async def test_the_old_node_cannot_remove_a_client_that_moved(nodes: Nodes) -> None:
    old, new = await nodes(), await nodes()
    await old.backend.enter("lobby", Member("ann", "old"))
    await new.backend.enter("lobby", Member("ann", "new"))
    assert not await old.backend.exit("lobby", "ann")
    assert await new.backend.members("lobby") == [Member("ann", "new")]
    assert await new.backend.exit("lobby", "ann")


async def test_a_node_that_was_buried_alive_notes_its_members_again(nodes: Nodes) -> None:
    slow, one = await nodes(), await nodes()
    await slow.backend.beat(0.001)
    await slow.backend.enter("lobby", Member("ann"))
    assert await buried_by(one, LEASE) == [Departure("lobby", Member("ann"))]
    assert await slow.backend.beat(60)
    assert not await slow.backend.beat(60)
    assert await one.backend.members("lobby") == [Member("ann")]
    assert await slow.backend.exit("lobby", "ann")
    assert await one.backend.members("lobby") == []
