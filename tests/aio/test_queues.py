"""Queues: order, waiting, classes of users, shutdown, and cancellation at every await."""

from __future__ import annotations

import asyncio
import threading

import pytest

import treadle
from tests.aio.sides import BEFORE_3_13, OURS, STOCK, on_each_loop, on_each_side, settle

KINDS = ["Queue", "PriorityQueue", "LifoQueue"]
each_kind = pytest.mark.parametrize("kind", KINDS)
# `shutdown` came with 3.13
sides_with_shutdown = pytest.mark.parametrize(
    "side",
    [pytest.param(OURS, id="treadle")]
    + ([] if BEFORE_3_13 else [pytest.param(STOCK, id="asyncio")]),
)


# what it is ----------------------------------------------------------------------------------


@each_kind
def test_it_is_asyncios(kind):
    ours = getattr(treadle, kind)
    assert issubclass(ours, getattr(STOCK, kind))
    assert issubclass(ours, treadle.Queue)
    assert isinstance(ours(), STOCK.Queue)
    assert f"{ours.__module__}.{ours.__qualname__}" == f"treadle.{kind}"
    assert ours[int]


@on_each_side
def test_it_describes_itself(side):
    async def main():
        queue = side.Queue(2)
        texts = [str(queue)]
        queue.put_nowait("a")
        queue.put_nowait("b")
        putting = asyncio.create_task(queue.put("c"))
        await settle()
        texts.append(str(queue))
        putting.cancel()
        await asyncio.wait([putting])
        return texts

    assert treadle.run(main()) == [
        "<Queue maxsize=2>",
        "<Queue maxsize=2 _queue=['a', 'b'] _putters[1] tasks=2>",
    ]


# order ---------------------------------------------------------------------------------------


@on_each_side
@pytest.mark.parametrize("many", [1, 7, 8, 9, 100, 5000])
def test_what_came_first_leaves_first(side, many):
    queue = side.Queue()
    for round in range(3):  # the second round begins in the middle of the ring
        for i in range(many):
            queue.put_nowait((round, i))
            if i % 3 == 2:
                queue.put_nowait(queue.get_nowait())
        assert queue.qsize() == many
        seen = [queue.get_nowait() for _ in range(many)]
        assert sorted(seen) == [(round, i) for i in range(many)]
        assert queue.empty()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_is_asyncios(kind):
    def play(queue):
        seen = []
        for i in range(300):
            queue.put_nowait(i * 37 % 101)
            if i % 3 == 0 or i > 250:
                seen.append(queue.get_nowait())
        return seen, queue.qsize(), list(queue._queue)

    assert play(getattr(OURS, kind)()) == play(getattr(STOCK, kind)())


def test_somebody_may_look_at_the_container_and_change_it():
    queue = treadle.Queue()
    for i in range(20):
        queue.put_nowait(i)
    assert list(queue._queue) == list(range(20))
    queue._queue.appendleft("first")
    queue.put_nowait("last")
    assert queue.qsize() == 22
    assert queue.get_nowait() == "first"
    queue._queue.clear()
    assert queue.empty()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


def test_somebody_may_replace_the_container():
    queue = treadle.Queue()
    queue.put_nowait("gone")
    queue._queue = type(queue._queue)(["one", "two"])
    assert queue.get_nowait() == "one"
    assert queue.qsize() == 1


# sizes ---------------------------------------------------------------------------------------


@on_each_side
@each_kind
def test_a_full_queue_says_so(side, kind):
    queue = getattr(side, kind)(2)
    queue.put_nowait(1)
    assert not queue.full()
    queue.put_nowait(2)
    assert queue.full()
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(3)
    with pytest.raises(TypeError):
        getattr(side, kind)(loop=None)


@on_each_side
@pytest.mark.parametrize("maxsize", [0, -1, float("inf")])
def test_without_a_size_it_is_never_full(side, maxsize):
    queue = side.Queue(maxsize)
    for i in range(50):
        queue.put_nowait(i)
    assert not queue.full()
    assert queue.maxsize == maxsize


@on_each_side
def test_its_size_may_be_a_fraction(side):
    queue = side.Queue(1.5)
    queue.put_nowait(1)
    assert not queue.full()
    queue.put_nowait(2)
    assert queue.full()


@on_each_side
def test_it_can_be_resized_as_programs_do(side):
    queue = side.Queue(1)
    queue.put_nowait(1)
    queue._maxsize = 2
    assert not queue.full()
    queue.put_nowait(2)
    assert queue.full()


# waiting -------------------------------------------------------------------------------------


