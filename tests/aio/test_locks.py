"""Lock, Event, Semaphore, BoundedSemaphore: order, waiting, classes of users, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import inspect

import pytest

import treadle
from tests.aio.sides import OURS, STOCK, on_each_loop, on_each_side, settle

ALL = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore"]
ENTERED = ["BoundedSemaphore", "Condition", "Lock", "Semaphore"]
each_entered = pytest.mark.parametrize("kind", ENTERED)
each_limiter = pytest.mark.parametrize("kind", ["BoundedSemaphore", "Lock", "Semaphore"])


# what they are -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_it_is_asyncios(kind):
    ours = getattr(treadle, kind)
    assert issubclass(ours, getattr(STOCK, kind))
    assert f"{ours.__module__}.{ours.__qualname__}" == f"treadle.{kind}"
    assert issubclass(treadle.BoundedSemaphore, treadle.Semaphore)


@pytest.mark.parametrize("kind", [*ALL, "Queue", "PriorityQueue", "LifoQueue"])
def test_its_methods_take_the_arguments_of_asyncios(kind):
    def parameters(cls, name):
        return {
            (parameter.name, parameter.default)
            for parameter in inspect.signature(getattr(cls, name)).parameters.values()
        }

    theirs = getattr(STOCK, kind)
    for name in (name for name in dir(theirs) if not name.startswith("_")):
        if callable(getattr(theirs, name)):
            assert parameters(getattr(treadle, kind), name) == parameters(theirs, name)


@pytest.mark.parametrize("kind", ALL)
def test_it_describes_itself_as_asyncios(kind):
    def described(side):
        made = getattr(side, kind)(*([2] if kind == "Barrier" else []))
        return repr(made).partition("[")[2]

    assert described(OURS) == described(STOCK)


@on_each_side
@each_entered
def test_it_can_be_entered_again_and_again(side, kind):
    async def main():
        made = getattr(side, kind)()
        for _ in range(3):
            async with made as entered:
                assert entered is None
                assert made.locked()
            assert not made.locked()
            assert await made.acquire() is True
            made.release()

    treadle.run(main())


@on_each_side
@each_entered
def test_it_is_left_when_the_body_fails(side, kind):
    async def main():
        made = getattr(side, kind)()
        with pytest.raises(ZeroDivisionError):
            async with made:
                raise ZeroDivisionError
        assert not made.locked()

    treadle.run(main())


@on_each_side
@each_entered
def test_it_can_be_entered_by_an_exit_stack(side, kind):
    async def main():
        made = getattr(side, kind)()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(made)
            assert made.locked()
        assert not made.locked()

    treadle.run(main())


@on_each_side
@each_limiter
def test_nothing_is_taken_before_acquire_is_awaited(side, kind):
    async def main():
        made = getattr(side, kind)()
        acquiring = made.acquire()
        assert not made.locked()
        acquiring.close()
        task = asyncio.create_task(made.acquire())
        task.cancel()
        await asyncio.wait([task])
        assert not made.locked()

    treadle.run(main())


@each_entered
def test_ours_is_entered_in_the_call_when_it_is_free(kind):
    async def main():
        made = getattr(treadle, kind)()
        entering = made.__aenter__()
        assert made.locked()
        late = asyncio.create_task(made.__aenter__())
        await entering
        await settle()
        assert not late.done()
        late.cancel()
        await asyncio.wait([late])
        await made.__aexit__(None, None, None)
        assert not made.locked()

    treadle.run(main())


@each_entered
def test_who_waits_goes_before_who_enters(kind):
    async def main():
        made = getattr(treadle, kind)()
        await made.acquire()
        first = asyncio.create_task(made.acquire())
        await settle()
        made.release()  # the first is awake and has not run
        second = asyncio.create_task(made.__aenter__())
        await settle()
        assert first.done()
        assert not second.done()
        second.cancel()
        await asyncio.wait([second])

    treadle.run(main())


@on_each_side
@each_limiter
def test_async_with_uses_the_methods_of_a_class_of_users(side, kind):
    calls = []
    base = getattr(side, kind)

    class Noted(base):
        async def acquire(self):
            calls.append("acquire")
            return await super().acquire()

        def release(self):
            calls.append("release")
            super().release()

    async def main():
        async with Noted() as entered:
            assert entered is None
            calls.append("body")

    treadle.run(main())
    assert calls == ["acquire", "body", "release"]


@on_each_side
@pytest.mark.parametrize("kind", ["Condition", "Event", "Lock", "Semaphore"])
def test_it_belongs_to_the_loop_on_which_somebody_waited(side, kind):
    made = getattr(side, kind)(*([0] if kind == "Semaphore" else []))

    async def wait():
        if kind == "Event":
            await made.wait()
        elif kind == "Condition":
            async with made:
                await made.wait()
        else:
            await made.acquire()
            await made.acquire()

    async def begin_to_wait():
        task = asyncio.create_task(wait())
        await settle()
        task.cancel()
        await asyncio.wait([task])

    treadle.run(begin_to_wait())

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await wait()

    treadle.run(wait_elsewhere())


# order and cancellation ----------------------------------------------------------------------


@on_each_loop
@on_each_side
@each_limiter
def test_those_who_wait_get_in_in_the_order_in_which_they_came(run, side, kind):
    async def main():
        made, order = getattr(side, kind)(), []

        async def enter(name):
            async with made:
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(enter(name) for name in "abcdefgh"))
        return "".join(order)

    assert run(main()) == "abcdefgh"


@on_each_loop
@on_each_side
@each_limiter
def test_a_newcomer_does_not_overtake_who_was_woken(run, side, kind):
    async def main():
        made, order = getattr(side, kind)(), []

        async def take(name):
            await made.acquire()
            order.append(name)
            made.release()

        await made.acquire()
        first = asyncio.create_task(take("first"))
        await settle()
        made.release()  # wakes the first, who has not run yet
        await take("newcomer")
        await first
        return order

    assert run(main()) == ["first", "newcomer"]


@on_each_loop
@on_each_side
@each_limiter
@pytest.mark.parametrize("woken", [False, True])
def test_the_turn_of_a_cancelled_waiter_goes_to_the_next(run, side, kind, woken):
    async def main():
        made = getattr(side, kind)()
        await made.acquire()
        first, second = (asyncio.create_task(made.acquire()) for _ in range(2))
        await settle()
        if woken:
            made.release()
        first.cancel()
        await settle()
        if not woken:
            assert not second.done()
            made.release()
        assert await second is True
        assert first.cancelled()
        assert made.locked()
        made.release()
        assert not made.locked()

    run(main())


@each_limiter
def test_a_waiter_that_is_closed_passes_on_its_turn(kind):
    """asyncio's do so after a cancellation only."""

    async def main():
        made = getattr(treadle, kind)()
        await made.acquire()
        first = made.acquire()
        first.send(None)
        second = asyncio.create_task(made.acquire())
        await settle()
        made.release()
        first.close()
        assert await second is True

    treadle.run(main())


