"""Gather and shield: what becomes of the children, whatever becomes of the whole."""

from __future__ import annotations

import asyncio
import gc

import pytest

import treadle
from tests.aio.structured import Failure, each_lib, fail, forever, turns


async def value(result, after=1):
    await turns(after)
    return result


class Awaitable:
    """Awaitable, and nothing else."""

    def __await__(self):
        return value("awaited").__await__()


# results ---------------------------------------------------------------------------------------


@each_lib
def test_results_stand_in_the_order_of_the_arguments(loop, lib):
    async def main():
        return await lib.gather(*[value(n, after=9 - n) for n in range(10)])

    assert loop.run_until_complete(main()) == list(range(10))


@each_lib
def test_nothing_to_gather_gives_an_empty_list(loop, lib):
    async def main():
        future = lib.gather()
        assert future.done()
        return await future

    assert loop.run_until_complete(main()) == []


@each_lib
def test_whatever_can_be_awaited_can_be_gathered(loop, lib):
    async def main():
        done = loop.create_future()
        done.set_result("future")
        return await lib.gather(Awaitable(), done, loop.create_task(value("task")), value("coro"))

    assert loop.run_until_complete(main()) == ["awaited", "future", "task", "coro"]


@each_lib
def test_the_same_awaitable_given_twice_runs_once(loop, lib):
    async def main():
        task = loop.create_task(value(object()))
        coro = value(object())
        first, second, third, fourth = await lib.gather(task, coro, task, coro)
        assert first is third
        assert second is fourth

    loop.run_until_complete(main())


@each_lib
def test_what_cannot_be_awaited_is_refused(loop, lib):
    async def main():
        with pytest.raises(TypeError, match="awaitable is required"):
            lib.gather(5)

    loop.run_until_complete(main())


@each_lib
def test_the_whole_is_a_future(loop, lib):
    async def main():
        whole = lib.gather(value(1))
        assert isinstance(whole, asyncio.Future)
        assert whole.get_loop() is loop
        await whole

    loop.run_until_complete(main())


# failures --------------------------------------------------------------------------------------


@each_lib
def test_the_first_failure_is_raised_and_the_others_go_on(loop, lib):
    async def main():
        task = loop.create_task(value("goes on", after=5))
        with pytest.raises(Failure):
            await lib.gather(task, fail(), fail())
        assert not task.done()
        assert await task == "goes on"

    loop.run_until_complete(main())


@each_lib
def test_exceptions_can_be_results(loop, lib):
    async def main():
        cancelled = loop.create_task(forever())
        loop.call_soon(cancelled.cancel)
        results = await lib.gather(value(1), fail(), cancelled, return_exceptions=True)
        assert results[0] == 1
        assert [type(exc) for exc in results[1:]] == [Failure, asyncio.CancelledError]

    loop.run_until_complete(main())


@each_lib
def test_a_child_that_is_cancelled_is_a_failure_of_the_whole(loop, lib):
    async def main():
        cancelled = loop.create_task(forever())
        whole = lib.gather(cancelled)
        await asyncio.sleep(0)
        cancelled.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await whole
        assert not whole.cancelled()
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


# cancellation ----------------------------------------------------------------------------------


@each_lib
def test_cancelling_the_whole_cancels_the_children(loop, lib):
    log = []

    async def main():
        whole = lib.gather(forever(log), forever(log), value(1, after=0))
        await turns(2)
        assert whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await whole
        assert log == ["cancelled", "cancelled"]
        assert not whole.cancel()

    loop.run_until_complete(main())


@each_lib
def test_cancelling_the_whole_shows_also_where_exceptions_are_results(loop, lib):
    async def work():
        await lib.gather(forever(), forever(), return_exceptions=True)

    async def main():
        task = loop.create_task(work())
        await turns(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


@each_lib
def test_there_is_nothing_to_cancel_when_all_children_are_done(loop, lib):
    async def main():
        done = loop.create_future()
        whole = lib.gather(done)
        done.set_result(1)
        assert whole.cancel() is False
        assert await whole == [1]

    loop.run_until_complete(main())


# shield ----------------------------------------------------------------------------------------


@each_lib
def test_a_shield_gives_what_is_behind_it(loop, lib):
    async def main():
        assert await lib.shield(value("inside")) == "inside"
        with pytest.raises(Failure):
            await lib.shield(fail())

    loop.run_until_complete(main())


@each_lib
def test_cancelling_the_shield_leaves_what_is_behind_it_alone(loop, lib):
    async def waiter(task):
        await lib.shield(task)

    async def main():
        task = loop.create_task(value("inside", after=5))
        waiting = loop.create_task(waiter(task))
        await turns(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await task == "inside"

    loop.run_until_complete(main())


@each_lib
def test_a_shield_around_what_is_cancelled_is_cancelled(loop, lib):
    async def main():
        task = loop.create_task(forever())
        shield = lib.shield(task)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shield
        assert shield.cancelled()

    loop.run_until_complete(main())


def test_a_failure_behind_a_cancelled_shield_is_reported_once(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def main():
        inner = loop.create_future()
        for shield in [treadle.shield(inner), treadle.shield(inner)]:
            shield.cancel()
        await asyncio.sleep(0)
        inner.set_exception(Failure())
        await turns(2)
        return inner

    inner = loop.run_until_complete(main())
    assert [report["message"] for report in reports] == ["Failure exception in shielded future"]
    assert reports[0]["future"] is inner
    assert isinstance(reports[0]["exception"], Failure)


def test_nothing_is_reported_behind_a_shield_that_was_not_cancelled(loop):
    async def main():
        with pytest.raises(Failure):
            await treadle.shield(fail())
        gc.collect()

    loop.run_until_complete(main())  # the fixture fails when something is reported
