"""What libraries rely on without being told: asyncio's private names, and how things look."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

import treadle

# sock_*() and sendfile() are compiled: what they return is a coroutine, they are no functions
COROUTINES = sorted(
    name
    for name, method in vars(asyncio.AbstractEventLoop).items()
    if inspect.iscoroutinefunction(method) and not name.startswith(("sock_", "sendfile"))
)


@pytest.mark.parametrize("name", COROUTINES)
def test_what_is_a_coroutine_function_in_asyncio_is_one_here(loop, name):
    assert inspect.iscoroutinefunction(getattr(loop, name))


def test_what_a_socket_method_returns_can_be_made_a_task(loop, socket_pair):
    ours, theirs = socket_pair

    async def main() -> bytes:
        coroutine = loop.sock_recv(ours, 4)
        assert asyncio.iscoroutine(coroutine)
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        theirs.send(b"data")
        return await task

    assert loop.run_until_complete(main()) == b"data"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loop_cannot_be_duplicated(make_loop, duplicate):
    with pytest.raises(TypeError, match="loop"):
        duplicate(make_loop())


@pytest.mark.treadle_only
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps])
def test_a_handle_cannot_be_duplicated(loop, duplicate):
    handle = loop.call_soon(print)
    with pytest.raises((TypeError, pickle.PicklingError)):
        duplicate(handle)
    handle.cancel()


def test_repr_of_a_loop_names_its_class_and_state(make_loop):
    class Special(treadle.Loop):
        pass

    with closing(Special()) as loop:  # type: ignore[abstract]
        assert repr(loop) == "<Special running=False closed=False debug=False>"
        loop.set_debug(True)
    assert repr(loop) == "<Special running=False closed=True debug=True>"


def test_the_task_that_is_run_can_be_known_by_its_callback(loop):
    async def callbacks() -> list[Any]:
        task: Any = asyncio.current_task()
        return [callback for callback, _ in task._callbacks]

    found = loop.run_until_complete(callbacks())
    assert found == [asyncio.base_events._run_until_complete_cb]  # type: ignore[attr-defined]


def test_the_default_executor_can_be_read_and_taken_away(loop):
    assert loop._default_executor is None
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    assert loop._default_executor is executor
    loop._default_executor = None
    loop.run_until_complete(loop.run_in_executor(None, int))
    assert loop._default_executor is not executor
    executor.shutdown()


def test_check_closed_can_be_asked(loop_factory):
    loop = loop_factory()
    loop._check_closed()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop._check_closed()


@pytest.mark.parametrize("state", ["new", "running", "closed"])
def test_debug_mode_can_be_switched_in_each_state(loop_factory, state):
    with closing(loop_factory()) as loop:
        switched: list[bool] = []

        def switch() -> None:
            for enabled in (True, False, True):
                loop.set_debug(enabled)
                switched.append(loop.get_debug())

        if state == "running":
            loop.call_soon(switch)
            loop.call_soon(loop.stop)
            loop.run_forever()
        else:
            if state == "closed":
                loop.close()
            switch()
        assert switched == [True, False, True]


def test_the_duration_of_a_slow_callback_can_be_set(loop):
    assert loop.slow_callback_duration == 0.1
    loop.slow_callback_duration = 2
    assert loop.slow_callback_duration == 2


def test_context_variables_reach_what_is_scheduled(loop):
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    elsewhere = contextvars.copy_context()
    elsewhere.run(variable.set, "elsewhere")

    async def main() -> None:
        variable.set("main")
        loop.call_soon(lambda: seen.append(variable.get()))
        loop.call_soon(lambda: seen.append(variable.get()), context=elsewhere)
        loop.call_later(0, lambda: seen.append(variable.get()), context=elsewhere)
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert seen == ["main", "elsewhere", "elsewhere"]
    assert variable.get() == "unset"


def made_with(loop: Any, **keywords: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a task factory is called with after the loop."""
    calls = []

    def factory(loop: Any, coro: Any, *args: Any, **keywords: Any) -> Any:
        calls.append((args, keywords))
        return asyncio.Task(coro, loop=loop, **keywords)

    loop.set_task_factory(factory)
    loop.run_until_complete(loop.create_task(asyncio.sleep(0), **keywords))
    return calls[0]


CONTEXT = contextvars.copy_context()


@pytest.mark.parametrize(
    "keywords",
    [{}, {"name": "one"}, {"name": None}, {"context": CONTEXT}, {"context": None}],
    ids=["nothing", "name", "no name", "context", "no context"],
)
def test_a_task_factory_gets_what_this_asyncio_passes(loop, keywords):
    with closing(asyncio.SelectorEventLoop()) as asyncios:
        expected = made_with(asyncios, **keywords)
    assert made_with(loop, **keywords) == expected


def test_a_task_made_by_a_factory_gets_its_name(loop):
    loop.set_task_factory(lambda loop, coro, **keywords: asyncio.Task(coro, loop=loop, **keywords))
    task = loop.create_task(asyncio.sleep(0), name="the name")
    assert task.get_name() == "the name"
    loop.run_until_complete(task)


EAGER: dict[str, Callable[[], Any]] = {
    "the usual one": lambda: asyncio.eager_task_factory,
    "one of its own": lambda: asyncio.create_eager_task_factory(asyncio.Task),
}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager tasks")
@pytest.mark.parametrize("factory", EAGER.values(), ids=EAGER)
def test_an_eager_task_begins_when_it_is_made(loop, factory):
    steps: list[str] = []

    async def work() -> str:
        steps.append("work")
        await asyncio.sleep(0)
        return "result"

    async def main() -> str:
        task = asyncio.create_task(work(), name="eager")
        steps.append("made")
        assert task.get_name() == "eager"
        return await task

    loop.set_task_factory(factory())
    assert loop.run_until_complete(main()) == "result"
    assert steps == ["work", "made"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["a callback", "a task", "a timer"])
def test_an_exit_leaves_the_loop_ready_for_another_run(loop, kind, place):
    later: list[str] = []

    def leave() -> None:
        raise kind

    async def leave_task() -> None:
        raise kind

    if place == "a task":
        with pytest.raises(kind):
            loop.run_until_complete(leave_task())
    else:
        schedule = (
            loop.call_soon if place == "a callback" else (lambda call: loop.call_later(0, call))
        )
        schedule(leave)
        with pytest.raises(kind):
            loop.run_forever()
    assert not loop.is_running()
    loop.call_soon(later.append, "ran")
    loop.run_until_complete(asyncio.sleep(0))
    assert later == ["ran"]


def test_a_file_that_cannot_be_watched_is_refused_with_the_kernels_word(loop):
    # libraries (twisted) go by the number
    with open(__file__) as file:
        for watch in (loop.add_reader, loop.add_writer):
            with pytest.raises(PermissionError):
                watch(file, print)
