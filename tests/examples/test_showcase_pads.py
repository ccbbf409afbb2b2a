"""The server of the showcase's editor, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from pycrdt import Doc, Text

from showcase.pads import LONGEST_TEXT, MOST_PADS, ROOMS, Pads
from treadle.hub import Hub, Limits, MemoryBackend, MemoryBroker, Message, Refused

EMPTY = Doc().get_state()


@asynccontextmanager
async def serving(backend=None):
    async with Hub(backend, rooms=ROOMS, limits=Limits(max_message=1 << 20, rate=1e6)) as hub:
        pads = Pads(hub)
        async with pads.running():
            yield hub, pads


class Writer:
    """A page of the editor, without the page."""

    def __init__(self, client, room="pad:notes"):
        self.client = client
        self.room = room
        self.doc = Doc()
        self.text = self.doc.get("text", type=Text)

    @classmethod
    async def of(cls, hub, room="pad:notes"):
        writer = cls(await hub.client(encoding="msgpack"), room)
        await writer.client.join(room)
        await writer.sync()
        return writer

    async def write(self, text, *, tell=True, dedupe=None):
        before = self.doc.get_state()
        self.text += text
        update = self.doc.get_update(before)
        if tell:
            change = {"do": "change", "update": update}
            await self.client.publish(self.room, change, dedupe=dedupe)
        return update

    async def sync(self):
        ask = {"do": "sync", "vector": self.doc.get_state()}
        await self.client.publish(self.room, ask)
        await self.read()

    async def read(self):
        await asyncio.sleep(0.1)
        for frame in await self.client.waiting():
            if isinstance(frame, Message):
                self.doc.apply_update(frame.data["update"])
        return str(self.text)


def test_what_one_writes_the_other_reads(run):
    async def main():
        async with serving() as (hub, pads):
            ada, bob = await Writer.of(hub), await Writer.of(hub)
            await ada.write("warp ")
            await bob.read()
            await bob.write("and weft")
            assert await ada.read() == await bob.read() == "warp and weft"
            assert pads.open["notes"].text == "warp and weft"

    run(main)


def test_who_writes_is_not_told_their_own_change(run):
    async def main():
        async with serving() as (hub, _):
            ada = await Writer.of(hub)
            await ada.write("warp")
            await asyncio.sleep(0.1)
            assert not [f for f in await ada.client.waiting() if isinstance(f, Message)]

    run(main)


def test_who_opens_a_text_later_gets_it_whole_and_alone(run):
    async def main():
        async with serving() as (hub, _):
            ada = await Writer.of(hub)
            for word in ("one ", "two ", "three"):
                await ada.write(word)
            bob = await Writer.of(hub)
            assert str(bob.text) == "one two three"
            assert await ada.read() == "one two three"

    run(main)


def test_changes_made_at_the_same_time_are_merged_alike(run):
    async def main():
        async with serving() as (hub, pads):
            ada, bob = await Writer.of(hub), await Writer.of(hub)
            mine, yours = await ada.write("ada", tell=False), await bob.write("bob", tell=False)
            for writer, update in ((ada, mine), (bob, yours)):
                await writer.client.publish(writer.room, {"do": "change", "update": update})
            merged = await ada.read()
            assert sorted(merged) == sorted("adabob")
            assert merged == await bob.read() == pads.open["notes"].text

    run(main)


def test_a_change_that_is_sent_twice_counts_once(run):
    async def main():
        async with serving() as (hub, pads):
            ada, bob = await Writer.of(hub), await Writer.of(hub)
            update = await ada.write("warp", dedupe="1")
            await ada.client.publish(ada.room, {"do": "change", "update": update}, dedupe="1")
            assert await bob.read() == pads.open["notes"].text == "warp"

    run(main)


@pytest.mark.parametrize(
    "data",
    [
        {"do": "change", "update": b"\xff" * 40},
        {"do": "sync", "vector": b"\xff" * 40},
        {"do": "change"},
        {"do": "erase"},
        b"",
        None,
    ],
)
def test_what_is_no_change_is_refused_and_hurts_nobody(run, data):
    async def main():
        async with serving() as (hub, _):
            ada = await Writer.of(hub)
            with pytest.raises(Refused):
                await ada.client.publish(ada.room, data)
            await ada.write("still here")
            assert str((await Writer.of(hub)).text) == "still here"

    run(main)


def test_a_text_has_an_end(run):
    async def main():
        async with serving() as (hub, _):
            ada = await Writer.of(hub)
            for _ in range(LONGEST_TEXT // 100_000 - 1):
                await ada.write("x" * 100_000)
            with pytest.raises(Refused, match="at most"):
                await ada.write("x" * 100_000)

    run(main)


def test_there_is_an_end_to_the_texts_that_can_be_opened(run):
    async def main():
        async with serving() as (hub, pads):
            for number in range(MOST_PADS):
                await pads._pad(str(number))
            with pytest.raises(Refused, match="too many"):
                await Writer.of(hub)

    run(main)


def test_a_process_that_comes_later_learns_the_text_from_the_others(run):
    async def main():
        broker = MemoryBroker()
        async with serving(MemoryBackend(broker)) as (one, here):
            ada = await Writer.of(one)
            await ada.write("warp ")
            async with serving(MemoryBackend(broker)) as (two, there):
                bob = await Writer.of(two)
                await bob.sync()
                assert str(bob.text) == there.open["notes"].text == "warp "
                await bob.write("weft")
                assert await ada.read() == here.open["notes"].text == "warp weft"

    run(main)


def test_a_page_that_opens_where_a_change_is_still_under_way_gets_it(run):
    async def main():
        broker = MemoryBroker()
        async with (
            serving(MemoryBackend(broker)) as (one, _),
            serving(MemoryBackend(broker)) as two,
        ):
            hub, there = two
            ada = await Writer.of(one)
            await (await Writer.of(hub)).sync()
            for follower in there._tasks:  # this process is behind from now on
                follower.cancel()
            await ada.write("warp")
            bob = await Writer.of(hub)
            assert str(bob.text) == "warp"

    run(main)


def test_a_cursor_is_shown_to_the_others(run):
    async def main():
        async with serving() as (hub, _):
            ada, bob = await hub.client(), await hub.client()
            for client in (ada, bob):
                await client.join("cursors:notes")
            await ada.publish("cursors:notes", "AAEC")
            shown = await bob.message()
            assert (shown.sender, shown.key) == (ada.name, ada.name)
            assert not [f for f in await ada.waiting() if isinstance(f, Message)]

    run(main)
