"""Clients that read slowly: each policy, the bounds, and the gaps."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from treadle.hub import (
    NO_HISTORY,
    Code,
    Gap,
    Hub,
    HubClosed,
    Identity,
    Limits,
    Message,
    Retention,
    RoomOptions,
)

FEW = Limits(queue_messages=4)


class Pipe:
    """A transport that takes as much as it is told."""

    def __init__(self, connection):
        self.connection = connection
        self.frames = []
        self.writable = True
        connection.writer = self

    def write(self, frame):
        assert self.writable
        self.frames.append(frame.frame)

    def stop(self):
        self.writable = False

    def go(self):
        self.writable = True
        self.connection.resume()

    @property
    def data(self):
        return [frame.data for frame in self.frames if isinstance(frame, Message)]


def hub_with(when_full, limits=FEW, history=None):
    options = RoomOptions(history=history or Retention(), when_full=when_full, presence=False)
    return Hub(rooms={"*": options}, limits=limits)


async def piped(hub, *rooms):
    connection = await hub.connect(Identity())
    pipe = Pipe(connection)
    for number, room in enumerate(rooms or ["room"]):
        await connection.receive(f'{{"type":"join","id":{number},"room":"{room}"}}')
    pipe.frames.clear()
    return pipe


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def brief(frames):
    return [
        f"gap {frame.dropped}" if isinstance(frame, Gap) else frame.data
        for frame in frames
        if isinstance(frame, (Gap, Message))
    ]


def test_drop_oldest_keeps_the_newest_and_tells_the_gap_first(run):
    async def main():
        async with hub_with("drop_oldest") as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(10):
                await hub.publish("room", number)
            pipe.go()
            assert brief(pipe.frames) == ["gap 6", 6, 7, 8, 9]
            assert pipe.frames[0].position.offset == 6
            assert hub.stats().dropped == {"drop_oldest": 6}

    run(main)


def test_drop_newest_keeps_the_oldest_and_tells_the_gap_last(run):
    async def main():
        async with hub_with("drop_newest") as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(10):
                await hub.publish("room", number)
            pipe.go()
            assert brief(pipe.frames) == [0, 1, 2, 3, "gap 6"]
            await hub.publish("room", "after")
            assert brief(pipe.frames)[-1] == "after"

    run(main)


def test_coalesce_keeps_the_newest_of_each_key(run):
    async def main():
        async with hub_with("coalesce") as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(10):
                await hub.publish("room", number, key="even" if number % 2 == 0 else "odd")
            pipe.go()
            assert brief(pipe.frames) == [8, 9]
            assert hub.stats().coalesced == 8

    run(main)


def test_disconnect_closes_with_a_reason(run):
    async def main():
        async with hub_with("disconnect") as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(5):
                await hub.publish("room", number)
            assert pipe.connection.close_code == Code.SLOW
            assert hub.stats().disconnected == {Code.SLOW: 1}

    run(main)


def test_catch_up_gives_everything_that_history_has(run):
    async def main():
        async with hub_with("catch_up") as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(500):
                await hub.publish("room", number)
            assert pipe.connection.waiting <= 4
            assert hub.stats().behind == 1
            pipe.go()
            await settle()
            await hub.publish("room", "live")
            await settle()
            assert brief(pipe.frames) == [*range(500), "live"]
            assert hub.stats().behind == 0

    run(main)


def test_catch_up_tells_what_history_no_longer_has(run):
    async def main():
        async with hub_with("catch_up", history=Retention(count=10)) as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(50):
                await hub.publish("room", number)
            pipe.go()
            await settle()
            assert brief(pipe.frames) == [0, 1, 2, 3, "gap 0", *range(40, 50)]

    run(main)


def test_a_room_never_displaces_what_another_wants_to_keep(run):
    async def main():
        rooms = {
            "keep": RoomOptions(when_full="catch_up", presence=False),
            "*": RoomOptions(presence=False),
        }
        async with Hub(rooms=rooms, limits=FEW) as hub:
            pipe = await piped(hub, "keep", "drop")
            pipe.stop()
            for number in range(4):
                await hub.publish("keep", number)
            await hub.publish("drop", "lost")
            pipe.go()
            assert brief(pipe.frames) == [0, 1, 2, 3, "gap 1"]
            assert pipe.frames[-1].room == "drop"

    run(main)


def test_the_bytes_that_wait_are_bounded_too(run):
    async def main():
        limits = Limits(queue_messages=1000, queue_bytes=5000)
        async with hub_with("drop_oldest", limits) as hub:
            pipe = await piped(hub)
            pipe.stop()
            for _ in range(50):
                await hub.publish("room", "x" * 900)
                assert pipe.connection.waiting_bytes <= 5000
            await hub.publish("room", "y" * 9000)  # alone above the bound: it waits alone
            assert pipe.connection.waiting == 1

    run(main)


def test_a_slow_reader_does_not_delay_others(run):
    async def main():
        async with hub_with("drop_oldest") as hub:
            slow, quick = await piped(hub), await piped(hub)
            slow.stop()
            for number in range(10):
                await hub.publish("room", number)
                assert quick.data[-1] == number

    run(main)


def test_a_transport_that_fails_is_closed_and_others_get_the_message(run_with_reports):
    async def main(reports):
        async with hub_with("drop_oldest") as hub:
            first, broken, last = [await piped(hub) for _ in range(3)]
            broken.write = lambda frame: 1 / 0
            await hub.publish("room", 1)
            assert first.data == last.data == [1]
            assert broken.connection.close_code == Code.INTERNAL
            assert len(reports) == 1

    run_with_reports(main)


def test_a_transport_may_close_its_connection_while_it_writes(run):
    async def main():
        async with hub_with("drop_oldest") as hub:
            first, closing, last = [await piped(hub) for _ in range(3)]
            closing.write = lambda frame: closing.connection.close()
            await hub.publish("room", 1)
            await hub.publish("room", 2)
            assert first.data == last.data == [1, 2]

    run(main)


def test_a_transport_that_fills_up_in_the_middle_gets_the_rest_in_order(run):
    async def main():
        async with hub_with("drop_oldest", Limits()) as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(9):
                await hub.publish("room", number)
            write = pipe.write

            def write_one(frame):
                write(frame)
                pipe.writable = False

            pipe.write = write_one
            for _ in range(12):
                pipe.go()
            assert pipe.data == list(range(9))

    run(main)


def test_a_cancelled_next_has_taken_nothing(run):
    async def main():
        async with hub_with("drop_oldest") as hub:
            client = await hub.client()
            await client.join("room")
            waiting = asyncio.ensure_future(client.connection.next())
            await asyncio.sleep(0)
            await hub.publish("room", 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await client.message()).data == 1

    run(main)


def test_next_returns_none_when_the_connection_is_closed_meanwhile(run):
    async def main():
        async with Hub() as hub:
            client = await hub.client()
            waiting = asyncio.ensure_future(client.connection.next())
            ended = asyncio.ensure_future(client.connection.closed())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await client.connection.next()
            client.connection.close(Code.FORBIDDEN, "go")
            assert await waiting is None
            await ended
            with pytest.raises(HubClosed):
                await client.ping()

    run(main)


@pytest.mark.parametrize(
    ("when_full", "messages"),
    [
        ("drop_oldest", 100_000),
        ("drop_newest", 20_000),
        ("coalesce", 20_000),
        ("catch_up", 20_000),
    ],
)
def test_a_reader_that_never_reads_holds_no_more_than_its_bound(when_full, messages):
    async def main():
        limits = Limits(queue_messages=256, queue_bytes=1 << 16)
        options = RoomOptions(history=Retention(count=100), when_full=when_full, presence=False)
        async with Hub(rooms={"*": options}, limits=limits) as hub:
            pipe = await piped(hub)
            pipe.stop()

            async def publish(count):
                for number in range(count):
                    await hub.publish("room", f"{number:128}", key=str(number % 1000))

            await publish(1000)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await publish(10_000)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            await publish(messages - 11_000)
            assert pipe.connection.waiting <= 256
            assert pipe.connection.waiting_bytes <= 1 << 16
            assert peak - before < 1 << 20

    asyncio.run(main())


def test_without_history_catch_up_drops_and_says_so(run):
    async def main():
        async with hub_with("catch_up", history=NO_HISTORY) as hub:
            pipe = await piped(hub)
            pipe.stop()
            for number in range(6):
                await hub.publish("room", number)
            pipe.go()
            assert brief(pipe.frames) == [0, 1, 2, 3, "gap 2"]

    run(main)
