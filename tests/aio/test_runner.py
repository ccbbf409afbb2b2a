"""Running a program: run, Runner, the policy and install."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import treadle
from tests.kit import run_python

word = contextvars.ContextVar("word", default="none")
KINDS = [
    pytest.param(asyncio.run, id="asyncio.run"),
    pytest.param(treadle.run, id="treadle.run"),
]
RUNNERS = [
    pytest.param(asyncio.Runner, id="asyncio.Runner"),
    pytest.param(treadle.Runner, id="treadle.Runner"),
    pytest.param(lambda: asyncio.Runner(loop_factory=treadle.Loop), id="asyncio.Runner on treadle"),
]
each_run = pytest.mark.parametrize("run", KINDS)
each_runner = pytest.mark.parametrize("make_runner", RUNNERS)


async def current_loop():
    return asyncio.get_running_loop()


# run -----------------------------------------------------------------------------------------


def test_run_runs_on_treadle_and_closes_its_loop():
    loop = treadle.run(current_loop())
    assert type(loop) is treadle.Loop
    assert loop.is_closed()


@each_run
def test_run_returns_the_result(run):
    assert run(asyncio.sleep(0, "result")) == "result"


@each_run
@pytest.mark.parametrize("exception", [ZeroDivisionError, asyncio.CancelledError, SystemExit])
def test_run_raises_what_the_program_raised(run, exception):
    async def main():
        raise exception

    with pytest.raises(exception):
        run(main())


@each_run
@pytest.mark.parametrize("debug", [True, False, None])
def test_debug_is_passed_on(run, debug):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=debug) is bool(debug)


@each_run
def test_what_is_left_at_the_end_is_cancelled_and_waited_for(run):
    log = []

    async def left():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            log.append("cancelled")
            await asyncio.sleep(0)
            log.append("tidied up")
            raise

    async def main():
        asyncio.get_running_loop().task = asyncio.create_task(left())
        await asyncio.sleep(0)
        log.append("main ends")

    run(main())
    assert log == ["main ends", "cancelled", "tidied up"]


@each_run
def test_what_fails_when_it_is_cancelled_at_the_end_is_reported(run, caplog):
    async def left():
        try:
            await asyncio.sleep(3600)
        finally:
            raise ZeroDivisionError("at the end")

    async def main():
        asyncio.get_running_loop().task = asyncio.create_task(left())
        await asyncio.sleep(0)

    run(main())
    assert "unhandled exception during asyncio.run() shutdown" in caplog.text
    assert "at the end" in caplog.text


@each_run
def test_generators_are_closed_at_the_end(run):
    log = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            log.append("closed")

    async def main():
        generator = numbers()
        asyncio.get_running_loop().generator = generator
        await anext(generator)

    run(main())
    assert log == ["closed"]


@each_run
def test_the_threads_of_the_default_executor_end_with_the_program(run):
    async def main():
        return await asyncio.to_thread(threading.current_thread)

    thread = run(main())
    assert not thread.is_alive()


@each_run
def test_run_inside_a_running_loop_is_refused(run):
    async def main():
        coroutine = current_loop()
        try:
            with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
                run(coroutine)
        finally:
            coroutine.close()

    run(main())


def test_a_refused_program_is_closed_and_warns_of_nothing():
    done = run_python(
        "import asyncio, gc, treadle\n"
        "async def main():\n"
        "    try:\n"
        "        treadle.run(asyncio.sleep(0))\n"
        "    except RuntimeError as exc:\n"
        "        print(exc)\n"
        "    gc.collect()\n"
        "treadle.run(main())",
        PYTHONWARNINGS="always",
    )
    assert done.stdout == "treadle.run() cannot be called from a running event loop\n"
    assert done.stderr == ""


@each_run
def test_run_inside_a_running_loop_says_so_whatever_it_is_given(run):
    async def main():
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            run("no coroutine")

    run(main())


@each_run
def test_run_refuses_what_is_no_coroutine(run):
    with pytest.raises((TypeError, ValueError), match="coroutine"):
        run("no coroutine")


@each_run
def test_a_program_can_be_run_in_another_thread(run):
    results = []
    worker = threading.Thread(target=lambda: results.append(run(asyncio.sleep(0, "there"))))
    worker.start()
    worker.join()
    assert results == ["there"]


@each_run
def test_programs_can_be_run_one_after_the_other(run):
    assert [run(asyncio.sleep(0, i)) for i in range(5)] == list(range(5))


def test_an_exit_code_passes_through_run():
    done = run_python(
        "import sys, treadle\nasync def main(): sys.exit(7)\ntreadle.run(main())",
    )
    assert done.returncode == 7
    assert done.stderr == ""


# Runner --------------------------------------------------------------------------------------


@each_runner
def test_a_runner_runs_several_programs_on_one_loop(make_runner):
    with make_runner() as runner:
        loops = {id(runner.run(current_loop())) for _ in range(3)}
        assert loops == {id(runner.get_loop())}


@each_runner
def test_a_runner_keeps_its_context_between_programs(make_runner):
    async def set_word():
        word.set("kept")

    async def get_word():
        return word.get()

    with make_runner() as runner:
        runner.run(set_word())
        assert runner.run(get_word()) == "kept"
    assert word.get() == "none"


@each_runner
def test_a_runner_takes_a_context_for_a_program(make_runner):
    async def get_word():
        return word.get()

    context = contextvars.Context()
    context.run(word.set, "given")
    with make_runner() as runner:
        assert runner.run(get_word(), context=context) == "given"


@each_runner
def test_a_closed_runner_runs_nothing(make_runner):
    runner = make_runner()
    with runner:
        loop = runner.get_loop()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="Runner is closed"):
        runner.get_loop()
    runner.close()


@each_runner
def test_tasks_live_on_between_the_programs_of_a_runner(make_runner):
    log = []

    async def background():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append("worked on")

    async def start():
        asyncio.get_running_loop().task = asyncio.create_task(background())

    with make_runner() as runner:
        runner.run(start())
        assert log == []
        runner.run(asyncio.sleep(0.001))
        assert log == ["worked on"]


def test_a_runner_makes_the_loop_that_it_is_told_to_make():
    class Mine(treadle.Loop):
        pass

    with treadle.Runner(loop_factory=Mine, debug=True) as runner:
        assert type(runner.get_loop()) is Mine
        assert runner.get_loop().get_debug()


def test_new_event_loop_makes_a_new_loop_each_time():
    one, other = treadle.new_event_loop(), treadle.new_event_loop()
    assert type(one) is type(other) is treadle.Loop
    assert one is not other
    one.close()
    other.close()


# the policy ----------------------------------------------------------------------------------


def test_the_policy_makes_treadles_loops():
    loop = treadle.EventLoopPolicy().new_event_loop()
    assert type(loop) is treadle.Loop
    loop.close()


def test_each_policy_remembers_the_loop_that_it_was_given():
    policy = treadle.EventLoopPolicy()
    loop = policy.new_event_loop()
    policy.set_event_loop(loop)
    assert policy.get_event_loop() is loop
    policy.set_event_loop(None)
    loop.close()


def test_after_install_asyncio_runs_on_treadle():
    done = run_python(
        "import asyncio, treadle\n"
        "async def main(): return type(asyncio.get_running_loop())\n"
        "before = asyncio.run(main())\n"
        "treadle.install()\n"
        "print(before is treadle.Loop, asyncio.run(main()) is treadle.Loop)\n"
        "loop = asyncio.new_event_loop()\n"
        "print(type(loop) is treadle.Loop)\n"
        "loop.close()",
        PYTHONWARNINGS="error",
    )
    assert done.stdout == "False True\nTrue\n"
    assert done.stderr == ""


def test_importing_treadle_leaves_asyncios_policy_alone():
    done = run_python(
        "import asyncio, treadle\n"
        "async def main(): return type(asyncio.get_running_loop())\n"
        "print(asyncio.run(main()) is treadle.Loop)"
    )
    assert done.stdout == "False\n"
