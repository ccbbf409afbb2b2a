"""The loop's life: run, stop, close; futures given to run_until_complete; its representation."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import warnings

import pytest

from tests.kit import run_python


async def nothing():
    pass


# run and stop --------------------------------------------------------------------------------


def test_run_until_complete_returns_the_result(loop):
    async def answer():
        await asyncio.sleep(0)
        return 42

    assert loop.run_until_complete(answer()) == 42


def test_run_until_complete_raises_the_exception(loop):
    async def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(fail())


def test_run_until_complete_takes_a_future(loop):
    future = loop.create_future()
    loop.call_soon(future.set_result, "done")
    assert loop.run_until_complete(future) == "done"


def test_run_until_complete_takes_an_awaitable(loop):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaited"

    assert loop.run_until_complete(Awaitable()) == "awaited"


def test_run_until_complete_with_a_finished_future_runs_the_callbacks_too(loop):
    called = []
    future = loop.create_future()
    future.add_done_callback(called.append)
    future.set_result(1)
    assert loop.run_until_complete(future) == 1
    assert called == [future]


def test_run_until_complete_leaves_no_callback_on_the_future(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    assert "cb=" not in repr(future)
    future.cancel()


def test_a_stopped_run_until_complete_says_so(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)


def test_run_until_complete_refuses_what_is_no_future(loop):
    with pytest.raises(TypeError):
        loop.run_until_complete(42)


def test_run_until_complete_refuses_another_loops_future(loop, loop_factory):
    other = loop_factory()
    future = other.create_future()
    with pytest.raises(ValueError, match="loop"):
        loop.run_until_complete(future)
    other.close()


def test_run_until_complete_of_a_cancelled_future_raises_cancelled_error(loop):
    future = loop.create_future()
    loop.call_soon(future.cancel)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(future)


def test_stop_lets_what_is_ready_run(loop):
    called = []
    loop.call_soon(loop.stop)
    loop.call_soon(called.append, "same turn")
    loop.run_forever()
    assert called == ["same turn"]


def test_what_is_queued_after_stop_runs_in_the_next_run(loop):
    called = []

    def stop():
        loop.stop()
        loop.call_soon(called.append, "next turn")

    loop.call_soon(stop)
    loop.run_forever()
    assert called == []
    loop.stop()
    loop.run_forever()
    assert called == ["next turn"]


def test_stop_before_the_run_makes_one_turn(loop):
    called = []

    def again():
        called.append("turn")
        loop.call_soon(again)

    loop.call_soon(again)
    loop.stop()
    loop.run_forever()
    assert called == ["turn"]


@pytest.mark.every_driver
def test_stop_before_the_run_hears_descriptors_and_timers(loop, socket_pair):
    ours, theirs = socket_pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours, called.append, "reader")
    loop.call_at(loop.time() - 1, called.append, "timer")
    loop.stop()
    loop.run_forever()
    loop.remove_reader(ours)
    assert called == ["reader", "timer"]


def test_stop_before_the_run_does_not_wait(loop):
    loop.call_later(3600, print)
    loop.stop()
    loop.run_forever()


def test_a_stop_does_not_outlive_its_run(loop):
    loop.stop()
    loop.run_forever()
    assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"


def test_the_loop_can_run_many_times(loop):
    assert [loop.run_until_complete(asyncio.sleep(0, i)) for i in range(20)] == list(range(20))


def test_a_loop_made_here_can_run_in_another_thread(loop_factory):
    loop = loop_factory()
    results = []

    def work():
        results.append(loop.run_until_complete(asyncio.sleep(0, "there")))
        loop.close()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert results == ["there"]


def test_run_coroutine_threadsafe_returns_the_result(loop):
    async def add(a, b):
        return a + b

    results = []

    def work():
        results.append(asyncio.run_coroutine_threadsafe(add(1, 2), loop).result())
        loop.call_soon_threadsafe(loop.stop)

    worker = threading.Thread(target=work)
    worker.start()
    loop.run_forever()
    worker.join()
    assert results == [3]


# nesting -------------------------------------------------------------------------------------


@pytest.mark.treadle_only  # asyncio's loses its running state where it refuses, in Python 3.13.0
def test_a_running_loop_cannot_be_run_again(loop):
    async def main():
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            loop.run_forever()
        future = loop.create_future()
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            loop.run_until_complete(future)

    loop.run_until_complete(main())


def test_two_loops_cannot_run_in_one_thread(loop, loop_factory):
    other = loop_factory()

    async def main():
        with pytest.raises(RuntimeError, match="while another loop is running"):
            other.run_forever()

    loop.run_until_complete(main())
    other.close()


def test_two_loops_can_run_in_two_threads(loop, loop_factory):
    def inner():
        other = loop_factory()
        try:
            return other.run_until_complete(asyncio.sleep(0.001, "inner"))
        finally:
            other.close()

    async def main():
        return await loop.run_in_executor(None, inner)

    assert loop.run_until_complete(main()) == "inner"


def test_the_running_loop_is_known_inside_and_only_there(loop):
    async def main():
        return asyncio.get_running_loop()

    assert loop.run_until_complete(main()) is loop
    assert asyncio._get_running_loop() is None


@pytest.mark.treadle_only
def test_a_failed_nested_run_leaves_the_running_loop_alone(loop, loop_factory):
    other = loop_factory()

    async def main():
        with pytest.raises(RuntimeError):
            other.run_forever()
        with pytest.raises(RuntimeError):
            loop.run_forever()
        assert asyncio.get_running_loop() is loop
        assert loop.is_running()
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    other.close()


# interruption --------------------------------------------------------------------------------


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_the_loop_can_be_used_after_it_was_interrupted(loop, exception):
    def interrupt():
        raise exception

    loop.call_soon(interrupt)
    with pytest.raises(exception):
        loop.run_forever()
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_a_task_can_leave_the_loop_with_an_interruption(loop, exception):
    async def main():
        await asyncio.sleep(0)
        raise exception

    with pytest.raises(exception):
        loop.run_until_complete(main())
    assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"


def test_an_interruption_of_another_task_leaves_the_main_one_waiting(loop):
    async def interrupt():
        raise KeyboardInterrupt

    async def main():
        task = loop.create_task(interrupt())
        await asyncio.sleep(0.001)
        assert isinstance(task.exception(), KeyboardInterrupt)
        return "finished"

    main_task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main_task)
    assert loop.run_until_complete(main_task) == "finished"


# state ---------------------------------------------------------------------------------------


def test_is_running_is_true_only_while_it_runs(loop):
    async def main():
        return loop.is_running()

    assert not loop.is_running()
    assert loop.run_until_complete(main())
    assert not loop.is_running()


def test_is_running_is_seen_from_other_threads(loop):
    seen = []

    def look():
        seen.append(loop.is_running())
        loop.call_soon_threadsafe(loop.stop)

    worker = threading.Thread(target=look)
    loop.call_soon(worker.start)
    loop.run_forever()
    worker.join()
    assert seen == [True]


def test_repr_tells_the_state(loop):
    name = type(loop).__name__
    assert repr(loop) == f"<{name} running=False closed=False debug=False>"
    loop.set_debug(True)
    assert repr(loop) == f"<{name} running=False closed=False debug=True>"
    loop.close()
    assert repr(loop) == f"<{name} running=False closed=True debug=True>"


def test_time_does_not_go_back(loop):
    times = [loop.time() for _ in range(1000)]
    assert times == sorted(times)
    assert isinstance(times[0], float)


def test_create_future_makes_asyncios_future(loop):
    future = loop.create_future()
    assert type(future) is asyncio.Future
    assert future.get_loop() is loop


def test_the_loop_is_an_abstract_event_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)


# closing -------------------------------------------------------------------------------------


def test_closing_twice_does_nothing(loop):
    loop.close()
    loop.close()
    assert loop.is_closed()


def test_a_running_loop_cannot_be_closed(loop):
    async def main():
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    loop.run_until_complete(main())
    assert not loop.is_closed()


def test_a_closed_loop_does_not_run(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_forever()
    coroutine = nothing()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_a_closed_loop_makes_no_task(loop):
    loop.close()
    coroutine = nothing()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coroutine)
    coroutine.close()


def test_a_closed_loop_forgets_what_was_scheduled(loop):
    called = []
    loop.call_soon(called.append, "soon")
    loop.call_later(0, called.append, "later")
    loop.close()
    assert called == []


def test_stopping_a_closed_loop_does_nothing(loop):
    loop.close()
    loop.stop()


def test_a_timer_can_be_cancelled_after_the_loop_was_closed(loop):
    handle = loop.call_later(3600, print)
    loop.close()
    handle.cancel()
    assert handle.cancelled()


@pytest.mark.every_driver
def test_a_thread_that_wakes_a_loop_while_it_closes_hears_that_it_is_closed(loop_factory):
    for _ in range(5):
        loop = loop_factory()
        refused = []

        def call(loop=loop, refused=refused):
            try:
                while True:
                    loop.call_soon_threadsafe(str)
                    time.sleep(0)  # lets the loop's thread have its turn
            except RuntimeError as exc:
                refused.append(str(exc))

        worker = threading.Thread(target=call)
        worker.start()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        worker.join()
        assert refused == ["Event loop is closed"]


@pytest.mark.every_driver
def test_closing_gives_back_every_descriptor(loop_factory):
    import os

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("counts descriptors in /proc")
    loop_factory().close()
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        loop = loop_factory()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.every_driver
@pytest.mark.treadle_only  # asyncio's may find its own sockets collected before it, and fail
def test_an_unclosed_loop_warns_when_it_is_dropped(loop_factory):
    loop = loop_factory()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text = repr(loop)
        del loop
        gc.collect()
    loops = [str(warning.message) for warning in caught if "event loop" in str(warning.message)]
    assert loops == [f"unclosed event loop {text}"]


def test_a_loop_that_could_not_be_made_says_why_and_warns_of_nothing():
    import treadle

    with pytest.raises(ValueError, match="no driver 'bicycle' here"):
        treadle.Loop(driver="bicycle")
    gc.collect()


def test_a_loop_that_is_never_closed_does_not_disturb_the_interpreters_end():
    done = run_python("import treadle; loop = treadle.Loop(); print('made')")
    assert done.returncode == 0
    assert done.stdout == "made\n"
    assert "Traceback" not in done.stderr


def test_a_subclass_can_have_attributes_and_override_methods():
    import treadle

    class Counting(treadle.Loop):
        calls = 0

        def call_soon(self, callback, *args, context=None):
            self.calls += 1
            return super().call_soon(callback, *args, context=context)

    loop = Counting()
    loop.name = "mine"
    loop.run_until_complete(asyncio.sleep(0))
    assert loop.calls > 0
    assert loop.name == "mine"
    loop.close()


@pytest.mark.parametrize(
    "call",
    ["call_soon(print)", "call_later(1, print)", "time()", "run_forever()", "close()", "stop()"],
)
def test_a_subclass_that_forgets_its_base_does_not_crash_the_interpreter(call):
    done = run_python(
        "import treadle\n"
        "class Forgetful(treadle.Loop):\n"
        "    def __init__(self):\n"
        "        self.name = 'forgetful'\n"
        "try:\n"
        f"    Forgetful().{call}\n"
        "except (AttributeError, RuntimeError):\n"
        "    pass\n"
        "print('alive')"
    )
    assert done.stdout == "alive\n"


# asynchronous generators ---------------------------------------------------------------------


def test_shutdown_asyncgens_closes_the_open_ones(loop):
    closed = []

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    generator = numbers()

    async def main():
        async for _ in generator:
            break

    loop.run_until_complete(main())
    assert closed == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert closed == ["closed"]


def test_a_dropped_generator_is_closed_by_the_loop(loop):
    closed = []

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def main():
        async for _ in numbers():
            break
        gc.collect()
        while not closed:
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert closed == ["closed"]


def test_a_generator_that_fails_while_it_is_closed_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def numbers():
        try:
            yield 1
        finally:
            raise ZeroDivisionError

    generator = numbers()

    async def main():
        async for _ in generator:
            break
        await loop.shutdown_asyncgens()

    loop.run_until_complete(main())
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    assert reports[0]["asyncgen"] is generator
    assert "an error occurred during closing of asynchronous generator" in reports[0]["message"]


def test_a_generator_begun_after_the_shutdown_warns(loop):
    async def numbers():
        yield 1

    async def main():
        await loop.shutdown_asyncgens()
        generator = numbers()
        with pytest.warns(ResourceWarning, match=r"after loop.shutdown_asyncgens\(\) call"):
            await anext(generator)
        await generator.aclose()

    loop.run_until_complete(main())


def test_shutdown_asyncgens_without_generators_does_nothing(loop):
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_the_generator_hooks_are_given_back_after_the_run(loop):
    before = sys.get_asyncgen_hooks()
    loop.run_until_complete(nothing())
    assert sys.get_asyncgen_hooks() == before
    loop.call_soon(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == before
