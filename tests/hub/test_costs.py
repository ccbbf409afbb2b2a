"""What a subscriber costs, in counts: no timing here."""

from __future__ import annotations

import asyncio
import tracemalloc

from treadle.hub import NO_HISTORY, Hub, Identity, RoomOptions

QUIET = {"*": RoomOptions(history=NO_HISTORY, presence=False)}
JOIN = b'{"type":"join","id":1,"room":"room"}'


class Null:
    """A transport that is always ready, and counts."""

    __slots__ = ("count", "writable")

    def __init__(self):
        self.count = 0
        self.writable = True

    def write(self, frame):
        self.count += 1


async def subscribers(hub, count):
    writers = []
    for _ in range(count):
        connection = await hub.connect(Identity())
        connection.writer = Null()
        writers.append(connection.writer)
        await connection.receive(JOIN)
    return writers


def test_a_fan_out_allocates_nothing_for_a_subscriber(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            writers = await subscribers(hub, 1000)
            await hub.publish("room", "warm")
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                await hub.publish("room", "x")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert {writer.count for writer in writers} == {4}  # welcome, answer, two messages
            # a new count for each would be 28 bytes, a tuple 56, a task some hundreds
            assert peak - before < 20_000

    run(main)


def test_an_idle_connection_has_no_task_and_no_timer(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            await asyncio.sleep(0)
            before = len(asyncio.all_tasks())
            await subscribers(hub, 100)
            assert len(asyncio.all_tasks()) == before

    run(main)


def test_an_idle_connection_is_small(run):
    async def main():
        async with Hub(rooms=QUIET) as hub:
            await subscribers(hub, 10)
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                writers = await subscribers(hub, 500)
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert (after - before) / len(writers) < 1500

    run(main)


def test_a_hub_whose_backend_is_away_does_not_start_and_can_try_again(run):
    async def main():
        hub = Hub(rooms=QUIET)
        start, hub.backend.start = hub.backend.start, fail
        try:
            await hub.start()
        except ConnectionError:
            hub.backend.start = start
        async with hub:
            assert hub.stats().backend == "up"

    async def fail(node, receiver):
        raise ConnectionError

    run(main)
