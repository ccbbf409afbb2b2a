"""Promises beyond Promises/A+: awaiting, cancelling, other awaitables, threads, contexts."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import traceback
import weakref

import pytest

from tests.aio.promises import REASON, VALUE, fulfilled, outcome, rejected, turns
from treadle import Promise

# making them ---------------------------------------------------------------------------------


def test_an_executor_is_called_at_once(run):
    async def main():
        called = []
        Promise(lambda *functions: called.append(functions))
        assert len(called) == 1

    run(main)


def test_what_an_executor_raises_rejects(run):
    async def main():
        def failing(resolve, reject):
            raise REASON

        assert await outcome(Promise(failing)) == ("rejected", REASON)

    run(main)


def test_what_an_executor_raises_after_it_resolved_is_ignored(run):
    async def main():
        def failing(resolve, reject):
            resolve(VALUE)
            raise REASON

        assert await outcome(Promise(failing)) == ("fulfilled", VALUE)

    run(main)


def test_a_coroutine_function_is_refused_as_an_executor(run):
    async def main():
        async def executor(resolve, reject): ...

        with pytest.raises(TypeError, match="from_awaitable"):
            Promise(executor)

    run(main)


@pytest.mark.parametrize("thing", [None, 5, "text"])
def test_what_is_no_function_is_refused_as_an_executor(run, thing):
    async def main():
        with pytest.raises(TypeError, match="resolve and reject"):
            Promise(thing)

    run(main)


def test_without_a_running_loop_a_promise_cannot_be_made():
    with pytest.raises(RuntimeError, match="loop="):
        Promise(lambda resolve, reject: None)


def test_a_promise_can_be_made_for_a_loop_that_runs_later(loop):
    promise = Promise(lambda resolve, reject: resolve(VALUE), loop=loop)

    async def main():
        return await promise

    assert loop.run_until_complete(main()) is VALUE


def test_a_promise_that_is_resolved_to_a_promise_is_that_promise(run):
    async def main():
        promise = fulfilled()
        assert Promise.resolve(promise) is promise

    run(main)


def test_a_class_is_a_value_whatever_functions_it_has(run):
    async def main():
        assert await Promise.resolve(Promise) is Promise

    run(main)


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return VALUE


async def give(value):
    await asyncio.sleep(0)
    return value


async def fail(error):
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize(
    "make",
    [
        lambda: give(VALUE),
        Awaitable,
        lambda: asyncio.create_task(give(VALUE)),
        lambda: fulfilled(when="later"),
        lambda: give(fulfilled(when="later")),
    ],
    ids=["coroutine", "awaitable", "task", "promise", "coroutine of promise"],
)
@pytest.mark.parametrize("way", ["from_awaitable", "resolve", "handler"])
def test_what_can_be_awaited_is_adopted(run, make, way):
    async def main():
        if way == "handler":
            promise = fulfilled().then(lambda _: make())
        else:
            promise = getattr(Promise, way)(make())
        assert await promise is VALUE

    run(main)


def test_what_a_coroutine_raises_is_the_reason(run):
    async def main():
        assert await outcome(Promise.from_awaitable(fail(REASON))) == ("rejected", REASON)

    run(main)


def test_what_cannot_be_awaited_is_refused(run):
    async def main():
        with pytest.raises(TypeError, match=r"Promise\.resolve"):
            Promise.from_awaitable(5)

    run(main)


def test_a_future_of_another_loop_rejects(run):
    async def main():
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(ValueError, match="another loop"):
                await Promise.from_awaitable(other.create_future())
        finally:
            other.close()

    run(main)


def test_a_promise_of_another_loop_rejects(run):
    async def main():
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(ValueError, match="another loop"):
                await Promise.from_awaitable(Promise(lambda resolve, reject: None, loop=other))
        finally:
            other.close()

    run(main)


def test_a_coroutine_is_kept_alive_by_its_promise(run):
    async def main():
        gates = []

        async def work():
            gate = asyncio.get_running_loop().create_future()  # nobody else has it
            gates.append(weakref.ref(gate))
            await gate

        Promise.from_awaitable(work())
        await turns(2)
        gc.collect()
        assert gates[0]() is not None
        gates[0]().set_result(None)

    run(main)


def test_a_promise_is_made_from_a_function_that_calls_back(run):
    async def main():
        def double(number, callback):
            asyncio.get_running_loop().call_soon(callback, None, 2 * number)

        assert await Promise.from_callback(double, 21) == 42

    run(main)


@pytest.mark.parametrize("reason", ["text", None, 5, ValueError])
def test_a_reason_that_is_no_exception_is_refused_at_once_with_advice(run, reason):
    async def main():
        promise, _, reject = Promise.with_resolvers()
        with pytest.raises(TypeError, match=r"try reject\("):
            reject(reason)
        with pytest.raises(TypeError, match=r"try reject\("):
            Promise.reject(reason)
        assert promise.state == "pending"

    run(main)


def test_stop_iteration_is_no_reason(run):
    async def main():
        def stop(_):
            raise StopIteration

        with pytest.raises(TypeError, match="StopIteration"):
            Promise.reject(StopIteration())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await fulfilled().then(stop)

    run(main)


def test_resolve_may_be_called_in_another_thread(run):
    async def main():
        def executor(resolve, reject):
            threads.append(threading.Thread(target=resolve, args=(VALUE,)))
            threads[0].start()

        threads = []
        assert await Promise(executor) is VALUE
        threads[0].join()

    run(main)


def test_of_two_threads_one_wins(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        threads = [threading.Thread(target=resolve, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert await promise in range(8)

    run(main)


def test_what_is_handed_over_too_late_leaves_no_coroutine_behind(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        resolve(VALUE)
        resolve(give(1))
        cancelled, resolve, _ = Promise.with_resolvers()
        cancelled.cancel()
        resolve(give(2))
        assert await promise is VALUE

    run(main)  # a coroutine that was never awaited would warn


def test_a_compiled_coroutine_is_adopted_and_let_go_of(run, loop, socket_pair):
    ours, theirs = socket_pair

    async def main():
        promise = Promise.from_awaitable(loop.sock_recv(ours, 4))
        theirs.send(b"data")
        assert await promise == b"data"
        promise, resolve, _ = Promise.with_resolvers()
        resolve(VALUE)
        resolve(loop.sock_recv(ours, 4))

    run(main)


# handlers ------------------------------------------------------------------------------------


def test_a_handler_may_be_a_coroutine_function(run):
    async def main():
        async def plus_one(number):
            await asyncio.sleep(0)
            return number + 1

        assert await fulfilled(41).then(plus_one) == 42
        assert await rejected().catch(lambda error: plus_one(41)) == 42

    run(main)


def test_a_handler_runs_in_the_context_of_its_registration(run):
    async def main():
        variable = contextvars.ContextVar("variable", default="outside")
        promise, resolve, _ = Promise.with_resolvers()
        variable.set("at then")
        derived = promise.then(lambda _: variable.get())
        variable.set("afterwards")
        resolve(None)
        assert await derived == "at then"

    run(main)


def test_what_ends_a_loop_ends_it_and_rejects(loop):
    made = []

    async def main():
        def interrupted(_):
            raise KeyboardInterrupt

        made.append(fulfilled().then(interrupted))
        await turns()

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main())
    made[0].catch(lambda _: None)
    assert made[0].state == "rejected"


def test_a_long_chain_is_no_deep_recursion(run):
    async def main():
        first, resolve, _ = Promise.with_resolvers()
        chain = [first]
        for _ in range(3 * sys.getrecursionlimit()):
            promise, follow, _ = Promise.with_resolvers()
            follow(chain[-1])
            chain.append(promise)
        resolve(VALUE)
        assert await chain[-1] is VALUE

    run(main)


def test_finally_passes_the_outcome_on_and_gets_no_arguments(run):
    async def main():
        called = []
        assert await fulfilled().finally_(lambda: called.append(1)) is VALUE
        assert await outcome(rejected().finally_(lambda: called.append(2))) == ("rejected", REASON)
        assert called == [1, 2]

    run(main)


@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_what_goes_wrong_in_finally_replaces_the_outcome(run, make):
    async def main():
        error = KeyError("cleaning up")

        def failing():
            raise error

        assert await outcome(make().finally_(failing)) == ("rejected", error)
        assert await outcome(make().finally_(lambda: fail(error))) == ("rejected", error)

    run(main)


@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_finally_waits_for_what_its_function_returns(run, make):
    async def main():
        gate = asyncio.get_running_loop().create_future()
        promise = make().finally_(lambda: gate)
        await turns()
        assert promise.state == "pending"
        gate.set_result("of no importance")
        assert await outcome(promise) == await outcome(make())

    run(main)


def test_a_subclass_makes_promises_of_its_kind(run):
    async def main():
        class Mine(Promise):
            pass

        assert isinstance(Mine.resolve(1).then(), Mine)
        assert isinstance(Mine.all_([]), Mine)

    run(main)


# awaiting ------------------------------------------------------------------------------------


def test_several_tasks_may_await_a_promise(run):
    async def main():
        promise = fulfilled(when="later")
        assert await asyncio.gather(promise, promise, outcome(promise)) == [
            VALUE,
            VALUE,
            ("fulfilled", VALUE),
        ]

    run(main)


def test_a_settled_promise_is_awaited_without_a_turn(run):
    async def main():
        with pytest.raises(StopIteration) as done:
            fulfilled().__await__().send(None)
        assert done.value.value is VALUE

    run(main)


def test_a_cancelled_wait_leaves_the_promise_and_other_waits_alone(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        tasks = [asyncio.create_task(outcome(promise)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert promise.state == "pending"
        resolve(VALUE)
        first, cancelled, last = await asyncio.gather(*tasks)
        assert first == last == ("fulfilled", VALUE)
        assert isinstance(cancelled[1], asyncio.CancelledError)

    run(main)


def test_a_wait_that_is_cancelled_in_the_turn_of_the_settling_is_cancelled(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        task = asyncio.create_task(outcome(promise))
        await asyncio.sleep(0)
        resolve(VALUE)
        task.cancel()
        assert isinstance((await task)[1], asyncio.CancelledError)

    run(main)


def test_a_timeout_ends_the_wait_and_not_the_work(run):
    async def main():
        gate = asyncio.get_running_loop().create_future()

        async def work():
            return await gate

        promise = Promise.from_awaitable(work())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(promise, 0)
        gate.set_result(VALUE)
        assert await promise is VALUE

    run(main)


def test_a_reason_keeps_its_traceback_however_often_it_is_raised(run):
    async def main():
        promise = Promise.from_awaitable(fail(REASON))
        depths = []
        for _ in range(4):
            try:
                await promise
            except ValueError as error:
                depths.append(len(traceback.extract_tb(error.__traceback__)))
        assert depths[1] == depths[2] == depths[3]

    run(main)


# cancelling ----------------------------------------------------------------------------------


def test_cancel_rejects_a_promise_at_once(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        derived = promise.then()
        assert promise.cancel("a message")
        resolve(VALUE)
        for cancelled in (promise, derived):
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    run(main)


def test_cancel_does_nothing_to_a_settled_promise(run):
    async def main():
        promise = fulfilled()
        assert not promise.cancel()
        assert await promise is VALUE

    run(main)


def test_cancel_cancels_the_coroutine_of_a_promise_and_waits_for_its_cleaning_up(run):
    async def main():
        order = []

        async def work():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0)
                order.append("cleaned up")

        promise = Promise.from_awaitable(work())
        await asyncio.sleep(0)
        assert promise.cancel("a message")
        assert promise.state == "pending"
        with pytest.raises(asyncio.CancelledError, match="a message"):
            await promise
        assert order == ["cleaned up"]

    run(main)


def test_a_coroutine_may_refuse_to_be_cancelled(run):
    async def main():
        async def stubborn():
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return VALUE

        promise = Promise.from_awaitable(stubborn())
        await asyncio.sleep(0)
        promise.cancel()
        assert await promise is VALUE

    run(main)


def test_cancel_cancels_the_coroutine_that_a_handler_returned(run):
    async def main():
        ended = []

        async def work(_):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append(True)

        promise = fulfilled().then(work)
        await turns(3)
        promise.cancel()
        with pytest.raises(asyncio.CancelledError):
            await promise
        assert ended

    run(main)


def test_cancel_leaves_somebody_elses_task_alone(run):
    async def main():
        gate = asyncio.get_running_loop().create_future()
        promise = Promise.from_awaitable(gate)
        assert promise.cancel()
        with pytest.raises(asyncio.CancelledError):
            await promise
        assert not gate.done()
        gate.set_exception(REASON)
        await turns()
        assert gate._log_traceback  # it is asyncio's to report
        assert gate.exception() is REASON

    run(main)


def test_cancel_goes_down_a_chain_and_not_up(run):
    async def main():
        promise, resolve, _ = Promise.with_resolvers()
        derived = promise.then()
        last = derived.then()
        derived.cancel()
        resolve(VALUE)
        assert await promise is VALUE
        with pytest.raises(asyncio.CancelledError):
            await last

    run(main)


def test_a_cancelled_future_cancels_the_promise_of_it(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        promise = Promise.from_awaitable(future)
        future.cancel("a message")
        with pytest.raises(asyncio.CancelledError, match="a message"):
            await promise

    run(main)
