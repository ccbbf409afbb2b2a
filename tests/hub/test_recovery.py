"""Coming back: what was missed, exactly, or a word that it is gone."""

from __future__ import annotations

import asyncio

import pytest

from treadle.hub import (
    Code,
    Gap,
    Hub,
    Identity,
    Limits,
    MemoryBackend,
    MemoryBroker,
    Message,
    Position,
    Retention,
    RoomOptions,
    Unavailable,
)

QUIET = RoomOptions(presence=False)


def node(broker, options=QUIET, **more):
    return Hub(MemoryBackend(broker), rooms={"*": options}, secret="s", **more)


def data_of(frames):
    return [frame.data for frame in frames if isinstance(frame, Message)]


async def all_of(client):
    """Everything that comes, also what is read in pages."""
    frames = []
    for _ in range(200):
        frames += await client.waiting()
        await asyncio.sleep(0)
    return frames


def test_a_client_that_comes_back_gets_what_it_missed(run):
    async def main():
        async with node(None) as hub:
            client = await hub.client()
            await client.join("room")
            await hub.publish("room", 0)
            await client.waiting()
            client.close()
            for number in range(1, 500):
                await hub.publish("room", number)
            again = await hub.client(session=client.session)
            joined = await again.join("room", after=client.positions["room"])
            assert joined.recovered is True
            assert data_of(await all_of(again)) == list(range(1, 500))
            assert hub.stats().recoveries == 1
            assert hub.stats().queue_high_water <= 256

    run(main)


def test_messages_published_while_it_catches_up_follow_in_order(run):
    async def main():
        async with node(None) as hub:
            for number in range(300):
                await hub.publish("room", number)
            client = await hub.client()
            await client.join("room", history=1000)
            got = []
            for number in range(300, 400):
                got += await client.waiting(3)
                await hub.publish("room", number)
                await asyncio.sleep(0)
            got += await all_of(client)
            assert data_of(got) == list(range(400))
            assert not [frame for frame in got if isinstance(frame, Gap)]

    run(main)


def test_a_position_that_history_does_not_reach_is_told(run):
    async def main():
        async with node(None, RoomOptions(history=Retention(count=10), presence=False)) as hub:
            start = await hub.publish("room", 0)
            for number in range(1, 50):
                await hub.publish("room", number)
            client = await hub.client()
            joined = await client.join("room", after=start, history=3)
            assert joined.recovered is False
            assert "does not reach" in joined.reason
            assert data_of(await all_of(client)) == [47, 48, 49]
            assert hub.stats().unrecoverable == 1

    run(main)


@pytest.mark.parametrize("offset", [1, 99])
def test_positions_of_another_life_mean_nothing(run, offset):
    async def main():
        async with node(None) as hub:
            position = await hub.publish("room", 0)
            for after in (Position("other", offset), Position(position.epoch, 99)):
                client = await hub.client()
                assert (await client.join("room", after=after)).recovered is False

    run(main)


def test_history_grows_old(run):
    async def main():
        async with node(None, RoomOptions(history=Retention(100, age=60))) as hub:
            await hub.publish("room", "old")
            await asyncio.sleep(50)
            await hub.publish("room", "new")
            await asyncio.sleep(20)
            assert [message.data for message in await hub.history("room")] == ["new"]

    run(main)


def test_history_of_rooms_that_nobody_visits_is_forgotten(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker, RoomOptions(history=Retention(100, age=60))) as hub:
            for number in range(50):
                await hub.publish(f"room {number}", number)
            await asyncio.sleep(100)
            assert broker.rooms == 0

    run(main)


