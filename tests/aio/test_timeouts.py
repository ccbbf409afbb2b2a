"""Timeouts: who is cancelled, when, and what comes out of the block."""

# ruff: noqa: PT012 (it is the block that raises, not one of its statements)
from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

import treadle
from tests.aio.structured import Failure, each_lib, forever, past, turns
from tests.kit import SECOND

# what comes out --------------------------------------------------------------------------------


@each_lib
def test_a_block_that_is_quick_enough_is_left_alone(loop, lib):
    async def main():
        async with lib.timeout(3600) as scope:
            await asyncio.sleep(0)
        assert not scope.expired()
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


@each_lib
def test_a_block_that_is_too_slow_ends_with_a_timeout_error(loop, lib):
    log = []

    async def main():
        with pytest.raises(TimeoutError) as raised:
            async with lib.timeout(0.001) as scope:
                await forever(log)
        assert log == ["cancelled"]
        assert scope.expired()
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


def test_the_deadline_is_neither_early_nor_late(virtual):
    loop, clock = virtual

    async def main():
        with pytest.raises(TimeoutError):
            async with treadle.timeout(10):
                await forever()

    loop.run_until_complete(main())
    assert clock.ns == 10 * SECOND


@each_lib
@pytest.mark.parametrize("delay", [0, -1])
def test_no_time_at_all_cancels_at_the_first_await_that_waits(loop, lib, delay):
    async def main():
        reached = False
        with pytest.raises(TimeoutError):
            async with lib.timeout(delay):
                reached = True
                await forever()
        assert reached

    loop.run_until_complete(main())


@each_lib
def test_a_deadline_that_passes_behind_the_last_await_harms_nobody(loop, lib):
    async def main():
        async with lib.timeout_at(past()) as scope:
            pass
        assert not scope.expired()
        await turns(2)

    loop.run_until_complete(main())


@each_lib
def test_a_block_may_swallow_the_cancellation_and_go_on(loop, lib):
    async def main():
        async with lib.timeout_at(past()) as scope:
            with pytest.raises(asyncio.CancelledError):
                await forever()
        assert scope.expired()
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


@each_lib
def test_another_exception_passes_and_shows_the_timeout_in_its_context(loop, lib):
    async def main():
        with pytest.raises(Failure) as raised:
            async with lib.timeout_at(past()):
                try:
                    await forever()
                finally:
                    raise Failure
        assert isinstance(raised.value.__context__, TimeoutError)

    loop.run_until_complete(main())


@each_lib
def test_the_outer_of_two_timeouts_ends_both(loop, lib):
    async def main():
        with pytest.raises(TimeoutError):
            async with lib.timeout_at(past()) as outer:
                async with lib.timeout(3600) as inner:
                    await forever()
        assert (outer.expired(), inner.expired()) == (True, False)

    loop.run_until_complete(main())


@each_lib
def test_two_timeouts_in_the_same_turn_both_expire(loop, lib):
    async def main():
        when = past()
        with pytest.raises(TimeoutError):
            async with lib.timeout_at(when) as outer:
                async with lib.timeout_at(when) as inner:
                    await forever()
        assert (outer.expired(), inner.expired()) == (True, True)
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


# collisions with a cancellation ------------------------------------------------------------------


@each_lib
@pytest.mark.parametrize("first", ["timeout", "cancellation"])
def test_a_cancellation_in_the_turn_of_the_timeout_stays_a_cancellation(loop, lib, first):
    async def work():
        here = asyncio.get_running_loop()
        task = asyncio.current_task()
        if first == "cancellation":
            here.call_soon(task.cancel)
        async with lib.timeout_at(past()):
            if first == "timeout":
                here.call_soon(task.cancel)
            await forever()

    async def main():
        task = asyncio.ensure_future(work())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert task.cancelling() == 1

    loop.run_until_complete(main())


@each_lib
def test_a_timeout_inside_of_a_cancelled_task_works_as_ever(loop, lib):
    async def work():
        with pytest.raises(asyncio.CancelledError):
            await forever()
        with pytest.raises(TimeoutError):  # tidying up, with a limit
            async with lib.timeout_at(past()):
                await forever()
        return "tidy"

    async def main():
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "tidy"
        assert task.cancelling() == 1

    loop.run_until_complete(main())


