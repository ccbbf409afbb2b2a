"""Joining, leaving, publishing: who gets what."""

from __future__ import annotations

import datetime

import pytest

from treadle.hub import (
    NO_HISTORY,
    Code,
    Hub,
    HubClosed,
    Identity,
    Message,
    Refused,
    RoomOptions,
)
from treadle.hub.frames import Leave

QUIET = {"*": RoomOptions(presence=False)}


async def people(hub, count, room="room", **more):
    clients = [await hub.client(**more) for _ in range(count)]
    for client in clients:
        await client.join(room)
    for client in clients:
        await client.waiting()
    return clients


def data_of(frames):
    return [frame.data for frame in frames if isinstance(frame, Message)]


def test_a_message_reaches_everybody_in_the_room_and_nobody_else(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            ada, bob = await people(hub, 2)
            (eve,) = await people(hub, 1, "elsewhere")
            await ada.publish("room", "hello")
            assert data_of(await ada.waiting()) == ["hello"]
            assert data_of(await bob.waiting()) == ["hello"]
            assert await eve.waiting() == []

    run(main)


def test_all_but_the_sender_get_what_is_for_others(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            ada, bob = await people(hub, 2)
            await ada.publish("room", "hello", others=True)
            assert await ada.waiting() == []
            assert data_of(await bob.waiting()) == ["hello"]

    run(main)


def test_who_was_left_out_is_left_out_of_recovery_too(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (ada,) = await people(hub, 1)
            await ada.publish("room", 1, others=True)
            await ada.publish("room", 2)
            again = await hub.client(session=ada.session)
            await again.join("room", history=10)
            assert (await again.message()).data == 2
            other = await hub.client()
            await other.join("room", history=10)
            assert (await other.message()).data == 1

    run(main)


def test_a_message_for_one_member_reaches_only_them_and_is_not_kept(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            ada, bob, eve = await people(hub, 3)
            published = await ada.publish("room", "psst", to=bob.name)
            assert published.offset == 0
            assert data_of(await bob.waiting()) == ["psst"]
            assert await eve.waiting() == []
            assert await hub.history("room") == []

    run(main)


def test_everybody_gets_the_very_same_encoded_frame(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            one, two = await people(hub, 2)
            await hub.publish("room", "x")
            assert await one.connection.next() is await two.connection.next()

    run(main)


def test_json_and_messagepack_clients_understand_each_other(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (text,) = await people(hub, 1)
            (binary,) = await people(hub, 1, encoding="msgpack")
            await binary.publish("room", {"raw": b"\x00\xff", "n": 1.5})
            assert data_of(await text.waiting()) == [{"raw": "AP8=", "n": 1.5}]
            assert data_of(await binary.waiting()) == [{"raw": b"\x00\xff", "n": 1.5}]

    run(main)


@pytest.mark.parametrize("data", [object(), {(1, 2): 3}, 1 << 70, "\ud800"])
def test_data_that_some_client_could_not_be_given_is_not_published(run, data):
    async def main():
        async with Hub() as hub:
            with pytest.raises(ValueError, match="msgspec encodes"):
                await hub.publish("room", data)

    run(main)


def test_data_of_the_server_may_be_anything_that_msgspec_encodes(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (ada,) = await people(hub, 1)
            await hub.publish("room", {"day": datetime.date(2026, 1, 2), "set": {1}})
            assert data_of(await ada.waiting()) == [{"day": "2026-01-02", "set": [1]}]

    run(main)


def test_nothing_follows_the_answer_to_a_leave(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (ada,) = await people(hub, 1)
            await hub.publish("room", "waits")
            await ada.send(Leave(99, "room"))
            await hub.publish("room", "late")
            assert [type(frame).__name__ for frame in await ada.waiting()] == ["Left"]

    run(main)


def test_an_empty_room_is_removed_and_comes_back_with_its_history(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (ada,) = await people(hub, 1)
            await ada.publish("room", 1)
            ada.close()
            await settle(hub)
            assert hub.stats().rooms == 0
            assert hub.backend.attached == set()
            bob = await hub.client()
            await bob.join("room", history=5)
            assert (await bob.message()).data == 1

    run(main)


def test_leaving_and_joining_at_once_keeps_the_room_attached(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            (ada,) = await people(hub, 1)
            await ada.leave("room")
            await ada.join("room")
            await settle(hub)
            await hub.publish("room", "still")
            assert data_of(await ada.waiting()) == ["still"]

    run(main)


async def settle(hub):
    while hub.rooms.chores:
        await hub.rooms.chores.finish(60)


def test_only_who_is_in_a_room_may_publish_to_it_or_list_it(run):
    async def main():
        async with Hub() as hub:
            ada = await hub.client()
            for request in (
                ada.publish("room", 1),
                ada.members("room"),
                ada.leave("room"),
            ):
                with pytest.raises(Refused) as refusal:
                    await request
                assert refusal.value.code == Code.UNKNOWN

    run(main)


def test_a_publication_without_history_has_no_place(run):
    async def main():
        async with Hub(rooms={"*": RoomOptions(history=NO_HISTORY)}) as hub:
            ada = await hub.client()
            assert (await ada.join("room")).position is None
            assert await hub.publish("room", 1) is None
            assert (await ada.message()).offset == 0

    run(main)


def test_the_first_pattern_that_fits_gives_the_options():
    game = RoomOptions(when_full="coalesce")
    hub = Hub(rooms={"game:*": game, "*": RoomOptions(presence=False)})
    assert hub.rooms.options("game:1") is game
    assert not hub.rooms.options("chat").presence


def test_a_message_of_a_known_name_is_not_published_again(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            ada, bob = await people(hub, 2)
            first = await ada.publish("room", 1, dedupe="a")
            again = await ada.publish("room", 1, dedupe="a")
            assert first.offset == again.offset
            await bob.publish("room", 2, dedupe="a")  # another client's name is another name
            assert data_of(await bob.waiting()) == [1, 2]

    run(main)


def test_a_message_of_a_known_name_is_not_sent_again_without_history_either(run):
    async def main():
        async with Hub(rooms={"*": RoomOptions(history=NO_HISTORY, presence=False)}) as hub:
            ada, bob = await people(hub, 2)
            await ada.publish("room", 1, dedupe="a")
            await ada.publish("room", 1, dedupe="a")
            assert data_of(await bob.waiting()) == [1]

    run(main)


def test_code_in_the_server_reads_a_room(run):
    async def main():
        async with Hub() as hub:
            await hub.publish("room", 1)
            async with await hub.subscribe("room", history=5) as subscription:
                await hub.publish("room", 2)
                assert [(await anext(subscription)).data for _ in range(2)] == [1, 2]
                assert subscription.position.offset == 2
                assert await hub.members("room") == []
                assert hub.stats().connections == 0
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)

    run(main)


def test_a_closed_hub_says_so(run):
    async def main():
        hub = Hub()
        with pytest.raises(HubClosed, match="not started"):
            await hub.publish("room", 1)
        async with hub:
            ada = await hub.client(Identity())
        assert ada.connection.close_code == Code.GOING_AWAY
        with pytest.raises(HubClosed, match="closed"):
            await hub.publish("room", 1)
        with pytest.raises(HubClosed):
            await ada.ping()
        await hub.close()

    run(main)
