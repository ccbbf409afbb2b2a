"""Task groups: no task outlives the block, and what happened comes out of it."""

# ruff: noqa: PT012 (it is the block that raises, not one of its statements)
from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest

import treadle
from tests.aio.structured import Failure, each_lib, fail, forever, turns

word = contextvars.ContextVar("word", default="none")
since_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")


async def value(result):
    await asyncio.sleep(0)
    return result


# a block that ends well ------------------------------------------------------------------------


@each_lib
def test_the_block_ends_when_all_tasks_have(loop, lib):
    async def main():
        async with lib.TaskGroup() as group:
            tasks = [group.create_task(value(n)) for n in range(10)]
        return [task.result() for task in tasks]

    assert loop.run_until_complete(main()) == list(range(10))


@each_lib
def test_a_task_may_start_others_while_the_block_waits(loop, lib):
    log = []

    async def parent(group):
        await turns(3)
        group.create_task(child())

    async def child():
        await turns(3)
        log.append("child")

    async def main():
        async with lib.TaskGroup() as group:
            group.create_task(parent(group))
        assert log == ["child"]

    loop.run_until_complete(main())


@each_lib
def test_name_and_context_are_passed_on(loop, lib):
    async def show():
        return word.get()

    async def main():
        context = contextvars.copy_context()
        context.run(word.set, "given")
        async with lib.TaskGroup() as group:
            task = group.create_task(show(), name="shown", context=context)
        assert (task.get_name(), task.result()) == ("shown", "given")

    loop.run_until_complete(main())


def test_keywords_are_the_loops_to_judge(loop):
    async def main():
        async with treadle.TaskGroup() as group:
            coro = value(1)
            with pytest.raises(TypeError):
                group.create_task(coro, colour="red")
            coro.close()

    loop.run_until_complete(main())


# failures --------------------------------------------------------------------------------------


@each_lib
def test_a_failure_cancels_the_others_and_the_block(loop, lib):
    log = []

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            async with lib.TaskGroup() as group:
                group.create_task(forever(log))
                group.create_task(fail())
                await forever(log)
        assert log == ["cancelled", "cancelled"]
        assert [type(exc) for exc in raised.value.exceptions] == [Failure]
        assert raised.value.message == "unhandled errors in a TaskGroup"
        assert asyncio.current_task().cancelling() == 0

    loop.run_until_complete(main())


@each_lib
def test_the_failures_of_tasks_come_before_that_of_the_block(loop, lib):
    async def slow_to_fail():
        try:
            await forever()
        finally:
            raise Failure

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            async with lib.TaskGroup() as group:
                group.create_task(slow_to_fail())
                await asyncio.sleep(0)
                raise ZeroDivisionError
        assert [type(exc) for exc in raised.value.exceptions] == [Failure, ZeroDivisionError]

    loop.run_until_complete(main())


@each_lib
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_comes_out_bare(lib, kind):
    async def interrupt():
        raise kind

    async def main():
        with pytest.raises(kind):
            async with lib.TaskGroup() as group:
                group.create_task(forever())
                group.create_task(interrupt())
                await forever()

    with pytest.raises(kind):  # of the step; the runner goes on with the rest
        treadle.run(main())


@each_lib
def test_a_task_that_is_cancelled_is_no_failure(loop, lib):
    async def main():
        async with lib.TaskGroup() as group:
            task = group.create_task(forever())
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()

    loop.run_until_complete(main())


def test_closing_an_asynchronous_generator_with_a_group_inside_ends_it(loop):
    async def numbers():
        async with treadle.TaskGroup():
            yield 1

    async def main():
        generator = numbers()
        async for _ in generator:
            break
        await generator.aclose()

    loop.run_until_complete(main())


# cancellation ----------------------------------------------------------------------------------


