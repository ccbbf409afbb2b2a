"""The Promises/A+ text, version 1.1.1, sections 2.1 and 2.2, clause by clause; 2.3 is next door.

A test's name begins with the clause's. Python has no ``this`` (2.2.5) and nothing but objects:
clauses on "functions" are about callables, those on undefined about None.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.aio.promises import (
    NO_FUNCTION,
    OTHER,
    REASON,
    VALUE,
    WHEN,
    after_turns,
    fulfilled,
    kind,
    outcome,
    rejected,
    settled,
    turns,
)
from treadle import Promise


@pytest.fixture
def run(loop):
    """Drives the loop from this file: 2.2.4 looks for it among the callers."""
    return lambda main: loop.run_until_complete(main())


# 2.1 states ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fulfilled", "rejected"])
def test_2_1_1_1_a_pending_promise_may_become_either(run, how):
    async def main():
        promise = settled(how, REASON, "later")
        assert promise.state == "pending"
        await outcome(promise)
        assert promise.state == how

    run(main)


@WHEN
def test_2_1_2_a_fulfilled_promise_stays_so_with_its_value(run, when):
    async def main():
        promise, resolve, reject = Promise.with_resolvers()
        resolve(VALUE)
        if when == "already":
            resolve(OTHER)
            reject(REASON)
        else:
            after_turns(0 if when == "in this turn" else 3, resolve, OTHER)
            after_turns(0 if when == "in this turn" else 3, reject, REASON)
        await turns()
        assert await outcome(promise) == ("fulfilled", VALUE)
        assert promise.state == "fulfilled"

    run(main)


@WHEN
def test_2_1_3_a_rejected_promise_stays_so_with_its_reason(run, when):
    async def main():
        promise, resolve, reject = Promise.with_resolvers()
        reject(REASON)
        if when == "already":
            resolve(OTHER)
            reject(KeyError())
        else:
            after_turns(0 if when == "in this turn" else 3, resolve, OTHER)
            after_turns(0 if when == "in this turn" else 3, reject, KeyError())
        await turns()
        assert await outcome(promise) == ("rejected", REASON)
        assert promise.state == "rejected"

    run(main)


# 2.2 the method then -------------------------------------------------------------------------


@NO_FUNCTION
def test_2_2_1_1_what_is_no_function_is_ignored_as_on_fulfilled(run, nothing):
    async def main():
        seen = []
        await rejected().then(nothing, seen.append)
        assert seen == [REASON]

    run(main)


@NO_FUNCTION
def test_2_2_1_2_what_is_no_function_is_ignored_as_on_rejected(run, nothing):
    async def main():
        seen = []
        await fulfilled().then(seen.append, nothing)
        assert seen == [VALUE]

    run(main)


@WHEN
def test_2_2_2_1_on_fulfilled_is_called_with_the_value(run, when):
    async def main():
        seen = []
        await fulfilled(when=when).then(lambda *arguments: seen.append(arguments))
        assert seen == [(VALUE,)]

    run(main)


def test_2_2_2_2_on_fulfilled_is_not_called_before_the_promise_is_fulfilled(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        states = []
        never = []
        promise.then(lambda _: states.append(promise.state))
        Promise(lambda resolve, reject: None).then(never.append)
        await turns()
        assert not states
        resolve(VALUE)
        await turns()
        assert states == ["fulfilled"]
        assert not never

    run(main)


@WHEN
def test_2_2_2_3_on_fulfilled_is_called_once(run, when):
    async def main():
        seen = []
        promise, resolve, reject = Promise.with_resolvers()
        promise.then(seen.append)
        for settle, what in ((resolve, VALUE), (resolve, OTHER), (reject, REASON)):
            if when == "already":
                settle(what)
            else:
                after_turns(0 if when == "in this turn" else 3, settle, what)
        await turns()
        assert seen == [VALUE]

    run(main)


@WHEN
def test_2_2_3_1_on_rejected_is_called_with_the_reason(run, when):
    async def main():
        seen = []
        await rejected(when=when).then(None, lambda *arguments: seen.append(arguments))
        assert seen == [(REASON,)]

    run(main)


def test_2_2_3_2_on_rejected_is_not_called_before_the_promise_is_rejected(run):
    async def main():
        promise, _, reject = Promise.with_resolvers()
        states = []
        promise.catch(lambda _: states.append(promise.state))
        await turns()
        assert not states
        reject(REASON)
        await turns()
        assert states == ["rejected"]

    run(main)


@WHEN
def test_2_2_3_3_on_rejected_is_called_once(run, when):
    async def main():
        seen = []
        promise, resolve, reject = Promise.with_resolvers()
        promise.catch(seen.append)
        for settle, what in ((reject, REASON), (reject, KeyError()), (resolve, VALUE)):
            if when == "already":
                settle(what)
            else:
                after_turns(0 if when == "in this turn" else 3, settle, what)
        await turns()
        assert seen == [REASON]

    run(main)


@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_2_2_4_a_handler_runs_when_then_has_returned(run, make):
    async def main():
        order = []
        promise = make().then(lambda _: order.append("handler"), lambda _: order.append("handler"))
        order.append("after then")
        await promise
        assert order == ["after then", "handler"]

    run(main)


def test_2_2_4_a_handler_runs_when_resolve_has_returned(run):
    async def main():
        order = []
        promise, resolve, _ = Promise.with_resolvers()
        derived = promise.then(lambda _: order.append("handler"))
        resolve(VALUE)
        order.append("after resolve")
        await derived
        assert order == ["after resolve", "handler"]

    run(main)


def test_2_2_4_a_handler_that_was_added_by_a_handler_runs_after_it(run):
    async def main():
        order = []
        promise = fulfilled()

        def first(_):
            promise.then(lambda _: order.append("inner"))
            order.append("outer")

        await promise.then(first)
        await turns()
        assert order == ["outer", "inner"]

    run(main)


def test_2_2_4_a_handler_is_called_by_platform_code_only(run):
    async def main():
        files = []
        await fulfilled().then(lambda _: files.extend(f.filename for f in inspect.stack()[1:]))
        here = [frame.function for frame in inspect.stack() if frame.filename == __file__]
        callers = files[: files.index(__file__)]  # what drives the loop is this test
        assert "main" in here
        assert all("asyncio" in file or "treadle" in file for file in callers)

    run(main)


def test_2_2_5_a_handler_is_called_as_a_function(run):
    async def main():
        class Handlers:
            def on_fulfilled(*arguments):
                return arguments

        assert await fulfilled().then(Handlers.on_fulfilled) == (VALUE,)

    run(main)


@WHEN
@pytest.mark.parametrize(("make", "what"), [(fulfilled, VALUE), (rejected, REASON)])
def test_2_2_6_handlers_run_in_the_order_of_their_registration(run, make, what, when):
    async def main():
        seen = []
        promise = make(when=when)

        def failing(outcome):
            seen.append((2, outcome))
            raise KeyError("of no importance to the others")

        for handler in (
            lambda outcome: seen.append((1, outcome)),
            failing,
            lambda outcome: seen.append((3, outcome)),
        ):
            promise.then(handler, handler).catch(lambda _: None)
        await turns()
        assert seen == [(1, what), (2, what), (3, what)]

    run(main)


@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_2_2_6_handlers_and_awaiting_tasks_go_on_in_one_order(run, make):
    async def main():
        order = []
        promise = make(when="later")

        async def wait():
            await outcome(promise)
            order.append("task")

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        promise.then(lambda _: order.append("handler"), lambda _: order.append("handler"))
        await task
        await turns()
        assert order == ["task", "handler"]

    run(main)


@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_2_2_7_then_returns_a_promise_of_its_own(run, make):
    async def main():
        promise = make()
        derived = promise.then(None, lambda _: None)
        assert isinstance(derived, Promise)
        assert derived is not promise

    run(main)


@WHEN
@pytest.mark.parametrize("make", [fulfilled, rejected])
@pytest.mark.parametrize("returned", [None, 0, VALUE, REASON], ids=kind)
def test_2_2_7_1_what_a_handler_returns_fulfils_the_new_promise(run, make, when, returned):
    async def main():
        promise = make(when=when).then(lambda _: returned, lambda _: returned)
        assert await outcome(promise) == ("fulfilled", returned)

    run(main)


@WHEN
@pytest.mark.parametrize("make", [fulfilled, rejected])
@pytest.mark.parametrize("error", [KeyError("k"), asyncio.CancelledError(), GeneratorExit()])
def test_2_2_7_2_what_a_handler_raises_rejects_the_new_promise(run, make, when, error):
    async def main():
        def failing(_):
            raise error

        assert await outcome(make(when=when).then(failing, failing)) == ("rejected", error)

    run(main)


@WHEN
@NO_FUNCTION
def test_2_2_7_3_without_a_handler_the_value_is_passed_on(run, when, nothing):
    async def main():
        assert await outcome(fulfilled(when=when).then(nothing)) == ("fulfilled", VALUE)

    run(main)


@WHEN
@NO_FUNCTION
def test_2_2_7_4_without_a_handler_the_reason_is_passed_on(run, when, nothing):
    async def main():
        assert await outcome(rejected(when=when).then(None, nothing)) == ("rejected", REASON)

    run(main)
