"""wait, wait_for and as_completed."""

# ruff: noqa: PT012 (it is the block that raises, not one of its statements)
from __future__ import annotations

import asyncio
import sys

import pytest

import treadle
from tests.aio.structured import Failure, each_lib, fail, forever, turns


async def value(result, after=1):
    await turns(after)
    return result


# wait ------------------------------------------------------------------------------------------


@each_lib
def test_wait_waits_for_all(loop, lib):
    async def main():
        tasks = {loop.create_task(value(n, after=n)) for n in range(5)}
        assert await lib.wait(tasks) == (tasks, set())

    loop.run_until_complete(main())


@each_lib
def test_wait_can_end_with_the_first(loop, lib):
    async def main():
        fast = loop.create_task(value(1, after=0))
        slow = loop.create_task(forever())
        done, pending = await lib.wait([fast, slow], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({fast}, {slow})
        assert not slow.cancelling()

    loop.run_until_complete(main())


@each_lib
def test_wait_can_end_with_the_first_failure(loop, lib):
    async def main():
        good = loop.create_task(value(1, after=0))
        bad = loop.create_task(fail())
        slow = loop.create_task(forever())
        done, pending = await lib.wait([good, bad, slow], return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == ({good, bad}, {slow})
        assert isinstance(bad.exception(), Failure)

    loop.run_until_complete(main())


@each_lib
def test_wait_ends_when_the_time_is_over_and_raises_nothing(loop, lib):
    async def main():
        slow = loop.create_task(forever())
        assert await lib.wait([slow], timeout=0.001) == (set(), {slow})
        assert not slow.cancelling()

    loop.run_until_complete(main())


@each_lib
def test_a_wait_that_is_cancelled_leaves_the_futures_alone(loop, lib):
    async def main():
        future = loop.create_future()
        waiting = loop.create_task(lib.wait([future], timeout=3600))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.done()
        assert not future._callbacks

    loop.run_until_complete(main())


@each_lib
def test_wait_refuses_what_it_cannot_wait_for(loop, lib):
    async def main():
        coro = value(1)
        with pytest.raises(TypeError, match="expect a list of futures, not coroutine"):
            await lib.wait(coro)
        with pytest.raises(TypeError, match="coroutines is forbidden"):
            await lib.wait([coro])
        coro.close()
        with pytest.raises(ValueError, match="empty"):
            await lib.wait([])
        with pytest.raises(ValueError, match="return_when"):
            await lib.wait([loop.create_future()], return_when="sometimes")

    loop.run_until_complete(main())


@pytest.mark.parametrize("function", [treadle.wait, treadle.wait_for])
def test_what_is_a_coroutine_function_in_asyncio_is_one_here(function):
    assert asyncio.iscoroutinefunction(function)


# wait_for --------------------------------------------------------------------------------------


@each_lib
@pytest.mark.parametrize("limit", [3600, None])
def test_wait_for_gives_the_result(loop, lib, limit):
    async def main():
        assert await lib.wait_for(value("in time"), limit) == "in time"
        with pytest.raises(Failure):
            await lib.wait_for(fail(), limit)

    loop.run_until_complete(main())


@each_lib
@pytest.mark.parametrize("limit", [0.001, 0, -1])
def test_wait_for_cancels_what_is_too_slow_and_waits_for_its_end(loop, lib, limit):
    log = []

    async def main():
        task = loop.create_task(forever(log))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await lib.wait_for(task, limit)
        assert task.cancelled()
        assert log == ["cancelled"]
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


@each_lib
def test_wait_for_without_time_begins_nothing(loop, lib):
    log = []

    async def work():
        log.append("begun")

    async def main():
        with pytest.raises(TimeoutError):
            await lib.wait_for(work(), 0)
        done = loop.create_future()
        done.set_result("done before")
        assert await lib.wait_for(done, 0) == "done before"

    loop.run_until_complete(main())
    assert log == []


@each_lib
def test_wait_for_passes_on_what_comes_in_spite_of_the_cancellation(loop, lib):
    async def stubborn():
        try:
            await forever()
        except asyncio.CancelledError:
            return "too late, but here"

    async def main():
        assert await lib.wait_for(stubborn(), 0.001) == "too late, but here"

    loop.run_until_complete(main())


async def cancelled_as_it_ends(wait_for):
    """Cancel a task in the turn in which what it waits for ends; say whether it was swallowed."""
    loop = asyncio.get_running_loop()
    inner = loop.create_future()

    async def work():
        await wait_for(inner, 3600)
        return "swallowed"

    task = loop.create_task(work())
    await turns(2)
    inner.set_result(None)
    task.cancel()
    await asyncio.wait([task])
    return "cancelled" if task.cancelled() else task.result()


def test_wait_for_never_swallows_a_cancellation(loop):
    assert loop.run_until_complete(cancelled_as_it_ends(treadle.wait_for)) == "cancelled"


def test_asyncio_swallowed_it_before_python_312(loop):
    outcome = loop.run_until_complete(cancelled_as_it_ends(asyncio.wait_for))
    assert outcome == ("swallowed" if sys.version_info < (3, 12) else "cancelled")


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_cancellation_of_wait_for_reaches_what_it_waits_for(loop, steps):
    log = []

    async def inner():
        try:
            await turns(3)
            log.append("finished")
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main():
        task = loop.create_task(treadle.wait_for(inner(), 3600))
        await turns(steps)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == (log != ["finished"])

    loop.run_until_complete(main())


# as_completed ----------------------------------------------------------------------------------


def test_awaitables_come_in_the_order_in_which_they_are_done(loop):
    async def main():
        awaitables = [value(n, after=10 - n) for n in (1, 2, 3)]
        return [await following for following in treadle.as_completed(awaitables)]

    assert loop.run_until_complete(main()) == [3, 2, 1]


@each_lib
def test_the_asynchronous_iterator_gives_the_tasks_themselves(loop, lib):
    async def main():
        tasks = [loop.create_task(value(n, after=10 - n)) for n in (1, 2, 3)]
        seen = [task async for task in lib.as_completed(tasks)]
        assert seen == tasks[::-1]
        assert all(task.done() for task in seen)

    loop.run_until_complete(main())


@each_lib
def test_what_fails_is_raised_where_it_is_awaited(loop, lib):
    async def main():
        async for task in lib.as_completed([fail()]):
            with pytest.raises(Failure):
                await task
        for following in lib.as_completed([fail()]):
            with pytest.raises(Failure):
                await following

    loop.run_until_complete(main())


@each_lib
def test_when_the_time_is_over_each_place_that_is_left_raises(loop, lib):
    async def main():
        slow, quick = loop.create_task(forever()), loop.create_task(value(1))
        await quick
        seen = []
        with pytest.raises(TimeoutError):
            async for task in lib.as_completed([slow, quick], timeout=0.001):
                seen.append(await task)  # noqa: PERF401 (what came before the end is kept)
        assert seen == [1]
        assert not slow.done()
        for following in lib.as_completed([slow], timeout=0.001):
            with pytest.raises(TimeoutError):
                await following

    loop.run_until_complete(main())


@each_lib
def test_a_cancelled_step_of_the_iterator_loses_nothing(loop, lib):
    async def main():
        first, second = loop.create_future(), loop.create_future()
        ended = iter(lib.as_completed([first, second]))
        one, two = loop.create_task(next(ended)), loop.create_task(next(ended))
        await asyncio.sleep(0)
        first.set_result("first")
        await asyncio.sleep(0)  # it is on its way to the first who asked, who gives up now
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert await two == "first"
        second.set_result("second")

    loop.run_until_complete(main())


@each_lib
def test_as_completed_wants_several_awaitables(loop, lib):
    async def main():
        coro = value(1)
        with pytest.raises(TypeError, match="expects an iterable of awaitables"):
            lib.as_completed(coro)
        coro.close()

    loop.run_until_complete(main())
