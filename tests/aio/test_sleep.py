"""Sleep, and what the objects that it returns have to be."""

from __future__ import annotations

import asyncio

import pytest

import treadle
from tests.aio.structured import Failure, each_lib
from tests.kit import SECOND


@each_lib
@pytest.mark.parametrize("delay", [0, -1, 0.001, 0.0])
def test_sleep_gives_its_result(loop, lib, delay):
    assert loop.run_until_complete(lib.sleep(delay, "rested")) == "rested"
    assert loop.run_until_complete(lib.sleep(delay)) is None
    assert loop.run_until_complete(lib.sleep(delay, (1, 2))) == (1, 2)


def test_sleep_is_neither_early_nor_late(virtual):
    loop, clock = virtual
    loop.run_until_complete(treadle.sleep(10))
    assert clock.ns == 10 * SECOND


@each_lib
def test_sleeping_no_time_lets_others_run_for_one_turn(loop, lib):
    log = []

    async def main():
        loop.call_soon(log.append, "first")
        loop.call_soon(loop.call_soon, log.append, "second")
        await lib.sleep(0)
        assert log == ["first"]
        await lib.sleep(0)
        assert log == ["first", "second"]

    loop.run_until_complete(main())


@each_lib
def test_a_delay_that_is_not_a_number_is_refused(loop, lib):
    async def main():
        with pytest.raises(ValueError, match="NaN"):
            await lib.sleep(float("nan"))
        with pytest.raises(TypeError):
            await lib.sleep("long")

    loop.run_until_complete(main())


@each_lib
@pytest.mark.parametrize("delay", [0, 3600])
def test_a_sleep_can_be_cancelled(loop, lib, delay):
    async def main():
        task = loop.create_task(lib.sleep(delay))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_a_cancelled_sleep_leaves_no_timer(virtual):
    loop, clock = virtual

    async def main():
        task = loop.create_task(treadle.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)  # jumps to the next timer

    loop.run_until_complete(main())
    assert clock.ns == SECOND
    assert not loop._take_scheduled()


def test_a_sleep_is_a_coroutine(loop):
    nap = treadle.sleep(0)
    assert asyncio.iscoroutine(nap)
    loop.run_until_complete(nap)
    with pytest.raises(RuntimeError, match="already awaited"):
        loop.run_until_complete(nap)


def test_a_sleep_can_be_closed_and_thrown_into():
    nap = treadle.sleep(0)
    nap.close()
    with pytest.raises(RuntimeError, match="already awaited"):
        nap.send(None)
    with pytest.raises(Failure):
        treadle.sleep(0).throw(Failure())
    with pytest.raises(Failure):
        treadle.sleep(0).throw(Failure)
    nap = treadle.sleep(0)
    assert nap.send(None) is None
    with pytest.raises(StopIteration):
        nap.send(None)


def test_a_sleep_that_nobody_awaits_is_warned_of():
    with pytest.warns(RuntimeWarning, match="'sleep' was never awaited"):
        treadle.sleep(0)