# Lock ----------------------------------------------------------------------------------------


@on_each_side
def test_a_lock_that_is_free_cannot_be_released(side):
    with pytest.raises(RuntimeError, match="Lock is not acquired"):
        side.Lock().release()


# Event ---------------------------------------------------------------------------------------


@on_each_loop
@on_each_side
def test_an_event_wakes_all_who_wait_even_if_it_is_cleared_at_once(run, side):
    async def main():
        event = side.Event()
        waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
        await settle()
        waiting[1].cancel()
        event.set()
        event.clear()
        assert not event.is_set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert len(event._waiters) == 0
        late = asyncio.create_task(event.wait())
        await settle()
        assert not late.done()
        event.set()
        assert await late is True
        return [found[0], type(found[1]), found[2]]

    assert run(main()) == [True, asyncio.CancelledError, True]


# Semaphore -----------------------------------------------------------------------------------


@on_each_side
def test_a_semaphore_needs_a_value_that_is_not_negative(side):
    for kind in ("Semaphore", "BoundedSemaphore"):
        with pytest.raises(ValueError, match="must be >= 0"):
            getattr(side, kind)(-1)


@on_each_side
def test_a_semaphore_may_have_no_limit(side):
    async def main():
        semaphore = side.Semaphore(float("inf"))
        for _ in range(10):
            await semaphore.acquire()
        return semaphore.locked()

    assert treadle.run(main()) is False


@on_each_side
def test_a_bounded_semaphore_notices_one_release_too_many(side):
    async def main():
        semaphore = side.BoundedSemaphore(2)
        async with semaphore:
            async with semaphore:
                assert semaphore.locked()
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()
        assert semaphore._value == 2

    treadle.run(main())


@on_each_side
def test_no_unit_of_a_semaphore_gets_lost_or_is_added(side):
    async def main():
        semaphore, inside, most = side.Semaphore(3), 0, 0

        async def work(i):
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                try:
                    for _ in range(i % 4):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(work(i)) for i in range(60)]
        for i in range(60):
            await asyncio.sleep(0)
            if i % 3 == 0:
                tasks[i * 7 % 60].cancel()
        await asyncio.wait(tasks)
        assert (inside, most) == (0, 3)
        return semaphore._value

    assert treadle.run(main()) == 3