@each_lib
@pytest.mark.parametrize("where", ["block", "exit"])
def test_a_cancellation_from_outside_cancels_the_tasks_and_comes_out(loop, lib, where):
    log = []

    async def work():
        async with lib.TaskGroup() as group:
            group.create_task(forever(log))
            if where == "block":
                await forever()

    async def main():
        task = asyncio.ensure_future(work())
        await turns(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cancelled"]
        assert task.cancelled()
        assert task.cancelling() == 1

    loop.run_until_complete(main())


@each_lib
def test_a_group_waits_however_often_it_is_cancelled(loop, lib):
    log = []

    async def stubborn():
        try:
            await forever()
        except asyncio.CancelledError:
            await turns(10)
            log.append("tidy")
            raise

    async def work():
        async with lib.TaskGroup() as group:
            group.create_task(stubborn())

    async def main():
        task = asyncio.ensure_future(work())
        await turns(2)
        for _ in range(3):
            task.cancel()
            await turns(2)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["tidy"]

    loop.run_until_complete(main())


@each_lib
def test_a_failure_and_a_cancellation_at_once_give_the_failure_and_keep_the_request(loop, lib):
    async def work():
        try:
            async with lib.TaskGroup() as group:
                group.create_task(forever())
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
                group.create_task(fail())
                await forever()
        except* Failure:
            pass
        await asyncio.sleep(0)
        raise AssertionError("the request was lost")

    async def main():
        task = asyncio.ensure_future(work())
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_a_request_that_comes_while_a_failed_group_waits_is_not_lost(loop):
    async def slow():
        try:
            await forever()
        except asyncio.CancelledError:
            await turns(5)
            raise

    async def work():
        async with treadle.TaskGroup() as group:
            group.create_task(slow())
            failing = group.create_task(fail())
            failing.add_done_callback(lambda _: loop.call_soon(me.cancel))
            await forever()

    async def main():
        with pytest.raises((asyncio.CancelledError, ExceptionGroup)):
            await me
        assert me.cancelling() == 1

    me = loop.create_task(work())
    loop.run_until_complete(main())


@each_lib
@pytest.mark.parametrize("steps", range(8))
def test_no_task_is_left_wherever_the_cancellation_meets(loop, lib, steps):
    running = []

    async def child(n):
        running.append(n)
        try:
            await turns(3)
        finally:
            running.remove(n)

    async def work():
        async with lib.TaskGroup() as outer:
            outer.create_task(child(1))
            async with lib.TaskGroup() as inner:
                inner.create_task(child(2))
                await asyncio.sleep(0)
                outer.create_task(child(3))

    async def main():
        task = asyncio.ensure_future(work())
        await turns(steps)
        task.cancel()
        await asyncio.wait([task])
        assert running == []
        assert len(asyncio.all_tasks()) == 1

    loop.run_until_complete(main())


# misuse ----------------------------------------------------------------------------------------


def test_a_group_that_takes_no_task_closes_the_coroutine(loop):
    async def main():
        group = treadle.TaskGroup()
        with pytest.raises(RuntimeError, match="has not been entered"):
            group.create_task(fail())
        async with group:
            pass
        with pytest.raises(RuntimeError, match="is finished"):
            group.create_task(fail())
        with pytest.raises(ExceptionGroup) as raised:
            async with treadle.TaskGroup() as group:
                group.create_task(fail())
                try:
                    await forever()
                finally:
                    group.create_task(fail())
        assert "is shutting down" in str(raised.value.exceptions[1])

    loop.run_until_complete(main())  # a coroutine that nobody awaited would be warned of


@each_lib
def test_a_group_is_entered_once(loop, lib):
    async def main():
        async with lib.TaskGroup() as group:
            with pytest.raises(RuntimeError, match="already been entered"):
                await group.__aenter__()

    loop.run_until_complete(main())


@each_lib
def test_a_group_says_how_it_is_doing(loop, lib):
    async def main():
        group = lib.TaskGroup()
        assert repr(group) == "<TaskGroup>"
        async with group:
            assert repr(group) == "<TaskGroup entered>"
            group.create_task(value(1))
            assert repr(group) == "<TaskGroup tasks=1 entered>"

    loop.run_until_complete(main())


# eager tasks -----------------------------------------------------------------------------------


@since_312
def test_an_eager_task_that_fails_at_once_does_not_interrupt_the_block(loop):
    loop.set_task_factory(asyncio.eager_task_factory)
    log = []

    async def main():
        with pytest.raises(ExceptionGroup):
            async with treadle.TaskGroup() as group:
                group.create_task(fail())
                log.append("goes on")
                await forever(log)

    loop.run_until_complete(main())
    assert log == ["goes on", "cancelled"]


@since_312
def test_eager_tasks_that_end_at_once_are_waited_for(loop):
    loop.set_task_factory(asyncio.eager_task_factory)

    async def soon(n):
        return n

    async def main():
        async with treadle.TaskGroup() as group:
            tasks = [group.create_task(soon(n)) for n in range(3)]
        return [task.result() for task in tasks]

    assert loop.run_until_complete(main()) == [0, 1, 2]


# a class like asyncio's ------------------------------------------------------------------------


def test_a_group_is_one_of_asyncios_and_can_be_derived_from(loop):
    class Counting(treadle.TaskGroup):
        def __init__(self):
            super().__init__()
            self.count = 0

        def create_task(self, coro, **keywords):
            self.count += 1
            return super().create_task(coro, **keywords)

    async def main():
        async with Counting() as group:
            group.create_task(value(1))
        assert group.count == 1
        assert isinstance(group, asyncio.TaskGroup)

    loop.run_until_complete(main())


def test_a_group_that_failed_keeps_no_exception_alive(loop):
    async def main():
        try:
            async with treadle.TaskGroup() as group:
                group.create_task(fail())
        except* Failure as caught:
            seen = weakref.ref(caught.exceptions[0])
        return seen, group

    gc.disable()
    try:
        seen, _group = loop.run_until_complete(main())
        assert seen() is None
    finally:
        gc.enable()


def test_a_loop_whose_tasks_are_made_otherwise_is_asked_for_them(make_loop):
    loop = make_loop()
    made = []
    create_task = loop.create_task
    main_task = create_task

    def create(coro, **keywords):
        made.append(coro)
        return create_task(coro, **keywords)

    loop.create_task = create

    async def main():
        async with treadle.TaskGroup() as group:
            group.create_task(value(1))

    loop.run_until_complete(main_task(main()))
    assert len(made) == 1
