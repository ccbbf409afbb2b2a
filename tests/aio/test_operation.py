"""What our asynchronous methods return passes for a coroutine."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import sys
import threading
import warnings
import weakref

import pytest

import treadle
from tests.aio.sides import on_each_loop, settle

# Each makes something that waits for nothing, and what comes out of it.
READY = {
    "Queue.get": lambda: filled(treadle.Queue(), "item").get(),
    "Queue.put": lambda: treadle.Queue().put("item"),
    "Lock.acquire": lambda: treadle.Lock().acquire(),
    "Semaphore.acquire": lambda: treadle.Semaphore().acquire(),
    "Event.wait": lambda: set_event().wait(),
}
RESULTS = {"Queue.get": "item", "Queue.put": None}  # True for the others
each_method = pytest.mark.parametrize("name", READY)
# Each makes something that waits.
WAITING = {
    "Queue.get": lambda: treadle.Queue().get(),
    "Queue.put": lambda: filled(treadle.Queue(1), "item").put("other"),
    "Lock.acquire": lambda: taken(treadle.Lock()).acquire(),
    "Semaphore.acquire": lambda: treadle.Semaphore(0).acquire(),
    "Event.wait": lambda: treadle.Event().wait(),
}


def filled(queue, item):
    queue.put_nowait(item)
    return queue


def taken(lock):
    lock._locked = True
    return lock


def set_event():
    event = treadle.Event()
    event.set()
    return event


@each_method
def test_it_is_a_coroutine_for_asyncio(name):
    operation = READY[name]()
    assert asyncio.iscoroutine(operation)
    assert isinstance(operation, collections.abc.Coroutine)
    operation.close()


@on_each_loop
@each_method
def test_what_takes_a_coroutine_takes_it(run, name):
    async def main():
        loop = asyncio.get_running_loop()
        return [
            await READY[name](),
            await asyncio.create_task(READY[name]()),
            await loop.create_task(READY[name]()),
            await asyncio.ensure_future(READY[name]()),
            await asyncio.wait_for(READY[name](), 60),
            (await asyncio.gather(READY[name](), READY[name]()))[1],
            await asyncio.shield(READY[name]()),
        ]

    assert run(main()) == [RESULTS.get(name, True)] * 7


@each_method
def test_it_can_be_the_main_program(name):
    async def main():
        return await READY[name]()

    assert treadle.run(main()) == RESULTS.get(name, True)


@each_method
def test_it_is_awaited_once(name):
    async def main():
        operation = READY[name]()
        await operation
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await operation
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            operation.throw(ZeroDivisionError)

    treadle.run(main())


@each_method
def test_it_is_warned_of_when_it_was_never_awaited(name):
    with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
        READY[name]()


@each_method
def test_closed_before_it_was_awaited_it_is_not_warned_of(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operation = READY[name]()
        operation.close()
        del operation


@each_method
def test_it_is_stepped_by_hand_like_a_coroutine(name):
    operation = READY[name]()
    with pytest.raises(TypeError, match="can't send non-None value"):
        operation.send(1)
    with pytest.raises(StopIteration) as stopped:
        operation.send(None)
    assert stopped.value.value == RESULTS.get(name, True)


@each_method
def test_a_generator_can_yield_from_it(name):
    def generate():
        return (yield from READY[name]())

    with pytest.raises(StopIteration) as stopped:
        next(generate())
    assert stopped.value.value == RESULTS.get(name, True)


@each_method
def test_an_exception_thrown_in_before_it_began_comes_out(name):
    operation = READY[name]()
    with pytest.raises(ZeroDivisionError):
        operation.throw(ZeroDivisionError)
    operation = READY[name]()
    with pytest.raises(ZeroDivisionError, match="twice"):
        operation.throw(ZeroDivisionError, "twice")


@each_method
def test_it_has_the_name_of_its_method(name):
    operation = READY[name]()
    assert operation.__qualname__ == name
    assert operation.__name__ == name.partition(".")[2]
    assert name in repr(operation)
    with pytest.raises(AttributeError, match="nothing"):
        operation.nothing  # noqa: B018
    operation.close()


@pytest.mark.parametrize("name", WAITING)
def test_a_task_tells_what_it_waits_in(name):
    async def main():
        operation = WAITING[name]()
        task = asyncio.create_task(operation)
        await settle()
        text = repr(task)
        assert operation.cr_await is not None
        assert not operation.cr_running
        task.cancel()
        await asyncio.wait([task])
        assert operation.cr_await is None
        return text

    assert f"{name}()" in treadle.run(main())


@pytest.mark.parametrize("name", WAITING)
def test_a_cancellation_comes_out(name):
    async def main():
        task = asyncio.create_task(WAITING[name]())
        await settle()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    treadle.run(main())


@pytest.mark.parametrize("name", WAITING)
def test_resumed_before_its_future_is_done_it_raises(name):
    async def main():
        operation = WAITING[name]()
        future = operation.send(None)
        assert not future.done()
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            operation.send(None)
        operation.close()

    treadle.run(main())


@pytest.mark.parametrize("name", WAITING)
def test_a_failure_of_its_future_comes_out(name):
    async def main():
        operation = WAITING[name]()
        operation.send(None).set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            operation.send(None)

    treadle.run(main())


def test_dropped_while_it_waits_it_leaves_the_line():
    async def main():
        queue = treadle.Queue()
        operation = queue.get()
        operation.send(None)
        assert len(queue._getters) == 1
        del operation
        gc.collect()
        assert len(queue._getters) == 0

    treadle.run(main())


def test_a_task_that_waits_for_ever_can_be_collected_with_its_queue():
    class Traced(treadle.Queue):
        pass

    loop = treadle.Loop()
    queue = Traced()
    watch = weakref.ref(queue)
    task = loop.create_task(queue.get())
    loop.set_exception_handler(lambda loop, context: None)  # it was pending, which is reported
    loop.run_until_complete(settle())
    task._log_destroy_pending = False
    loop.close()
    del loop, queue, task
    gc.collect()
    assert watch() is None


@pytest.mark.parametrize(
    "item",
    [None, True, (1, 2), (), ValueError("as a value"), StopIteration(3), StopIteration, [1]],
    ids=repr,
)
def test_any_object_comes_out_as_it_is(item):
    async def main():
        queue = treadle.Queue()
        await queue.put(item)
        first = await queue.get()
        await queue.put(item)
        second = await asyncio.create_task(queue.get())
        getting = asyncio.create_task(queue.get())
        await settle()
        await queue.put(item)
        return first is item and second is item and await getting is item

    assert treadle.run(main())


def test_an_item_is_let_go_of_when_it_was_got():
    class Item:
        pass

    async def main():
        queue = treadle.Queue()
        item = Item()
        watch = weakref.ref(item)
        await queue.put(item)
        del item
        await queue.get()
        return watch()

    assert treadle.run(main()) is None


def test_an_item_is_let_go_of_with_the_operation_that_gave_it():
    class Item:
        pass

    async def main():
        item = Item()
        watch = weakref.ref(item)
        operation = filled(treadle.Queue(), item).get()
        del item
        await operation
        del operation
        return watch()

    assert treadle.run(main()) is None


def answer_of(item):
    """Return the exception in which a caller of `next` gets an item of a queue."""
    operation = filled(treadle.Queue(), item).get()
    try:
        next(operation)
    except StopIteration as stopped:
        return stopped
    raise AssertionError("it waits")


def test_an_answer_that_was_kept_stays_what_it_is():
    kept = [answer_of(number) for number in range(3)]
    assert [answer.value for answer in kept] == [0, 1, 2]


def test_what_was_put_into_an_answer_is_not_in_the_next():
    first = answer_of("first")
    first.note = first.args = ("mine",)
    first.__cause__ = ZeroDivisionError()
    del first
    second = answer_of("second")
    assert not hasattr(second, "note")
    assert second.__cause__ is None
    assert "mine" not in second.args


def test_a_trace_function_may_keep_and_change_answers():
    seen = []

    def trace(frame, event, argument):
        mine = frame.f_code is main.__code__ and event == "exception"
        if mine and getattr(argument[1], "value", None) is not None:
            argument[1].args = ("traced",)
            seen.append(argument[1])
        return trace

    async def main():
        queue, found = treadle.Queue(), []
        for number in range(6):
            await queue.put((number,))
            found.append(await queue.get())
            if number == 3:
                sys.settrace(None)
        return found

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = treadle.run(main())
    finally:
        sys.settrace(before)
    assert found == [(number,) for number in range(6)]
    assert [answer.value for answer in seen] == found[: len(seen)]
    seen.clear()
    assert "traced" not in answer_of("item").args


def test_an_answer_in_a_cycle_is_collected():
    class Marker:
        pass

    marker = Marker()
    watch = weakref.ref(marker)
    answer = answer_of(marker)
    answer.me = answer
    del answer, marker
    gc.collect()
    assert watch() is None
    assert repr(answer_of("next")).startswith("StopIteration(")


def test_an_item_whose_end_gets_another_item_comes_out_right():
    queue = treadle.Queue()
    ends = []

    class Item:
        def __del__(self):
            ends.append(answer_of("inner").value)

    async def main():
        for _ in range(3):
            await queue.put(Item())
            await queue.get()  # dropped at once
            await queue.put("outer")
            assert await queue.get() == "outer"

    treadle.run(main())
    assert ends == ["inner"] * 3


def test_loops_in_several_threads_get_their_own_items():
    wrong = []

    async def main(name):
        queue = treadle.Queue()
        for number in range(500):
            await queue.put((name, number))
            if await queue.get() != (name, number):
                wrong.append((name, number))

    threads = [threading.Thread(target=treadle.run, args=(main(name),)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_turn_that_was_passed_is_given_up_by_close():
    async def main():
        operation = treadle.sleep(0)
        assert operation.send(None) is None
        assert operation.cr_await is None
        operation.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            operation.send(None)

    treadle.run(main())


def test_entering_a_timeout_is_warned_of_when_it_was_never_awaited():
    with pytest.warns(RuntimeWarning, match="'Timeout.__aenter__' was never awaited"):
        treadle.Timeout(None).__aenter__()