@on_each_loop
@on_each_side
def test_getters_are_served_in_the_order_in_which_they_came(run, side):
    async def main():
        queue, order = side.Queue(), []

        async def take(name):
            order.append((name, await queue.get()))

        tasks = [asyncio.create_task(take(name)) for name in "abc"]
        await settle()
        for i in range(3):
            queue.put_nowait(i)
        await asyncio.gather(*tasks)
        return order

    assert run(main()) == [("a", 0), ("b", 1), ("c", 2)]


@on_each_loop
@on_each_side
def test_putters_are_let_in_in_the_order_in_which_they_came(run, side):
    async def main():
        queue = side.Queue(1)
        await queue.put("first")
        tasks = [asyncio.create_task(queue.put(name)) for name in "abc"]
        await settle()
        got = [await queue.get() for _ in range(4)]
        await asyncio.gather(*tasks)
        return got

    assert run(main()) == ["first", "a", "b", "c"]


@on_each_side
def test_a_getter_that_was_too_slow_waits_again(side):
    async def main():
        queue = side.Queue()
        waiting = asyncio.create_task(queue.get())
        await settle()
        queue.put_nowait("taken by another")
        assert queue.get_nowait() == "taken by another"
        await settle()
        assert not waiting.done()
        queue.put_nowait("item")
        return await waiting

    assert treadle.run(main()) == "item"


@on_each_side
def test_a_coroutine_of_put_puts_nothing_before_it_is_awaited(side):
    async def main():
        queue = side.Queue()
        putting = queue.put("item")
        assert queue.empty()
        await putting
        return queue.qsize()

    assert treadle.run(main()) == 1


@on_each_side
def test_it_belongs_to_the_loop_on_which_somebody_waited(side):
    queue = side.Queue()

    async def wait():
        task = asyncio.create_task(queue.get())
        await settle()
        task.cancel()
        await asyncio.wait([task])

    treadle.run(wait())

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await queue.get()

    treadle.run(wait_elsewhere())


