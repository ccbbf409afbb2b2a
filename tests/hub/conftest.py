"""What tests of the hub share: loops in virtual time, so that nothing ever waits for a clock."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.properties.virtual_loops import VirtualAsyncio, virtual_treadle


@contextlib.contextmanager
def virtual(factory):
    """A loop in virtual time; fails when something was reported to it."""
    loop = factory()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    try:
        yield loop, reports
        tasks = asyncio.all_tasks(loop)
        assert not tasks, f"tasks are left: {tasks}"
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture(params=[VirtualAsyncio, virtual_treadle], ids=["asyncio", "treadle"])
def virtual_loop(request):
    with virtual(request.param) as (loop, reports):
        yield loop, reports


@pytest.fixture
def run(virtual_loop):
    """Run a coroutine function; no failure may have been reported that nobody expected."""
    loop, reports = virtual_loop

    def run(main):
        result = loop.run_until_complete(main())
        assert not reports, reports
        return result

    return run


@pytest.fixture
def run_with_reports(virtual_loop):
    """Run a coroutine function, which gets the list of what is reported."""
    loop, reports = virtual_loop
    return lambda main: loop.run_until_complete(main(reports))