def test_a_recovery_works_on_another_node(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            client = await one.client(Identity("ada"))
            await client.join("room")
            client.close()
            await one.publish("room", 1)
            again = await two.client(Identity("ada"), session=client.session)
            assert again.name == client.name
            await again.join("room", after=client.positions["room"])
            assert (await again.message()).data == 1

    run(main)


def test_a_session_of_another_user_or_secret_gives_a_new_name(run):
    async def main():
        async with node(None) as hub, Hub(secret="other") as foreign:
            ada = await hub.client(Identity("ada"))
            for home, who in ((hub, "eve"), (foreign, "ada"), (hub, None)):
                other = await home.client(Identity(who), session=ada.session)
                assert other.name != ada.name
            forged = await hub.client(Identity("ada"), session=f"{ada.name}.é")
            assert forged.name != ada.name
            assert ada.connection.close_code is None

    run(main)


def test_an_older_connection_of_the_same_client_is_replaced(run):
    async def main():
        async with node(None) as hub:
            old = await hub.client()
            await old.join("room")
            new = await hub.client(session=old.session)
            assert old.connection.close_code == Code.REPLACED
            await new.join("room")
            await hub.publish("room", 1, to=new.name)
            assert (await new.message()).data == 1

    run(main)


def test_a_node_that_was_cut_off_reads_what_it_missed(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            client = await two.client()
            await client.join("room")
            broker.cut(two.node)
            assert two.stats().backend == "cut off"
            for number in range(100):
                await one.publish("room", number)
            with pytest.raises(Unavailable):
                await client.publish("room", "lost")
            assert client.connection.close_code is None
            broker.restore(two.node)
            assert data_of(await all_of(client)) == list(range(100))

    run(main)


def test_a_lost_last_entry_is_found_without_another_one(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as one, node(broker) as two:
            client = await two.client()
            await client.join("room")
            real, two.backend.receiver = two.backend.receiver, Deaf()
            await one.publish("room", "lost on the way")
            two.backend.receiver = real
            assert await client.waiting() == []
            await asyncio.sleep(10)
            assert data_of(await client.waiting()) == ["lost on the way"]

    run(main)


class Deaf:
    """A receiver that hears nothing."""

    def entry(self, room, entry):
        pass


def test_lost_history_is_told_and_the_room_goes_on(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as hub:
            client = await hub.client()
            await client.join("room")
            await hub.publish("room", 1)
            broker.lose_history()
            await hub.publish("room", 2)
            frames = await all_of(client)
            kinds = [type(frame).__name__ for frame in frames]
            assert kinds == ["Message", "Gap", "Message"]
            assert frames[1].position.epoch == client.positions["room"].epoch

    run(main)


def test_a_join_while_the_backend_is_away_is_refused_and_leaves_nothing(run):
    async def main():
        broker = MemoryBroker()
        async with node(broker) as hub:
            client = await hub.client()
            broker.cut(hub.node)
            with pytest.raises(Unavailable):
                await client.join("room")
            broker.restore(hub.node)
            await asyncio.sleep(1)
            assert hub.stats().rooms == 0
            await client.join("room")

    run(main)


def test_what_another_version_wrote_is_told_as_a_gap(run):
    async def main():
        async with node(None) as hub:
            client = await hub.client()
            await client.join("room")
            await hub.backend.append("room", b"\xc1", Retention())
            await hub.publish("room", 1)
            late = await hub.client()
            await late.join("room", history=5)
            for each in (client, late):
                frames = await all_of(each)
                assert [type(frame).__name__ for frame in frames] == ["Gap", "Message"]
            assert [message.data for message in await hub.history("room")] == [1]

    run(main)


def test_recovery_of_much_never_lets_more_wait_than_the_bounds(run):
    async def main():
        limits = Limits(queue_messages=20)
        options = RoomOptions(history=Retention(count=10_000), presence=False)
        async with node(None, options, limits=limits) as hub:
            for number in range(3000):
                await hub.publish("room", number)
            client = await hub.client()
            await client.join("room", history=10_000)
            got = []
            while len(got) < 3000:
                await asyncio.sleep(0)
                assert client.connection.waiting <= 20
                got += await client.waiting(5)
            assert data_of(got) == list(range(3000))

    run(main)
