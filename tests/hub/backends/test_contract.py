"""What every backend promises: memory here, real brokers in tests/integration."""

from __future__ import annotations

import asyncio

import pytest

from tests.hub.backends.nodes import KEPT, Nodes
from treadle.hub.errors import Unrecoverable
from treadle.hub.frames import Member, Position
from treadle.hub.options import NO_HISTORY, Retention

ROOMS = ["lobby", "game:42", "a b.c*>", "Größe {x}", "=", "x" * 200]


def bodies(entries):
    return [entry.body for entry in entries]


# numbers and delivery ------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
async def test_a_room_of_any_name_delivers_what_is_appended(nodes: Nodes, room: str) -> None:
    node = await nodes()
    position = await node.backend.attach(room)
    assert position.offset == 0
    (entry,) = await node.append(room, b"\x00\xff one \r\n")
    assert await node.recorder.heard(room, b"\x00\xff one \r\n") == [entry]
    assert entry.position.epoch == position.epoch
    assert entry.previous == 0


async def test_each_entry_names_the_one_before_it(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    made = await node.append("lobby", b"1", b"2", b"3")
    heard = await node.recorder.heard("lobby", b"1", b"2", b"3")
    assert heard == made
    assert [entry.previous for entry in heard] == [0, *(e.position.offset for e in heard[:-1])]
    assert len({entry.position.epoch for entry in heard}) == 1


async def test_entries_appended_at_once_are_in_one_order(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    wanted = [b"%d" % n for n in range(50)]
    await asyncio.gather(*(node.append("lobby", body) for body in wanted))
    await node.recorder.until(lambda: len(node.recorder.entries["lobby"]) == 50)
    heard = sorted(node.recorder.entries["lobby"], key=lambda entry: entry.position.offset)
    assert sorted(bodies(heard)) == sorted(wanted)
    assert [entry.previous for entry in heard] == [0, *(e.position.offset for e in heard[:-1])]


async def test_what_is_appended_after_attach_returned_is_delivered(nodes: Nodes) -> None:
    node = await nodes()
    before = await node.append("lobby", b"before")
    assert await node.backend.attach("lobby") == before[-1].position
    await node.append("lobby", b"after")
    heard = await node.recorder.heard("lobby", b"after")
    assert heard[0].previous == before[-1].position.offset


async def test_a_detached_room_delivers_no_more(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("quiet")
    await node.backend.attach("lobby")
    await node.backend.detach("quiet")
    await node.append("quiet", b"unheard")
    await node.append("lobby", b"heard")
    await node.recorder.heard("lobby", b"heard")
    assert not node.recorder.bodies("quiet")


async def test_a_room_can_be_attached_again_at_once(nodes: Nodes) -> None:
    node = await nodes()
    for number in range(5):
        await node.backend.attach("lobby")
        await node.append("lobby", b"%d" % number)
        await node.recorder.until(lambda n=number: len(node.recorder.bodies("lobby")) == n + 1)
        await node.backend.detach("lobby")
    await node.recorder.heard("lobby", b"0", b"1", b"2", b"3", b"4")


async def test_detaching_what_is_not_attached_does_nothing(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.detach("lobby")


async def test_rooms_do_not_hear_each_other(nodes: Nodes) -> None:
    node = await nodes()
    for room in ROOMS:
        await node.backend.attach(room)
    for room in ROOMS:
        await node.append(room, room.encode())
        await node.backend.send(room, room.encode())
    for room in ROOMS:
        await node.recorder.heard(room, room.encode())
        await node.recorder.until(lambda room=room: room in node.recorder.signals)
        assert node.recorder.signals[room] == [room.encode()]


async def test_signals_are_delivered_and_not_kept(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    await node.backend.send("lobby", b"")
    await node.backend.send("lobby", b"typing")
    await node.recorder.until(lambda: len(node.recorder.signals.get("lobby", [])) == 2)
    assert node.recorder.signals["lobby"] == [b"", b"typing"]
    assert (await node.backend.tail("lobby", 10))[1] == []
    assert (await node.backend.last("lobby")).offset == 0


# history -------------------------------------------------------------------------------------


async def test_history_is_read_from_any_position_on(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.last("lobby")
    made = await node.append("lobby", b"1", b"2", b"3")
    for number, after in enumerate([start, *(entry.position for entry in made)]):
        assert await node.backend.read("lobby", after, 10) == made[number:]


async def test_history_is_read_in_pieces(nodes: Nodes) -> None:
    node = await nodes()
    after = await node.backend.last("lobby")
    made = await node.append("lobby", *(b"%d" % n for n in range(10)))
    found = []
    while page := await node.backend.read("lobby", after, 3):
        assert len(page) <= 3
        assert page[0].previous == after.offset
        found += page
        after = page[-1].position
    assert found == made


async def test_an_empty_room_has_no_history(nodes: Nodes) -> None:
    node = await nodes()
    position = await node.backend.last("lobby")
    assert position.offset == 0
    assert await node.backend.read("lobby", position, 10) == []
    assert await node.backend.tail("lobby", 10) == (position, [])


async def test_a_position_of_another_epoch_cannot_be_recovered(nodes: Nodes) -> None:
    node = await nodes()
    (entry,) = await node.append("lobby", b"1")
    with pytest.raises(Unrecoverable):
        await node.backend.read("lobby", Position("another", entry.position.offset), 10)


async def test_a_position_that_lies_ahead_cannot_be_recovered(nodes: Nodes) -> None:
    node = await nodes()
    (entry,) = await node.append("lobby", b"1")
    ahead = Position(entry.position.epoch, entry.position.offset + 1)
    with pytest.raises(Unrecoverable):
        await node.backend.read("lobby", ahead, 10)


async def test_history_ends_at_its_count(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.last("lobby")
    three = Retention(count=3, age=600.0)
    made = await node.append("lobby", *(b"%d" % n for n in range(8)), retention=three)
    assert await node.backend.read("lobby", made[4].position, 10) == made[5:]
    for lost in (start, *(entry.position for entry in made[:4])):
        with pytest.raises(Unrecoverable):
            await node.backend.read("lobby", lost, 10)
    assert await node.backend.tail("lobby", 10) == (made[4].position, made[5:])


async def test_history_ends_at_its_age(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.last("lobby")
    short = Retention(count=100, age=0.05)
    (entry,) = await node.append("lobby", b"1", retention=short)
    assert await node.backend.last("lobby") == entry.position
    while (await node.backend.tail("lobby", 1))[1]:
        await asyncio.sleep(0.01)
    with pytest.raises(Unrecoverable):
        await node.backend.read("lobby", start, 10)
    assert await node.backend.read("lobby", entry.position, 10) == []
    assert await node.backend.tail("lobby", 10) == (entry.position, [])
    (later,) = await node.append("lobby", b"2")
    assert later.previous == entry.position.offset
    assert await node.backend.read("lobby", entry.position, 10) == [later]


async def test_what_is_not_kept_is_numbered_and_delivered(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.attach("lobby")
    made = await node.append("lobby", b"1", b"2", retention=NO_HISTORY)
    assert await node.recorder.heard("lobby", b"1", b"2") == made
    assert await node.backend.last("lobby") == made[-1].position
    with pytest.raises(Unrecoverable):
        await node.backend.read("lobby", start, 10)
    assert (await node.backend.tail("lobby", 10))[1] == []


async def test_the_tail_is_the_last_entries_and_the_position_before(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.last("lobby")
    made = await node.append("lobby", *(b"%d" % n for n in range(5)))
    assert await node.backend.tail("lobby", 2) == (made[2].position, made[3:])
    assert await node.backend.tail("lobby", 0) == (made[-1].position, [])
    assert await node.backend.tail("lobby", 5) == (start, made)
    assert await node.backend.tail("lobby", 50) == (start, made)


async def test_the_oldest_position_is_the_one_before_what_is_kept(nodes: Nodes) -> None:
    node = await nodes()
    start = await node.backend.last("lobby")
    assert await node.backend.oldest("lobby") == start
    few = Retention(count=3, age=600.0)
    made = await node.append("lobby", b"1", b"2", retention=few)
    assert await node.backend.oldest("lobby") == start
    made += await node.append("lobby", *(b"%d" % n for n in range(3, 9)), retention=few)
    assert await node.backend.oldest("lobby") == made[-4].position
    (last,) = await node.append("lobby", b"9", retention=NO_HISTORY)
    assert await node.backend.oldest("lobby") == last.position


async def test_the_tail_of_a_long_history_is_its_end(nodes: Nodes) -> None:
    node = await nodes()
    long = Retention(count=1000, age=600.0)
    made = await node.append("lobby", *(b"%d" % n for n in range(300)), retention=long)
    for count in (1, 63, 64, 65, 130, 299):
        before, entries = await node.backend.tail("lobby", count)
        assert entries == made[-count:]
        assert before == made[-count - 1].position


# once ----------------------------------------------------------------------------------------


async def test_a_message_of_the_same_name_is_appended_once(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    first = await node.backend.append("lobby", b"x", KEPT, dedupe="name")
    again = await node.backend.append("lobby", b"x", KEPT, dedupe="name")
    other = await node.backend.append("lobby", b"y", KEPT, dedupe="other")
    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, False)
    assert again.entry.position == first.entry.position
    assert again.entry.previous == first.entry.previous
    assert other.entry.previous == first.entry.position.offset
    await node.recorder.heard("lobby", b"x", b"y")


async def test_a_name_is_of_one_room_only(nodes: Nodes) -> None:
    node = await nodes()
    for room in ("lobby", "attic"):
        assert not (await node.backend.append(room, b"x", KEPT, dedupe="name")).duplicate


async def test_many_with_one_name_at_once_are_one(nodes: Nodes) -> None:
    node = await nodes()
    calls = [node.backend.append("lobby", b"x", KEPT, dedupe="name") for _ in range(20)]
    results = await asyncio.gather(*calls)
    assert sorted(result.duplicate for result in results) == [False, *[True] * 19]
    assert len({result.entry.position for result in results}) == 1


# who is where --------------------------------------------------------------------------------


async def test_members_come_and_go(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.beat(60)
    backend = node.backend
    ann, bob = Member("ann", {"name": "Ann"}), Member("b.o b*", None)
    assert await backend.members("lobby") == []
    assert await backend.enter("lobby", bob)
    assert await backend.enter("lobby", ann)
    assert not await backend.enter("lobby", ann)
    assert await backend.enter("attic", ann)
    assert await backend.members("lobby") == [ann, bob]
    assert await backend.exit("lobby", "ann")
    assert not await backend.exit("lobby", "ann")
    assert await backend.members("lobby") == [bob]
    assert await backend.members("attic") == [ann]


async def test_who_enters_again_with_other_words_is_seen_with_them(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.beat(60)
    await node.backend.enter("lobby", Member("ann", "red"))
    assert not await node.backend.enter("lobby", Member("ann", "blue"))
    assert await node.backend.members("lobby") == [Member("ann", "blue")]


async def test_a_beat_tells_of_a_lost_lease_only(nodes: Nodes) -> None:
    node = await nodes()
    for _ in range(3):
        assert not await node.backend.beat(60)


async def test_the_members_of_a_living_node_are_not_buried(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.beat(60)
    await node.backend.enter("lobby", Member("ann"))
    assert await node.backend.bury() == []
    assert await node.backend.members("lobby") == [Member("ann")]


# the end -------------------------------------------------------------------------------------


async def test_a_backend_may_be_closed_twice(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.close()
    await node.backend.close()


async def test_a_cancelled_call_leaves_the_backend_usable(nodes: Nodes) -> None:
    node = await nodes()
    await node.backend.attach("lobby")
    for call in (
        node.backend.append("lobby", b"x", KEPT),
        node.backend.tail("lobby", 3),
        node.backend.attach("attic"),
        node.backend.enter("lobby", Member("ann")),
        node.backend.members("lobby"),
        node.backend.beat(60),
        node.backend.bury(),
    ):
        for _ in range(3):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            break
    (entry,) = await node.append("lobby", b"y")
    await node.recorder.until(lambda: entry in node.recorder.entries.get("lobby", []))
