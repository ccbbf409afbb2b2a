"""Rejections that nobody handles: when they are reported, once, and with which place."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref

import pytest

from tests.aio.promises import fulfilled, outcome, rejected, turns
from treadle import Promise


async def fail(error):
    await asyncio.sleep(0)
    raise error


def reject_by_executor():
    def executor(resolve, reject):
        raise ValueError

    return Promise(executor)


def reject_by_handler():
    def failing(_):
        raise ValueError

    return fulfilled().then(failing)


def reject_by_thenable():
    class Thenable:
        def then(self, resolve, reject):
            raise ValueError

    return Promise.resolve(Thenable())


def reject_by_property():
    class Refusing:
        @property
        def then(self):
            raise ValueError

    return Promise.resolve(Refusing())


def reject_by_items():
    def items():
        yield fulfilled()
        raise ValueError

    return Promise.all_(items())


def reject_by_finally():
    def failing():
        raise ValueError

    return rejected(KeyError()).finally_(failing)


REJECTING = pytest.mark.parametrize(
    "make",
    [
        reject_by_executor,
        reject_by_handler,
        reject_by_thenable,
        lambda: Promise.from_awaitable(fail(ValueError())),
        lambda: Promise.reject(ValueError()),
        lambda: Promise.all_([Promise.reject(ValueError())]),
        reject_by_property,
        reject_by_items,
        reject_by_finally,
    ],
    ids=[
        "executor",
        "handler",
        "thenable",
        "coroutine",
        "reject",
        "all",
        "property",
        "items",
        "finally",
    ],
)


@REJECTING
def test_a_rejection_that_nobody_handles_is_reported_once_without_the_collector(run, reports, make):
    async def main():
        gc.disable()
        try:
            make()
            await turns()
        finally:
            gc.enable()
        (report,) = reports
        assert isinstance(report["exception"], ValueError)
        assert isinstance(report["promise"], Promise)

    run(main)


def test_the_report_names_the_place_where_the_promise_was_made(run, reports):
    async def main():
        line = sys._getframe().f_lineno + 1
        Promise.reject(ValueError())
        assert f"{__file__}:{line}" in reports[0]["message"]
        line = sys._getframe().f_lineno + 1
        Promise.all_([Promise.reject(ValueError())])
        await turns()
        assert f"{__file__}:{line}" in reports[1]["message"]

    run(main)


def test_in_debug_mode_the_report_has_the_whole_stack(loop, reports):
    loop.set_debug(True)

    async def main():
        Promise.reject(ValueError())
        names = [frame.name for frame in reports[0]["source_traceback"]]
        assert "main" in names

    loop.run_until_complete(main())


@REJECTING
@pytest.mark.parametrize(
    "handle",
    [lambda promise: promise, lambda promise: promise.catch(lambda _: None)],
    ids=["await", "catch"],
)
def test_a_rejection_that_somebody_handles_much_later_is_not_reported(run, make, handle):
    async def main():
        promise = make()
        await turns(20)
        await outcome(handle(promise))

    run(main)  # the loop of the tests takes no reports


def test_of_a_chain_the_last_promise_reports(run, reports):
    async def main():
        promise = Promise.reject(ValueError())
        last = promise.then(lambda _: None).then(lambda _: None)
        place = sys._getframe().f_lineno - 1
        await turns()
        assert not reports
        del promise, last
        (report,) = reports
        assert report["message"].endswith(f":{place}")

    run(main)


def test_a_wait_that_was_cancelled_has_handled_nothing(run, reports):
    async def main():
        promise, _, reject = Promise.with_resolvers()
        task = asyncio.ensure_future(outcome(promise))
        await asyncio.sleep(0)
        task.cancel()
        await task
        del task
        await asyncio.sleep(0)  # the loop lets go of the task with its next step
        reject(ValueError())
        del promise
        assert len(reports) == 1

    run(main)


def test_a_cancellation_is_no_unhandled_rejection(run):
    async def main():
        Promise.with_resolvers().promise.cancel()
        Promise.from_awaitable(fail(asyncio.CancelledError()))
        await turns()

    run(main)


def test_a_promise_that_was_settled_is_not_held_by_its_reason(run):
    async def main():
        promise = reject_by_executor()
        try:
            await promise
        except ValueError as error:
            reason = error
        seen = weakref.ref(promise)
        gc.disable()
        try:
            del promise
            assert seen() is None
        finally:
            gc.enable()
        del reason

    run(main)
