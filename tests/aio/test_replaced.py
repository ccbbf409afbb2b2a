"""A method of a loop that a derived class, a test or a mock replaces is the one that is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from unittest import mock

import pytest


async def connect_to_nothing() -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "localhost", 1)


async def listen() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "localhost", 0)
    server.close()


async def time_limit() -> None:
    async with asyncio.timeout(60):
        pass


async def make_task() -> None:
    await asyncio.create_task(asyncio.sleep(0))


async def fail() -> None:
    asyncio.get_running_loop().call_soon(divmod, 1, 0)
    await asyncio.sleep(0)


async def use_a_thread() -> None:
    await asyncio.to_thread(int)


async def run_a_blocking_call() -> None:
    await asyncio.get_running_loop().run_in_executor(None, int)


USES: list[tuple[str, Callable[[], Any]]] = [
    ("call_soon", make_task),
    ("call_soon_threadsafe", run_a_blocking_call),
    ("call_later", lambda: asyncio.sleep(0.0001)),
    ("call_at", time_limit),
    ("time", lambda: asyncio.sleep(0.0001)),
    ("create_task", make_task),
    ("create_future", lambda: asyncio.sleep(0.0001)),
    ("run_in_executor", use_a_thread),
    ("getaddrinfo", connect_to_nothing),
    ("getaddrinfo", listen),
    ("sock_connect", connect_to_nothing),
    ("call_exception_handler", fail),
    ("default_exception_handler", fail),
    ("stop", make_task),
    ("run_forever", make_task),
]
NAMES = [f"{method} by {use.__name__}" for method, use in USES]


@pytest.fixture
def quiet() -> Iterator[None]:
    with mock.patch("logging.Logger.error"):
        yield


@pytest.mark.parametrize(("method", "use"), USES, ids=NAMES)
def test_a_mock_on_the_loop_is_called(loop_factory, quiet, method, use):
    with closing(loop_factory()) as loop:
        with mock.patch.object(loop, method, wraps=getattr(loop, method)) as replaced:
            loop.run_until_complete(use())
        assert replaced.called
        loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize(("method", "use"), USES, ids=NAMES)
def test_a_method_of_a_derived_class_is_called(loop_factory, quiet, method, use):
    calls = []
    with closing(loop_factory()) as sample:
        base = type(sample)

    def replaced(self: Any, *args: Any, **keywords: Any) -> Any:
        calls.append(args)
        return getattr(base, method)(self, *args, **keywords)

    with closing(type("Derived", (base,), {method: replaced})()) as loop:
        loop.run_until_complete(use())
        loop.run_until_complete(loop.shutdown_default_executor())
    assert calls


class StandingTime:
    """A mixin: time passes only when it is moved."""

    now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture(params=["by a derived class", "on the loop"])
def standing(request: pytest.FixtureRequest, loop_factory: Callable[[], Any]) -> Iterator[Any]:
    """A loop whose time() was replaced; it shows what is put into its attribute `now`."""
    with closing(loop_factory()) as loop:
        if request.param == "on the loop":
            loop.now = 100.0
            loop.time = lambda: loop.now
            yield loop
            return
        base = type(loop)
    with closing(type("Derived", (StandingTime, base), {})()) as loop:
        yield loop


def turn(loop: Any, times: int = 2) -> None:
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_timers_go_by_a_replaced_time(standing):
    calls: list[str] = []
    standing.call_at(105, calls.append, "at 105")
    standing.call_later(3, calls.append, "after 3")
    turn(standing)
    assert calls == []
    standing.now = 103.0
    turn(standing)
    assert calls == ["after 3"]
    standing.now = 105.0
    turn(standing)
    assert calls == ["after 3", "at 105"]


@pytest.mark.parametrize("delay", [0.1, 0.7, 1 / 3, 1e-9, 12345.678])
def test_a_timer_is_due_when_a_replaced_time_shows_what_when_says(standing, delay):
    standing.now = 0.1 + 0.2
    calls: list[str] = []
    handle = standing.call_later(delay, calls.append, "due")
    assert handle.when() == standing.now + delay
    standing.now = handle.when()
    turn(standing)
    assert calls == ["due"]


def test_a_derived_time_may_ask_the_one_that_it_replaces(loop_factory):
    with closing(loop_factory()) as sample:
        base = type(sample)

    class Ahead(base):  # type: ignore[misc, valid-type]
        def time(self) -> float:
            return super().time() + 1000  # type: ignore[no-any-return]

    with closing(Ahead()) as loop:
        loop.run_until_complete(asyncio.sleep(0.0001))
        assert base.time(loop) + 999 < loop.time()


def test_a_mocked_time_that_is_taken_away_leaves_the_clock(loop_factory):
    with closing(loop_factory()) as loop:
        with mock.patch.object(loop, "time", return_value=0.0):
            assert loop.call_later(5, print).when() == 5.0
        loop.run_until_complete(asyncio.sleep(0.0001))
        assert loop.call_later(5, print).when() > 5.0


def test_a_loop_takes_attributes(loop_factory):
    with closing(loop_factory()) as loop:
        loop.label = "mine"
        assert loop.label == "mine"
        del loop.label
        assert not hasattr(loop, "label")