@each_lib
def test_a_timeout_that_was_left_cancels_nobody(loop, lib):
    async def main():
        scope = lib.timeout_at(past())
        async with scope:
            pass
        await turns(3)  # its callback was queued
        return "alive"

    assert loop.run_until_complete(main()) == "alive"


# moving the deadline -----------------------------------------------------------------------------


@each_lib
def test_a_deadline_can_be_moved_and_taken_away(loop, lib):
    async def main():
        async with lib.timeout(0.001) as scope:
            scope.reschedule(None)
            assert scope.when() is None
            scope.reschedule(loop.time() + 3600)
            await turns(3)
            assert scope.when() > loop.time()
        with pytest.raises(TimeoutError):
            async with lib.timeout(None) as scope:
                scope.reschedule(loop.time())
                await forever()

    loop.run_until_complete(main())


@each_lib
def test_a_deadline_cannot_be_moved_outside_of_the_block(loop, lib):
    async def main():
        scope = lib.timeout(10)
        with pytest.raises(RuntimeError, match="has not been entered"):
            scope.reschedule(1)
        async with scope:
            pass
        with pytest.raises(RuntimeError, match="finished"):
            scope.reschedule(1)
        with pytest.raises(TimeoutError):
            async with lib.timeout_at(past()) as scope:
                try:
                    await forever()
                finally:
                    with pytest.raises(RuntimeError, match="expiring"):
                        scope.reschedule(1)
        with pytest.raises(RuntimeError, match="expired"):
            scope.reschedule(1)

    loop.run_until_complete(main())


@each_lib
def test_a_timeout_is_entered_once_and_inside_of_a_task(loop, lib):
    raised = []

    def outside():
        try:
            lib.Timeout(None).__aenter__().send(None)
        except RuntimeError as exc:
            raised.append(str(exc))

    async def main():
        async with lib.timeout(10) as scope:
            with pytest.raises(RuntimeError, match="already been entered"):
                async with scope:
                    raise AssertionError
        loop.call_soon(outside)
        await asyncio.sleep(0)
        assert raised == ["Timeout should be used inside a task"]

    loop.run_until_complete(main())


@each_lib
def test_a_timeout_says_how_it_is_doing(loop, lib):
    async def main():
        scope = lib.timeout_at(12345.6789)
        assert repr(scope) == "<Timeout [created]>"
        scope = lib.timeout(None)
        async with scope:
            assert repr(scope) == "<Timeout [active] when=None>"
            scope.reschedule(loop.time() + 10)
            assert repr(scope) == f"<Timeout [active] when={round(scope.when(), 3)}>"
        assert repr(scope) == "<Timeout [finished]>"

    loop.run_until_complete(main())


# a class like asyncio's ---------------------------------------------------------------------------


def test_a_timeout_is_one_of_asyncios_and_can_be_derived_from(loop):
    class Mine(treadle.Timeout):
        def expired(self):
            return "perhaps"

    async def main():
        async with Mine(None) as scope:
            scope.note = "an attribute"
        assert scope.expired() == "perhaps"
        assert isinstance(scope, asyncio.Timeout)
        assert isinstance(treadle.timeout(1), asyncio.Timeout)

    loop.run_until_complete(main())


def test_a_timeout_that_was_left_keeps_nothing_alive(loop):
    async def main():
        async with treadle.timeout(10) as scope:
            await asyncio.sleep(0)
        return weakref.ref(asyncio.current_task()), scope

    task, _scope = loop.run_until_complete(main())
    gc.collect()
    assert task() is None


def test_a_loop_whose_clock_was_replaced_is_asked_for_the_time(make_loop):
    loop = make_loop()
    loop.time = lambda: 1000.0

    async def main():
        return treadle.timeout(5).when()

    assert loop.run_until_complete(main()) == 1005.0


def test_a_loop_whose_timers_were_replaced_is_asked_for_them(make_loop):
    loop = make_loop()
    asked = []
    call_at = loop.call_at
    loop.call_at = lambda when, *rest: asked.append(when) or call_at(when, *rest)

    async def main():
        async with treadle.timeout(5):
            pass

    loop.run_until_complete(main())
    assert len(asked) == 1
