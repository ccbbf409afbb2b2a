"""Condition and Barrier: notifications, the lock around them, cancellation, breaking."""

from __future__ import annotations

import asyncio

import pytest

import treadle
from tests.aio.sides import STOCK, on_each_loop, on_each_side, settle


@on_each_loop
@on_each_side
def test_a_condition_notifies_as_many_as_it_is_told_first_come_first_served(run, side):
    async def main():
        condition, woken = side.Condition(), []

        async def wait(name):
            async with condition:
                assert await condition.wait() is True
                assert condition.locked()
                woken.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "abcde"]
        await settle()
        for n in (1, 2):
            async with condition:
                condition.notify(n)
            await settle()
            woken.append(n)
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)
        return woken

    assert run(main()) == ["a", 1, "b", "c", 2, "d", "e"]


@on_each_side
def test_a_condition_needs_its_lock(side):
    async def main():
        condition = side.Condition()
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            await condition.wait()
        with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
            condition.notify()

    treadle.run(main())


@on_each_side
@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_condition_can_share_a_lock(side, kind):
    async def main():
        lock = getattr(side, kind)()
        condition = side.Condition(lock)
        async with lock:
            assert condition.locked()
            condition.notify_all()
        async with condition:
            assert lock.locked()
        assert not lock.locked()

    treadle.run(main())


def test_a_condition_takes_asyncios_lock():
    async def main():
        lock = STOCK.Lock()
        condition = treadle.Condition(lock)
        async with condition:
            assert lock.locked()
        assert not lock.locked()

    treadle.run(main())


@on_each_loop
@on_each_side
def test_wait_for_returns_what_the_predicate_returned(run, side):
    async def main():
        condition, letters = side.Condition(), []

        async def wait():
            async with condition:
                return await condition.wait_for(lambda: letters[1:])

        task = asyncio.create_task(wait())
        for letter in "ab":
            await settle()
            async with condition:
                letters.append(letter)
                condition.notify()
        return await task

    assert run(main()) == ["b"]


@on_each_side
def test_a_cancelled_wait_has_the_lock_when_it_ends(side):
    async def main():
        condition, had = side.Condition(), []

        async def wait():
            async with condition:
                try:
                    await condition.wait()
                finally:
                    had.append(condition.locked())

        task = asyncio.create_task(wait())
        await settle()
        await condition.acquire()
        task.cancel()
        await settle()
        task.cancel()  # while it waits for the lock
        await settle()
        assert not task.done()
        condition.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not condition.locked()
        return had

    assert treadle.run(main()) == [True]


# Barrier -------------------------------------------------------------------------------------


@on_each_loop
@on_each_side
def test_a_barrier_lets_groups_through(run, side):
    async def main():
        barrier = side.Barrier(3)
        found = await asyncio.gather(*(barrier.wait() for _ in range(9)))
        assert (barrier.n_waiting, barrier.parties, barrier.broken) == (0, 3, False)
        return sorted(found)

    assert run(main()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@on_each_side
def test_a_barrier_needs_parties(side):
    with pytest.raises(ValueError, match="parties must be"):
        side.Barrier(0)


@on_each_side
@pytest.mark.parametrize("method", ["reset", "abort"])
def test_who_waits_at_a_barrier_leaves_with_an_error_when_it_is_ended(side, method):
    async def main():
        barrier = side.Barrier(3)
        waiting = [asyncio.create_task(barrier.wait()) for _ in range(2)]
        await settle()
        await getattr(barrier, method)()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in found] == [asyncio.BrokenBarrierError] * 2
        assert barrier.broken is (method == "abort")
        if method == "abort":
            with pytest.raises(asyncio.BrokenBarrierError):
                await barrier.wait()
            await barrier.reset()
        return sorted(await asyncio.gather(*(barrier.wait() for _ in range(3))))

    assert treadle.run(main()) == [0, 1, 2]


@on_each_side
def test_a_cancelled_task_never_came_to_the_barrier(side):
    async def main():
        barrier = side.Barrier(2)
        gone = asyncio.create_task(barrier.wait())
        await settle()
        gone.cancel()
        await asyncio.wait([gone])
        assert barrier.n_waiting == 0
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(enter(barrier)) for _ in range(2)]
        return sorted(task.result() for task in tasks)

    async def enter(barrier):
        async with barrier as position:
            return position

    assert treadle.run(main()) == [0, 1]
