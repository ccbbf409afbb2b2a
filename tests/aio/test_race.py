"""race: who wins, and what becomes of the losers."""

from __future__ import annotations

import asyncio

import pytest

from tests.aio.works import REASON, Work, turns
from treadle import Promise, race


def test_a_race_gives_the_first_result_and_cancels_and_awaits_the_others(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(race(work(0), work(1), work(2)))
        await turns()
        work.end(1)
        assert await task == "result 1"
        assert work.cancelled == [0, 2]

    run(main)


def test_a_race_raises_what_the_first_raises(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(race(work(0), work(1)))
        await turns()
        work.fail(0)
        with pytest.raises(ValueError, match="the reason"):
            await task
        assert work.cancelled == [1]

    run(main)


def test_of_two_in_the_same_turn_the_first_wins_and_the_other_is_dropped(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(race(work(0), work(1)))
        await turns()
        work.end(1)
        work.fail(0)
        assert await task == "result 1"

    run(main)


def test_a_cancelled_race_cancels_and_awaits_all(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(race(work(0), work(1)))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.cancelled == [0, 1]

    run(main)


def test_what_a_loser_raises_because_it_was_cancelled_is_reported(run, reports):
    async def main():
        async def failing():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                raise REASON

        assert await race(asyncio.sleep(0, "first"), failing()) == "first"
        assert [report["exception"] for report in reports] == [REASON]

    run(main)


def test_a_promise_that_loses_goes_on(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        assert await race(promise, asyncio.sleep(0, "first")) == "first"
        resolve("second")
        assert await promise == "second"

    run(main)


def test_the_same_runner_may_run_twice(run):
    async def main():
        coroutine = asyncio.sleep(0, "first")
        assert await race(coroutine, coroutine) == "first"

    run(main)


def test_a_race_of_nothing_is_refused(run):
    async def main():
        with pytest.raises(ValueError, match="nothing"):
            await race()

    run(main)


def test_what_cannot_be_awaited_is_refused_before_anything_begins(run):
    async def main():
        with pytest.raises(TypeError, match="5"):
            await race(asyncio.sleep(0), 5)

    run(main)
