"""Faults of asyncio's primitives that ours must not have.

Each is shown on asyncio's own class as well, on exactly those Pythons that have it.
"""

from __future__ import annotations

import asyncio

import treadle
from tests.aio.sides import BEFORE_3_13, STOCK, on_each_loop, on_each_side, settle


def has_fault(side):
    """True for asyncio's own class on a Python in which the fault was not yet mended."""
    return side is STOCK and BEFORE_3_13


@on_each_loop
@on_each_side
def test_a_notification_outlives_the_task_that_it_woke(run, side):
    """One of two tasks is notified and cancelled before it runs: the other must hear of it."""

    async def main():
        condition = side.Condition()

        async def wait():
            async with condition:
                await condition.wait()

        first, second = (asyncio.create_task(wait()) for _ in range(2))
        await settle()
        async with condition:
            condition.notify()
        first.cancel()
        await settle()
        heard = second.done()
        second.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        return heard

    assert run(main()) is not has_fault(side)


@on_each_loop
@on_each_side
def test_a_notification_outlives_a_task_that_is_cancelled_while_it_takes_the_lock(run, side):
    async def main():
        condition = side.Condition()

        async def wait():
            async with condition:
                await condition.wait()

        first, second = (asyncio.create_task(wait()) for _ in range(2))
        await settle()
        await condition.acquire()
        condition.notify()
        await settle()  # the first waits for the lock now
        first.cancel()
        await settle()
        condition.release()
        await settle()
        heard = second.done()
        second.cancel()
        await asyncio.wait([first, second])
        return heard

    assert run(main()) is not has_fault(side)


@on_each_side
def test_a_wait_raises_the_cancellation_that_was_asked_for(side):
    """asyncio replaced it by another one, without its message."""

    async def main():
        condition = side.Condition()

        async def wait():
            async with condition:
                await condition.wait()

        task = asyncio.create_task(wait())
        await settle()
        await condition.acquire()
        task.cancel("first")
        await settle()
        task.cancel("second")
        await settle()
        condition.release()
        try:
            await task
        except asyncio.CancelledError as error:
            return error.args

    assert treadle.run(main()) == (() if has_fault(side) else ("second",))


@on_each_loop
@on_each_side
def test_all_units_of_a_semaphore_are_given_out_at_once(run, side):
    """Two units become free while a task was woken and others queue up behind it.

    When it runs, both of the others must be woken: a task that it makes then comes after them.
    """

    async def main():
        semaphore, order = side.Semaphore(0), []

        async def first():
            await semaphore.acquire()
            order.append("first")
            made.append(asyncio.create_task(later()))

        async def other(name, releases):
            for _ in range(releases):
                semaphore.release()
            await semaphore.acquire()
            order.append(name)

        async def later():
            order.append("later")

        made = [asyncio.create_task(first())]
        await settle()
        # one unit wakes the first; before it runs two are free, and two tasks behind it
        made += [asyncio.create_task(other("a", 3)), asyncio.create_task(other("b", 0))]
        await settle()
        await asyncio.gather(*made)
        return order

    in_order = ["first", "a", "b", "later"]
    assert run(main()) == (["first", "a", "later", "b"] if has_fault(side) else in_order)


@on_each_side
def test_a_cancelled_acquire_that_had_no_unit_gives_none_back(side):
    """asyncio took any future that was not cancelled for one that brought a unit."""
    semaphore = side.Semaphore(0)

    async def main():
        acquiring = semaphore.acquire()
        acquiring.send(None)
        try:
            acquiring.throw(asyncio.CancelledError())
        except asyncio.CancelledError:
            return semaphore._value

    assert treadle.run(main()) == (1 if has_fault(side) else 0)
