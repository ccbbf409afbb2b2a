"""promisify and callbackify: who calls back when, how often, from where, and with what."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading

import pytest

from tests.aio.works import turns
from treadle import Promise, callbackify, promisify
from treadle.aio.callbacks import CallbackError

VALUE = object()
REASON = ValueError("the reason")


def at_once(function, *arguments):
    function(*arguments)


def soon(function, *arguments):
    asyncio.get_running_loop().call_soon(function, *arguments)


def in_a_thread(function, *arguments):
    threading.Thread(target=function, args=arguments).start()


WAYS = pytest.mark.parametrize("way", [at_once, soon, in_a_thread])


# promisify -----------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(
    ("results", "expected"), [((), None), ((VALUE,), VALUE), ((1, 2), (1, 2))], ids=repr
)
def test_an_error_first_callback_without_an_error_gives_the_results(run, way, results, expected):
    async def main():
        function = promisify(lambda callback: way(callback, None, *results))
        assert await function() == expected

    run(main)


@WAYS
def test_an_error_first_callback_with_an_error_raises_it(run, way):
    async def main():
        function = promisify(lambda callback: way(callback, REASON))
        with pytest.raises(ValueError, match="the reason"):
            await function()

    run(main)


@WAYS
def test_of_separate_callbacks_one_gives_and_the_other_raises(run, way):
    async def main():
        @promisify(style="success-failure")
        def divide(left, right, success, failure):
            if right:
                way(success, left / right)
            else:
                way(failure, REASON)

        assert await divide(84, 2) == 42
        with pytest.raises(ValueError, match="the reason"):
            await divide(84, 0)

    run(main)


def test_a_callback_for_results_alone_gives_them(run):
    async def main():
        function = promisify(lambda callback: soon(callback, VALUE), style="result")
        assert await function() is VALUE

    run(main)


def test_callbacks_may_be_taken_by_name(run):
    async def main():
        def fetch(url, *, on_done, on_error):
            soon(on_done, url) if url else soon(on_error, REASON)

        function = promisify(fetch, style="success-failure", names=("on_done", "on_error"))
        assert await function("url") == "url"
        with pytest.raises(ValueError, match="the reason"):
            await function("")

    run(main)


@pytest.mark.parametrize("reason", [("a text",), (404, "not found"), (StopIteration(),)])
def test_an_error_that_is_no_exception_is_raised_in_one(run, reason):
    async def main():
        function = promisify(
            lambda success, failure: soon(failure, *reason), style="success-failure"
        )
        with pytest.raises(CallbackError) as raised:
            await function()
        assert raised.value.args == reason

    run(main)


def test_what_the_function_raises_is_raised(run):
    async def main():
        @promisify
        def failing(callback):
            raise REASON

        with pytest.raises(ValueError, match="the reason"):
            await failing()

    run(main)


def test_a_callback_after_the_function_has_raised_is_ignored(run):
    async def main():
        @promisify
        def failing(callback):
            soon(callback, KeyError("late"))
            raise REASON

        with pytest.raises(ValueError, match="the reason"):
            await failing()
        await turns()

    run(main)
    gc.collect()  # the loop of the tests takes no reports


def test_a_callback_from_a_thread_goes_the_safe_way(loop):
    loop.set_debug(True)  # then the loop refuses to be called from threads

    async def main():
        return await promisify(lambda callback: soon(in_a_thread, callback, None, VALUE))()

    assert loop.run_until_complete(main()) is VALUE


def test_what_the_function_raises_after_it_called_back_is_reported(run, reports):
    async def main():
        @promisify
        def failing(callback):
            callback(None, VALUE)
            raise REASON

        assert await failing() is VALUE
        assert [report["exception"] for report in reports] == [REASON]

    run(main)


def test_the_function_is_called_when_it_is_awaited_and_as_a_coroutine_function(run):
    async def main():
        called = []

        @promisify
        def work(callback):
            """What it does."""
            called.append(True)
            callback()

        assert inspect.iscoroutinefunction(work)
        assert work.__doc__ == "What it does."
        coroutine = work()
        assert not called
        await asyncio.create_task(coroutine)
        assert called

    run(main)


def test_a_second_callback_is_reported_and_the_first_counts(run, reports):
    async def main():
        @promisify
        def twice(callback):
            callback(None, 1)
            callback(None, 2)
            soon(callback, REASON)

        assert await twice() == 1
        await turns()
        second, third = reports
        assert "twice" in second["message"]
        assert second["result"] == 2
        assert third["exception"] is REASON

    run(main)


def test_a_cancellation_calls_the_hook_with_what_the_function_returned(run):
    async def main():
        cancelled = []
        function = promisify(lambda callback: VALUE, cancel=cancelled.append)
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled == [VALUE]

    run(main)


def test_a_hook_that_fails_is_reported_and_the_cancellation_goes_on(run, reports):
    async def main():
        def failing(returned):
            raise REASON

        task = asyncio.create_task(promisify(lambda callback: None, cancel=failing)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [report["exception"] for report in reports] == [REASON]

    run(main)


@pytest.mark.parametrize("late", [(None, VALUE), (REASON,)])
def test_a_callback_after_the_cancellation_is_ignored(run, late):
    async def main():
        callbacks = []
        task = asyncio.create_task(promisify(callbacks.append)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        callbacks[0](*late)
        callbacks[0](*late)
        await turns()
        assert task.cancelled()

    run(main)  # the loop of the tests takes no reports


@pytest.mark.parametrize("outcome", [(None, VALUE), (REASON,)])
def test_a_cancellation_in_the_turn_of_the_callback_wins_without_the_hook(run, outcome):
    async def main():
        callbacks = []
        task = asyncio.create_task(promisify(callbacks.append, cancel=pytest.fail)())
        await asyncio.sleep(0)
        callbacks[0](*outcome)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        callbacks[0](KeyError("late"))
        await turns()

    run(main)
    gc.collect()  # the loop of the tests takes no reports


def test_a_callback_from_a_thread_after_the_end_of_the_loop_is_ignored(loop_factory):
    loop = loop_factory()
    callbacks = []

    async def main():
        task = asyncio.create_task(promisify(callbacks.append)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    loop.run_until_complete(main())
    loop.close()
    callbacks[0](None, VALUE)


def test_promises_cancel_by_the_hook(run):
    async def main():
        cancelled = []
        promise = Promise.from_callback(lambda callback: VALUE, cancel=cancelled.append)
        await turns()
        promise.cancel()
        with pytest.raises(asyncio.CancelledError):
            await promise
        assert cancelled == [VALUE]

    run(main)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"style": "errors first"}, ValueError),
        ({"names": ("one", "two")}, ValueError),
        ({"style": "success-failure", "names": "one"}, ValueError),
    ],
)
def test_a_style_that_cannot_be_is_refused_at_once(arguments, error):
    with pytest.raises(error):
        promisify(print, **arguments)
    with pytest.raises(error):
        callbackify(print, **arguments)


def test_what_calls_nothing_back_is_refused():
    async def coroutine_function(): ...

    with pytest.raises(TypeError, match="already"):
        promisify(coroutine_function)
    with pytest.raises(TypeError, match="function"):
        promisify(5)


# callbackify ---------------------------------------------------------------------------------


async def give(value):
    await asyncio.sleep(0)
    return value


async def fail(error):
    await asyncio.sleep(0)
    raise error


def collecting(seen, name):
    return lambda *arguments: seen.append((name, *arguments))


def test_an_error_first_callback_is_told_the_result_or_the_error(run):
    async def main():
        seen = []
        callbackify(give)(VALUE, collecting(seen, "called"))
        callbackify(fail)(REASON, collecting(seen, "called"))
        await turns()
        assert seen == [("called", None, VALUE), ("called", REASON, None)]

    run(main)


def test_separate_callbacks_are_told_the_result_or_the_error(run):
    async def main():
        seen = []
        both = collecting(seen, "success"), collecting(seen, "failure")
        callbackify(give, style="success-failure")(VALUE, *both)
        callbackify(fail, style="success-failure")(REASON, *both)
        await turns()
        assert seen == [("success", VALUE), ("failure", REASON)]

    run(main)


def test_an_error_that_no_callback_is_for_is_reported(run, reports):
    async def main():
        seen = []
        callbackify(give, style="result")(VALUE, collecting(seen, "result"))
        callbackify(fail, style="result")(REASON, collecting(seen, "result"))
        await turns()
        assert seen == [("result", VALUE)]
        assert [report["exception"] for report in reports] == [REASON]

    run(main)


def test_a_callback_is_given_by_name_where_it_has_one(run):
    async def main():
        seen = []

        @callbackify(names="done")
        async def work(value):
            return value

        work(VALUE, done=collecting(seen, "done"))
        await turns()
        assert seen == [("done", None, VALUE)]

    run(main)


def test_the_callback_is_not_called_before_the_call_has_returned(run):
    async def main():
        seen = []

        @callbackify
        async def quick():
            return VALUE

        quick(collecting(seen, "called"))
        assert not seen
        await turns()
        assert seen

    run(main)


def test_a_cancellation_is_called_back(run):
    async def main():
        seen = []
        task = callbackify(give)(VALUE, collecting(seen, "called"))
        task.cancel()
        await asyncio.wait([task])
        await turns()
        assert isinstance(seen[0][1], asyncio.CancelledError)

    run(main)


@pytest.mark.parametrize("error", [REASON, asyncio.CancelledError()])
def test_what_the_callback_raises_is_reported(run, reports, error):
    async def main():
        def failing(*arguments):
            raise error

        callbackify(give)(VALUE, failing)
        await turns()
        assert [report["exception"] for report in reports] == [error]

    run(main)


def test_the_callback_runs_in_the_context_of_the_call(run):
    async def main():
        variable = contextvars.ContextVar("variable", default="outside")
        seen = []
        variable.set("at the call")
        callbackify(give)(VALUE, lambda *_: seen.append(variable.get()))
        variable.set("afterwards")
        await turns()
        assert seen == ["at the call"]

    run(main)


@pytest.mark.parametrize("arguments", [(), (VALUE,), (VALUE, "no function")])
def test_a_call_without_its_callback_says_so(run, arguments):
    async def main():
        with pytest.raises(TypeError, match=r"takes 1 callback\(s\) last"):
            callbackify(give)(*arguments)

    run(main)


def test_a_call_without_a_running_loop_says_so():
    with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
        callbackify(give)(VALUE, print)


def test_there_and_back_again_nothing_has_changed(run):
    async def main():
        same = promisify(callbackify(give))
        assert await same(VALUE) is VALUE
        with pytest.raises(ValueError, match="the reason"):
            await promisify(callbackify(fail))(REASON)

    run(main)