def test_two_loops_can_use_queues_at_a_time():
    results = []

    async def main():
        queue = treadle.Queue()
        getting = asyncio.create_task(queue.get())
        for i in range(100):
            await asyncio.sleep(0)
            queue.put_nowait(i)
            assert await getting == i
            getting = asyncio.create_task(queue.get())
        getting.cancel()
        results.append("done")

    threads = [threading.Thread(target=treadle.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["done"] * 2


# classes of users ----------------------------------------------------------------------------


@on_each_side
def test_a_class_may_have_a_container_of_its_own(side):
    class Unique(side.Queue):
        def _init(self, maxsize):
            self.seen = {}

        def _put(self, item):
            self.seen[item] = None

        def _get(self):
            return self.seen.popitem()[0]

        def qsize(self):
            return len(self.seen)

        def empty(self):
            return not self.seen

    async def main():
        queue = Unique(2)
        await queue.put("a")
        await queue.put("a")
        assert queue.qsize() == 1
        await queue.put("b")
        assert queue.full()
        return [await queue.get(), await queue.get(), queue.empty()]

    assert treadle.run(main()) == ["b", "a", True]


@on_each_side
@pytest.mark.parametrize("method", ["put_nowait", "get_nowait", "_put", "_get", "full", "empty"])
def test_an_overridden_method_is_called_by_put_and_get(side, method):
    calls = []

    def overridden(self, *args):
        calls.append(method)
        return getattr(side.Queue, method)(self, *args)

    cls = type("Overriding", (side.Queue,), {method: overridden})

    async def main():
        queue = cls()
        await queue.put("item")
        return await queue.get()

    assert treadle.run(main()) == "item"
    assert calls


@on_each_side
def test_a_class_may_wait_in_its_own_get(side):
    class Doubling(side.Queue):
        async def get(self):
            return 2 * await super().get()

    async def main():
        queue = Doubling()
        queue.attribute = "free"
        await queue.put(4)
        return await queue.get()

    assert treadle.run(main()) == 8


# work ----------------------------------------------------------------------------------------


@on_each_loop
@on_each_side
def test_join_waits_until_all_work_is_done(run, side):
    async def main():
        queue = side.Queue()
        await queue.join()
        queue.put_nowait(1)
        queue.put_nowait(2)
        joining = [asyncio.create_task(queue.join()) for _ in range(2)]
        queue.task_done()
        await settle()
        assert not any(task.done() for task in joining)
        queue.task_done()
        queue.put_nowait(3)  # too late to hold up those who join already
        await asyncio.gather(*joining)
        queue.task_done()
        with pytest.raises(ValueError, match="called too many times"):
            queue.task_done()

    run(main())


# shutdown ------------------------------------------------------------------------------------


@sides_with_shutdown
@each_kind
def test_after_a_shutdown_what_is_there_can_be_got(side, kind):
    async def main():
        queue = getattr(side, kind)()
        queue.put_nowait(1)
        queue.shutdown()
        with pytest.raises(treadle.QueueShutDown):
            queue.put_nowait(2)
        with pytest.raises(treadle.QueueShutDown):
            await queue.put(2)
        assert await queue.get() == 1
        with pytest.raises(treadle.QueueShutDown):
            await queue.get()
        with pytest.raises(treadle.QueueShutDown):
            queue.get_nowait()
        assert "shutdown" in repr(queue)

    treadle.run(main())


@sides_with_shutdown
@each_kind
def test_an_immediate_shutdown_throws_away_and_ends_join(side, kind):
    async def main():
        queue = getattr(side, kind)()
        for i in range(3):
            queue.put_nowait(i)
        joining = asyncio.create_task(queue.join())
        await settle()
        queue.shutdown(immediate=True)
        await joining
        assert queue.empty()
        with pytest.raises(treadle.QueueShutDown):
            await queue.get()

    treadle.run(main())


@sides_with_shutdown
@pytest.mark.parametrize("immediate", [False, True])
def test_a_shutdown_ends_all_waiting(side, immediate):
    async def main():
        empty, full = side.Queue(), side.Queue(1)
        full.put_nowait(1)
        tasks = [asyncio.create_task(empty.get()) for _ in range(3)]
        tasks += [asyncio.create_task(full.put(i)) for i in range(3)]
        await settle()
        empty.shutdown(immediate)
        full.shutdown(immediate)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(found) for found in treadle.run(main())] == [treadle.QueueShutDown] * 6


# cancellation --------------------------------------------------------------------------------


@on_each_loop
@on_each_side
def test_the_turn_of_a_cancelled_getter_goes_to_the_next(run, side):
    async def main():
        queue = side.Queue()
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await settle()
        queue.put_nowait("item")  # wakes the first
        first.cancel()
        assert await second == "item"
        assert first.cancelled()
        assert len(queue._getters) == 0

    run(main())


@on_each_loop
@on_each_side
def test_the_turn_of_a_cancelled_putter_goes_to_the_next(run, side):
    async def main():
        queue = side.Queue(1)
        queue.put_nowait("old")
        first, second = (asyncio.create_task(queue.put(i)) for i in "ab")
        await settle()
        assert queue.get_nowait() == "old"  # wakes the first
        first.cancel()
        await second
        assert queue.get_nowait() == "b"
        assert len(queue._putters) == 0

    run(main())


@on_each_side
@pytest.mark.parametrize("method", ["get", "put"])
def test_a_cancelled_waiter_leaves_the_line(side, method):
    async def main():
        queue = side.Queue(1)
        if method == "put":
            queue.put_nowait(0)
        tasks = [
            asyncio.create_task(queue.get() if method == "get" else queue.put(i)) for i in range(3)
        ]
        await settle()
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        line = queue._getters if method == "get" else queue._putters
        assert len(line) == 2
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(line) == 0

    treadle.run(main())


@on_each_loop
@on_each_side
@pytest.mark.parametrize("put_after", range(6))
@pytest.mark.parametrize("cancel_after", range(6))
def test_no_item_is_lost_to_a_cancelled_get(run, side, put_after, cancel_after):
    """Whichever comes first, the item is with the getter or in the queue, never nowhere."""

    async def main():
        queue, got = side.Queue(), []

        async def take():
            got.append(await asyncio.wait_for(queue.get(), 60))

        task = asyncio.create_task(take())
        for turn in range(8):
            if turn == put_after:
                queue.put_nowait("item")
            if turn == cancel_after:
                task.cancel()
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return got + [queue.get_nowait() for _ in range(queue.qsize())]

    assert run(main()) == ["item"]


@on_each_side
def test_no_item_is_lost_to_a_timeout(side):
    async def main():
        queue, got, loop = side.Queue(), [], asyncio.get_running_loop()

        async def take():
            try:
                async with asyncio.timeout(None) as limit:
                    loop.call_soon(limit.reschedule, loop.time())
                    got.append(await queue.get())
            except TimeoutError:
                pass

        for _ in range(5):
            task = asyncio.create_task(take())
            await asyncio.sleep(0)
            queue.put_nowait("item")
            await task
            while not queue.empty():
                got.append(queue.get_nowait())
        return got

    assert treadle.run(main()) == ["item"] * 5
