"""Fixtures that all tests share: the same test runs on asyncio's loop and on treadle's.

Which treadle it is, compiled or plain, and which driver it takes by itself is decided by the
environment in which pytest runs (``TREADLE_PURE``, ``TREADLE_DRIVER``). With
``TREADLE_TEST_ACCELERATE=1`` asyncio is accelerated before any test is imported, so that the
libraries in ``tests/integration`` run on treadle's queues, locks and streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings

import treadle
from tests.kit import FakeClock, JumpingDriver
from treadle._drivers import make_driver

# seconds until a test that waits for ever is failed; no test comes near it
PATIENCE = float(os.environ.get("TREADLE_TEST_PATIENCE", "60"))
MARKERS = (
    "every_driver: runs on treadle with the plain driver as well",
    "treadle_only: is about something that asyncio does not have, or has otherwise",
)
FACTORIES: dict[str, Callable[[], Any]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "treadle": treadle.Loop,
    "treadle-selector": lambda: treadle.Loop(driver="selector"),
}
DEFAULT_DRIVER = make_driver().name
# "0": not on asyncio's loop, for a second run with the same Python
WITH_ASYNCIO = os.environ.get("TREADLE_TEST_ASYNCIO", "1") != "0"
ACCELERATED = os.environ.get("TREADLE_TEST_ACCELERATE", "0") != "0"
if ACCELERATED:
    treadle.accelerate()  # here: test modules import the libraries


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)

    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # a shell ignores it for what runs in the background, and a child would inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    kind = "compiled" if treadle.COMPILED else "plain"
    extra = ", asyncio accelerated" if ACCELERATED else ""
    return f"treadle {treadle.__version__}: {kind}, driver {DEFAULT_DRIVER}{extra}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_factory" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    names = [] if "treadle_only" in marks or not WITH_ASYNCIO else ["asyncio"]
    names.append("treadle")
    if "every_driver" in marks and DEFAULT_DRIVER != "selector":
        names.append("treadle-selector")
    metafunc.parametrize("loop_factory", names, indirect=True)


# no deadline: a test may not depend on the machine's speed; to explain is to trace, which is slow
settings.register_profile(
    "treadle",
    deadline=None,
    database=None,
    max_examples=50,
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("treadle")


class StillWaiting(BaseException):
    """A test waits for something that does not come."""


@contextlib.contextmanager
def patience(item: pytest.Item) -> Iterator[None]:
    """Fail what hangs, again every second should somebody catch that."""

    def lose(*_: object) -> None:
        raise StillWaiting

    old = signal.signal(signal.SIGALRM, lose)
    slow = item.get_closest_marker("slow") is not None
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * (10 if slow else 1), 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with patience(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with patience(item):
        return (yield)


@pytest.fixture
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """What makes a loop of the kind under test; the test closes what it makes."""
    return FACTORIES[request.param]


@pytest.fixture
def loop(loop_factory: Callable[[], Any]) -> Iterator[Any]:
    """A loop; the test fails when a failure was reported to it that nobody expected.

    A test that expects one calls ``loop.set_exception_handler`` itself.
    """
    reports: list[dict[str, Any]] = []
    loop = loop_factory()
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    try:
        yield loop
    finally:
        finish(loop)
    assert not reports


@pytest.fixture
def socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two non-blocking sockets that are connected to each other."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def make_loop() -> Iterator[Callable[..., Any]]:
    """`treadle.Loop` with any arguments; what it makes is closed when the test ends."""
    made: list[Any] = []

    def make(**arguments: Any) -> Any:
        made.append(treadle.Loop(**arguments))
        return made[-1]

    yield make
    for loop in made:
        loop.close()


@pytest.fixture
def virtual(make_loop: Callable[..., Any]) -> tuple[Any, FakeClock]:
    """A loop whose time passes only by waiting, and then at once; and its clock."""
    clock = FakeClock()
    return make_loop(driver=JumpingDriver(clock), clock=clock), clock


def finish(loop: Any) -> None:
    """End what a test left running, as asyncio.Runner does, and close the loop."""
    if loop.is_closed():
        return
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
