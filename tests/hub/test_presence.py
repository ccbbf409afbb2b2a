"""Who is in a room: events, lists, and members whose node died."""

from __future__ import annotations

import asyncio

from treadle.hub import (
    Hub,
    Identity,
    MemoryBackend,
    MemoryBroker,
    Presence,
    RoomOptions,
)


def node(broker, **more):
    return Hub(MemoryBackend(broker), secret="s", lease=15, **more)


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


async def events(client):
    await settle()
    frames = await client.waiting()
    return [(frame.event, frame.member.info) for frame in frames if isinstance(frame, Presence)]


def test_others_hear_who_comes_and_goes_and_the_comer_does_not(run):
    async def main():
        async with node(None) as hub:
            ada = await hub.client(Identity("1", "Ada"))
            await ada.join("room")
            bob = await hub.client(Identity("2", "Bob"))
            joined = await bob.join("room")
            assert [member.info for member in joined.members] == sorted(
                ["Ada", "Bob"], key=lambda name: (ada if name == "Ada" else bob).name
            )
            bob.close()
            assert await events(ada) == [("join", "Bob"), ("leave", "Bob")]
            assert [member.info for member in await ada.members("room")] == ["Ada"]

    run(main)


def test_presence_spans_nodes(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            bob = await two.client(Identity("2", "Bob"))
            await bob.join("room")
            assert len(await one.members("room")) == 2
            await bob.leave("room")
            assert await events(ada) == [("join", "Bob"), ("leave", "Bob")]

    run(main)


def test_members_of_a_dead_node_leave_once(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            third = node(broker)
            await third.start()
            eve = await third.client(Identity("3", "Eve"))
            await eve.join("room")
            await events(ada)
            broker.drop(third.node)
            await asyncio.sleep(30)
            assert await events(ada) == [("leave", "Eve")]
            assert len(await two.members("room")) == 1
            await third.close()

    run(main)


def test_a_node_that_comes_back_announces_its_members_again(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            bob = await two.client(Identity("2", "Bob"))
            await bob.join("room")
            await events(ada)
            broker.cut(two.node)
            await asyncio.sleep(60)
            assert await events(ada) == [("leave", "Bob")]
            broker.restore(two.node)
            await asyncio.sleep(10)
            assert await events(ada) == [("join", "Bob")]
            assert len(await one.members("room")) == 2

    run(main)


def test_a_client_that_moves_to_another_node_does_not_seem_to_leave_for_good(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            bob = await one.client(Identity("2", "Bob"))
            await bob.join("room")
            moved = await two.client(Identity("2", "Bob"), session=bob.session)
            await moved.join("room")
            bob.close()
            assert await events(ada) == [("join", "Bob")]
            assert len(await one.members("room")) == 2

    run(main)


def test_who_left_while_the_backend_was_away_is_gone_when_it_is_back(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            bob = await two.client(Identity("2", "Bob"))
            await bob.join("room")
            await events(ada)
            broker.cut(two.node)
            bob.close()
            await settle()
            broker.restore(two.node)
            assert await events(ada) == [("leave", "Bob")]

    run(main)


def test_a_closing_hub_lets_its_members_leave(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one:
            ada = await one.client(Identity("1", "Ada"))
            await ada.join("room")
            async with node(broker) as two:
                bob = await two.client(Identity("2", "Bob"))
                await bob.join("room")
            assert await events(ada) == [("join", "Bob"), ("leave", "Bob")]

    run(main)


def test_without_presence_nobody_is_told_or_listed(run):
    async def main():
        async with node(None, rooms={"*": RoomOptions(presence=False)}) as hub:
            ada, bob = await hub.client(), await hub.client()
            assert (await ada.join("room")).members is None
            await bob.join("room")
            assert await events(ada) == []
            assert await hub.members("room") == []

    run(main)


def test_counts_follow_what_happens(run):
    async def main():
        async with node(None) as hub:
            ada = await hub.client()
            await ada.join("room")
            await ada.publish("room", 1)
            await ada.waiting()
            stats = hub.stats()
            assert (stats.connections, stats.rooms, stats.subscriptions) == (1, 1, 1)
            assert (stats.members, stats.published, stats.received) == (1, 1, 2)
            assert stats.delivered == 4
            assert stats.backend == "up"
            ada.close()
            await settle()
            stats = hub.stats()
            assert (stats.connections, stats.rooms, stats.members) == (0, 0, 0)

    run(main)
