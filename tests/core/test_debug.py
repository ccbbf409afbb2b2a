"""Debug mode: callers are checked, slow callbacks reported, origins kept."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest

from tests.kit import MILLISECOND, run_python


def turn(loop):
    loop.stop()
    loop.run_forever()


async def nothing():
    pass


@pytest.fixture
def debug(loop):
    """A loop in debug mode."""
    loop.set_debug(True)
    return loop


# switching -----------------------------------------------------------------------------------


def test_debug_mode_is_off_unless_asked_for(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False


@pytest.mark.parametrize(
    ("environment", "expected"), [({}, "False"), ({"PYTHONASYNCIODEBUG": "1"}, "True")]
)
def test_the_environment_can_switch_it_on(environment, expected):
    done = run_python(
        "import treadle; loop = treadle.Loop(); print(loop.get_debug()); loop.close()",
        **environment,
    )
    assert done.stdout.strip() == expected


# checks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_coroutine_is_no_callback(debug, method):
    arguments = [1] if method in {"call_later", "call_at"} else []
    coroutine = nothing()
    with pytest.raises(TypeError, match="coroutines cannot be used with call_"):
        getattr(debug, method)(*arguments, coroutine)
    with pytest.raises(TypeError, match="coroutines cannot be used with call_"):
        getattr(debug, method)(*arguments, nothing)
    coroutine.close()


def test_what_cannot_be_called_is_no_callback(debug):
    with pytest.raises(TypeError, match=r"a callable object was expected by call_soon\(\)"):
        debug.call_soon(42)


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_another_thread_may_not_schedule_on_a_running_loop(debug, method):
    arguments = [1] if method in {"call_later", "call_at"} else []
    errors = []

    def work():
        try:
            getattr(debug, method)(*arguments, print)
        except RuntimeError as exc:
            errors.append(str(exc))

    async def main():
        await debug.run_in_executor(None, work)

    debug.run_until_complete(main())
    assert len(errors) == 1
    assert errors[0].startswith("Non-thread-safe operation invoked on an event loop")


def test_another_thread_may_schedule_on_a_loop_that_does_not_run(debug):
    called = []
    worker = threading.Thread(target=debug.call_soon, args=(called.append, "called"))
    worker.start()
    worker.join()
    turn(debug)
    assert called == ["called"]


def test_another_thread_may_use_call_soon_threadsafe(debug):
    called = []

    async def main():
        await debug.run_in_executor(None, debug.call_soon_threadsafe, called.append, "called")

    debug.run_until_complete(main())
    turn(debug)
    assert called == ["called"]


# slow callbacks ------------------------------------------------------------------------------


@pytest.fixture
def slow(virtual, caplog):
    """A virtual loop in debug mode, its clock, and the warnings that it logged."""
    loop, clock = virtual
    loop.set_debug(True)

    def warnings():
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    return loop, clock, warnings


def take(clock, milliseconds):
    clock.ns += milliseconds * MILLISECOND


def test_a_slow_callback_is_reported(slow):
    loop, clock, warnings = slow
    loop.call_soon(take, clock, 250)
    turn(loop)
    [text] = warnings()
    assert text.startswith("Executing <Handle take(")
    assert text.endswith("took 0.250 seconds")
    assert f"created at {__file__}:" in text


def test_a_slow_step_of_a_task_is_reported_with_the_task(slow):
    loop, clock, warnings = slow

    async def work():
        take(clock, 150)

    task = loop.create_task(work(), name="slow one")
    turn(loop)
    [text] = warnings()
    assert text.startswith("Executing <Task finished name='slow one'")
    assert text.endswith("took 0.150 seconds")
    assert task.done()


def test_what_takes_exactly_the_limit_is_slow(slow):
    loop, clock, warnings = slow
    loop.call_soon(take, clock, 99)
    loop.call_soon(take, clock, 100)
    turn(loop)
    assert len(warnings()) == 1


def test_the_limit_can_be_set(slow):
    loop, clock, warnings = slow
    assert loop.slow_callback_duration == 0.1
    loop.slow_callback_duration = 2
    loop.call_soon(take, clock, 1999)
    turn(loop)
    assert warnings() == []


def test_a_slow_callback_that_fails_is_reported_twice(slow):
    loop, clock, warnings = slow
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    def slow_and_failing():
        take(clock, 150)
        raise ZeroDivisionError

    loop.call_soon(slow_and_failing)
    turn(loop)
    assert len(warnings()) == 1
    assert len(reports) == 1


def test_nothing_is_slow_outside_of_debug_mode(slow):
    loop, clock, warnings = slow
    loop.set_debug(False)
    loop.call_soon(take, clock, 5000)
    turn(loop)
    assert warnings() == []


# origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_handle_knows_the_line_that_made_it(debug, method):
    arguments = [1e9] if method in {"call_later", "call_at"} else []
    handle = getattr(debug, method)(*arguments, print)  # this line
    frame = handle._source_traceback[-1]
    assert frame.filename == __file__
    assert "# this line" in frame.line
    assert f" created at {__file__}:{frame.lineno}>" in repr(handle)
    handle.cancel()


def test_a_cancelled_handle_still_knows_what_it_was(debug):
    handle = debug.call_soon(nothing_at_all)
    handle.cancel()
    assert "nothing_at_all()" in repr(handle)
    assert repr(handle).startswith("<Handle cancelled")


def nothing_at_all():
    pass


def test_a_task_knows_the_line_that_made_it(debug):
    task = debug.create_task(nothing())  # this line
    frame = task._source_traceback[-1]
    assert frame.filename == __file__
    assert "# this line" in frame.line
    debug.run_until_complete(task)


def test_a_future_knows_the_line_that_made_it(debug):
    future = debug.create_future()  # this line
    frames = [frame for frame in future._source_traceback if frame.filename == __file__]
    assert "# this line" in frames[-1].line
    future.cancel()


def test_no_origins_are_kept_outside_of_debug_mode(loop):
    handle = loop.call_soon(print)
    assert handle._source_traceback is None
    handle.cancel()


def test_coroutine_origins_are_tracked_only_while_it_runs(debug):
    async def main():
        return sys.get_coroutine_origin_tracking_depth()

    before = sys.get_coroutine_origin_tracking_depth()
    assert debug.run_until_complete(main()) == asyncio.constants.DEBUG_STACK_DEPTH
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_coroutine_origins_follow_the_switch_during_the_run(loop):
    async def main():
        depths = [sys.get_coroutine_origin_tracking_depth()]
        for enabled in (True, False):
            loop.set_debug(enabled)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            depths.append(sys.get_coroutine_origin_tracking_depth())
        return depths

    assert loop.run_until_complete(main()) == [0, 10, 0]


def test_order_and_cancellation_are_the_same_in_debug_mode(debug):
    called = []
    for i in range(5):
        debug.call_soon(called.append, i)
    debug.call_soon(lambda: debug.call_soon(called.append, "next turn"))
    debug.call_soon(called.append, "cancelled").cancel()
    turn(debug)
    assert called == [0, 1, 2, 3, 4]
    turn(debug)
    assert called == [0, 1, 2, 3, 4, "next turn"]


def test_what_was_not_run_when_the_program_was_interrupted_runs_next_time_in_debug_mode(debug):
    called = []

    def interrupt():
        raise KeyboardInterrupt

    debug.call_soon(interrupt)
    debug.call_soon(called.append, "rest")
    with pytest.raises(KeyboardInterrupt):
        debug.run_forever()
    turn(debug)
    assert called == ["rest"]
