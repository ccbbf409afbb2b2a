"""Tasks: made as asyncio makes them, kept alive until done, let go of at once then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest

import treadle

word = contextvars.ContextVar("word", default="none")
since_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")


async def nothing():
    pass


def turns(loop, count):
    """Make so many turns of the loop."""
    for _ in range(count):
        loop.stop()
        loop.run_forever()


# making --------------------------------------------------------------------------------------


def test_a_task_is_asyncios_own(loop):
    task = loop.create_task(nothing())
    assert type(task) is asyncio.Task
    assert task.get_loop() is loop
    loop.run_until_complete(task)


def test_a_task_does_not_begin_before_the_next_turn(loop):
    called = []

    async def work():
        called.append("work")

    async def main():
        task = loop.create_task(work())
        assert called == []
        await task

    loop.run_until_complete(main())
    assert called == ["work"]


def test_tasks_begin_in_the_order_in_which_they_were_made(loop):
    called = []

    async def work(i):
        called.append(i)

    async def main():
        await asyncio.gather(*[loop.create_task(work(i)) for i in range(100)])

    loop.run_until_complete(main())
    assert called == list(range(100))


def test_a_task_has_the_name_that_it_was_given(loop):
    task = loop.create_task(nothing(), name="weaver")
    assert task.get_name() == "weaver"
    loop.run_until_complete(task)


def test_a_task_without_a_name_is_given_one(loop):
    task = loop.create_task(nothing())
    assert task.get_name().startswith("Task-")
    loop.run_until_complete(task)


def test_a_task_runs_in_the_context_that_it_was_given(loop):
    context = contextvars.Context()

    async def work():
        word.set("inside")

    loop.run_until_complete(loop.create_task(work(), context=context))
    assert context[word] == "inside"
    assert word.get() == "none"


def test_a_task_runs_in_a_copy_of_the_context_otherwise(loop):
    async def work():
        before = word.get()
        word.set("inside")
        await asyncio.sleep(0)
        return before, word.get()

    token = word.set("outside")
    task = loop.create_task(work())
    word.reset(token)
    assert loop.run_until_complete(task) == ("outside", "inside")
    assert word.get() == "none"


def test_what_is_no_coroutine_is_refused(loop):
    with pytest.raises(TypeError, match="a coroutine was expected"):
        loop.create_task(42)


def test_all_tasks_and_current_task_know_the_tasks(loop):
    async def main():
        task = asyncio.current_task()
        assert task is not None
        return task in asyncio.all_tasks()

    assert loop.run_until_complete(main())


def test_task_groups_work(loop):
    async def work(i):
        await asyncio.sleep(0)
        return i

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(i)) for i in range(5)]
        return [task.result() for task in tasks]

    assert loop.run_until_complete(main()) == [0, 1, 2, 3, 4]


# kept alive ----------------------------------------------------------------------------------


@pytest.mark.treadle_only
def test_a_task_that_waits_for_what_nobody_else_holds_survives_a_collection(loop):
    finished = []

    async def forgotten():
        future = loop.create_future()
        waiting.append(weakref.ref(future))
        await future
        finished.append("finished")

    waiting = []
    loop.create_task(forgotten())
    turns(loop, 2)
    gc.collect()
    assert waiting[0]() is not None
    waiting[0]().set_result(None)
    turns(loop, 3)
    assert finished == ["finished"]


@pytest.mark.treadle_only
def test_a_task_of_a_factory_survives_a_collection(loop):
    async def forgotten():
        await loop.create_future()

    loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
    alive = weakref.ref(loop.create_task(forgotten()))
    turns(loop, 2)
    gc.collect()
    assert alive() is not None


@pytest.mark.treadle_only
def test_a_task_of_an_exotic_class_survives_a_collection_until_it_is_done(loop):
    class Exotic(asyncio.tasks._PyTask):
        pass

    async def forgotten():
        future = loop.create_future()
        waiting.append(weakref.ref(future))
        await future

    waiting = []
    loop.set_task_factory(lambda loop, coro, **kw: Exotic(coro, loop=loop, **kw))
    alive = weakref.ref(loop.create_task(forgotten()))
    turns(loop, 2)
    gc.collect()
    assert alive() is not None
    waiting[0]().set_result(None)
    turns(loop, 3)
    gc.collect()
    assert alive() is None


async def return_():
    return 1


async def sleep_then_return():
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def wait_then_return():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future


async def nested():
    await asyncio.wait_for(wait_then_return(), 5)


@pytest.mark.parametrize("work", [return_, sleep_then_return, wait_then_return, nested])
def test_a_finished_task_is_let_go_at_once(loop, work):
    gc.disable()
    try:
        alive = weakref.ref(loop.create_task(work()))
        turns(loop, 12)
        assert alive() is None
    finally:
        gc.enable()


def test_a_cancelled_task_is_let_go(loop):
    async def wait():
        await loop.create_future()

    task = loop.create_task(wait())
    alive = weakref.ref(task)
    turns(loop, 2)
    task.cancel()
    del task
    turns(loop, 3)
    gc.collect()
    assert alive() is None


def test_a_task_cancelled_before_it_began_is_let_go(loop):
    task = loop.create_task(nothing())
    alive = weakref.ref(task)
    task.cancel()
    del task
    turns(loop, 2)
    gc.collect()
    assert alive() is None


def test_a_failed_task_is_let_go(loop):
    async def fail():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            await loop.create_task(fail())
        task = loop.create_task(fail())
        await asyncio.wait([task])
        task.exception()
        return weakref.ref(task)

    alive = loop.run_until_complete(main())
    turns(loop, 1)
    gc.collect()
    assert alive() is None


def test_a_task_whose_step_leaves_the_loop_is_let_go(loop):
    async def leave():
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    task = loop.create_task(leave())
    alive = weakref.ref(task)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert isinstance(task.exception(), KeyboardInterrupt)
    del task
    turns(loop, 1)
    gc.collect()
    assert alive() is None


@pytest.mark.treadle_only
def test_ten_thousand_finished_tasks_leave_nothing(loop):
    async def main():
        for _ in range(100):
            await asyncio.gather(*[nothing() for _ in range(100)])

    loop.run_until_complete(main())
    turns(loop, 1)
    assert len(loop._tasks.alive) == 0


@pytest.mark.treadle_only
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio has no register in Python")
@pytest.mark.skipif(not treadle.COMPILED, reason="only the compiled loop goes around asyncio")
def test_a_done_task_that_is_still_held_is_out_of_asyncios_register(loop):
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    register = getattr(asyncio.tasks, name)
    before = len(register)
    tasks = [loop.create_task(nothing()) for _ in range(10)]
    assert len(register) == before + 10
    turns(loop, 2)
    assert all(task.done() for task in tasks)
    assert len(register) <= before


@pytest.mark.treadle_only
def test_tasks_that_end_behind_the_loops_back_are_swept_out(loop):
    class Ready:
        """Resumes its waiter by hand, where the loop does not see it."""

        _asyncio_future_blocking = False

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self

        def get_loop(self):
            return loop

        def add_done_callback(self, callback, *, context=None):
            wakers.append(callback)

        def result(self):
            return None

    async def wait():
        await Ready()

    wakers = []
    for _ in range(2000):
        loop.create_task(wait())
        turns(loop, 1)
        while wakers:
            wakers.pop()(Ready())
    assert len(loop._tasks.alive) < 1000


def test_many_waiting_tasks_can_be_cancelled_at_once(loop):
    async def wait():
        await loop.create_future()

    async def main():
        tasks = [loop.create_task(wait()) for _ in range(2000)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return sum(task.cancelled() for task in tasks)

    assert loop.run_until_complete(main()) == 2000


# cancelling and failing ----------------------------------------------------------------------


def test_a_cancelled_task_hears_of_it_where_it_waits(loop):
    heard = []

    async def work():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as exc:
            heard.append(exc.args)
            raise

    async def main():
        task = loop.create_task(work())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert loop.run_until_complete(main())
    assert heard == [("enough",)]


def test_a_task_may_refuse_its_cancellation(loop):
    async def work():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            return "refused"

    async def main():
        task = loop.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert loop.run_until_complete(main()) == "refused"


def test_a_timeout_cancels_what_takes_too_long(loop):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(3600)

    loop.run_until_complete(main())


def test_an_exception_that_nobody_retrieved_is_reported_with_its_task(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def fail():
        raise ZeroDivisionError

    loop.create_task(fail(), name="failing")
    turns(loop, 3)
    gc.collect()
    assert [report["message"] for report in reports] == ["Task exception was never retrieved"]
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    assert reports[0]["future"].get_name() == "failing"


def test_a_retrieved_exception_is_not_reported(loop):
    async def fail():
        raise ZeroDivisionError

    task = loop.create_task(fail())
    turns(loop, 3)
    task.exception()
    del task
    gc.collect()


# factories -----------------------------------------------------------------------------------


def test_a_factory_makes_the_tasks(loop):
    class Mine(asyncio.Task):
        pass

    loop.set_task_factory(lambda loop, coro, **kw: Mine(coro, loop=loop, **kw))
    task = loop.create_task(nothing(), name="mine")
    assert type(task) is Mine
    assert task.get_name() == "mine"
    loop.run_until_complete(task)


def test_a_factory_is_given_loop_and_coroutine(loop):
    seen = []

    def factory(loop, coro, **keywords):
        seen.append((loop, coro))
        return asyncio.Task(coro, loop=loop, **keywords)

    loop.set_task_factory(factory)
    coroutine = nothing()
    loop.run_until_complete(loop.create_task(coroutine))
    assert seen == [(loop, coroutine)]


def test_a_factory_is_given_the_context(loop):
    seen = []

    def factory(loop, coro, **keywords):
        seen.append(keywords.get("context"))
        return asyncio.Task(coro, loop=loop, **keywords)

    loop.set_task_factory(factory)
    context = contextvars.Context()
    loop.run_until_complete(loop.create_task(nothing(), context=context))
    loop.run_until_complete(loop.create_task(nothing()))
    assert seen == [context, None]


@pytest.mark.skipif(sys.version_info >= (3, 13, 3), reason="later Pythons pass all keywords")
def test_a_factory_that_takes_only_loop_and_coroutine_gets_its_task_named(loop):
    loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    task = loop.create_task(nothing(), name="named")
    assert task.get_name() == "named"
    loop.run_until_complete(task)


@pytest.mark.treadle_only  # asyncio names what its factories make, and futures have no names
def test_a_factory_may_make_a_plain_future(loop):
    def factory(loop, coro, **keywords):
        coro.close()
        future = loop.create_future()
        loop.call_soon(future.set_result, "not a task")
        return future

    loop.set_task_factory(factory)
    assert loop.run_until_complete(loop.create_task(nothing())) == "not a task"
    loop.set_task_factory(None)


def test_a_factory_that_is_not_callable_is_refused(loop):
    with pytest.raises(TypeError, match="task factory must be a callable or None"):
        loop.set_task_factory(42)


def test_the_factory_can_be_read_and_taken_off(loop):
    def factory(loop, coro, **keywords):
        return asyncio.Task(coro, loop=loop, **keywords)

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None


@since_312
def test_an_eager_task_runs_until_it_waits(loop):
    called = []

    async def work():
        called.append("began")
        await asyncio.sleep(0)
        called.append("ended")

    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(work())
        assert called == ["began"]
        await task

    loop.run_until_complete(main())
    assert called == ["began", "ended"]


@since_312
def test_an_eager_task_that_does_not_wait_is_done_at_once_and_not_kept(loop):
    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(return_())
        assert task.done()
        assert task.result() == 1
        return weakref.ref(task)

    alive = loop.run_until_complete(main())
    gc.collect()
    assert alive() is None


@since_312
@pytest.mark.treadle_only
def test_an_eager_task_that_waits_is_kept(loop):
    waiting = []

    async def forgotten():
        future = loop.create_future()
        waiting.append(weakref.ref(future))
        await future

    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        loop.create_task(forgotten())
        await asyncio.sleep(0)
        gc.collect()
        assert waiting[0]() is not None

    loop.run_until_complete(main())


@since_312
def test_an_eager_task_that_fails_keeps_its_exception(loop):
    async def fail():
        raise ZeroDivisionError

    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        with pytest.raises(ZeroDivisionError):
            await loop.create_task(fail())

    loop.run_until_complete(main())
