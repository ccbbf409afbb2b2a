"""retry: what is tried again, how often, how long, and what ends it."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from treadle import Promise, retry

pytest.importorskip("tenacity", reason="the waits are tenacity's")

NO_WAIT = {"wait": 0, "jitter": 0}


class Failing:
    """A coroutine function that raises these, one each call, and then returns."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.times = []

    async def __call__(self, value="result"):
        self.times.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return value

    @property
    def calls(self):
        return len(self.times)


def test_it_is_called_until_it_returns(run):
    async def main():
        function = Failing(OSError(), ValueError())
        assert await retry(function, **NO_WAIT)("value") == "value"
        assert function.calls == 3

    run(main)


def test_it_decorates_with_and_without_arguments(run):
    async def main():
        @retry
        async def plain(value):
            """What it does."""
            return value

        @retry(attempts=3)
        async def configured(value):
            return value

        assert await plain(1) == await configured(1) == 1
        assert inspect.iscoroutinefunction(plain)
        assert plain.__doc__ == "What it does."

    run(main)


def test_after_so_many_calls_the_last_exception_is_raised_with_a_note(run):
    async def main():
        last = OSError("third")
        function = Failing(OSError("first"), OSError("second"), last, OSError("never"))
        with pytest.raises(OSError, match="third") as raised:
            await retry(function, attempts=3, **NO_WAIT)()
        assert raised.value is last
        assert "3 calls" in raised.value.__notes__[0]

    run(main)


@pytest.mark.parametrize(
    "on", [OSError, (KeyError, OSError), lambda error: isinstance(error, OSError)]
)
def test_only_what_was_said_is_tried_again(run, on):
    async def main():
        function = Failing(OSError(), ValueError("another"))
        with pytest.raises(ValueError, match="another"):
            await retry(function, on=on, **NO_WAIT)()
        assert function.calls == 2

    run(main)


@pytest.mark.parametrize("on", [BaseException, lambda error: True])
def test_a_cancellation_is_never_tried_again(run, on):
    async def main():
        function = Failing(asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await retry(function, on=on, **NO_WAIT)()
        assert function.calls == 1

    run(main)


def test_a_cancellation_ends_the_wait(run):
    async def main():
        function = Failing(*[OSError() for _ in range(9)])
        task = asyncio.create_task(retry(function, wait=60, wait_max=60, timeout=None)())
        for _ in range(9):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert function.calls == 1

    run(main)


def pauses(function):
    return [
        round(after - before, 6)
        for before, after in zip(function.times, function.times[1:], strict=False)
    ]


def test_the_waits_grow_up_to_the_longest(virtual):
    loop, _ = virtual
    function = Failing(*[OSError() for _ in range(5)])
    retrying = retry(function, wait=0.5, factor=2, wait_max=3, jitter=0, timeout=None)
    loop.run_until_complete(retrying())
    assert pauses(function) == [0.5, 1, 2, 3, 3]


def test_a_part_of_each_wait_is_random(virtual):
    loop, _ = virtual
    function = Failing(*[OSError() for _ in range(9)])
    retrying = retry(function, wait=1, factor=1, jitter=1, attempts=None, timeout=None)
    loop.run_until_complete(retrying())
    assert all(1 <= pause <= 2 for pause in pauses(function))
    assert len(set(pauses(function))) > 1


def test_no_call_begins_after_the_timeout(virtual):
    loop, _ = virtual
    function = Failing(*[OSError() for _ in range(99)])
    retrying = retry(function, wait=1, factor=1, jitter=0, attempts=None, timeout=3)
    with pytest.raises(OSError) as raised:  # noqa: PT011  # any will do
        loop.run_until_complete(retrying())
    assert function.calls == 4
    assert function.times[-1] - function.times[0] == 3
    assert raised.value.__notes__ == ["retry() gave up after 4 calls in 3 s"]


def test_what_returns_a_promise_may_be_tried_again(run):
    async def main():
        assert await retry(Promise.resolve)(5) == 5

    run(main)


def test_what_cannot_be_awaited_is_no_reason_to_try_again(run):
    async def main():
        with pytest.raises(TypeError, match="to await"):
            await retry(lambda: 5, on=BaseException)()

    run(main)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"attempts": 0}, ValueError),
        ({"wait": -1}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"on": 5}, TypeError),
        ({"on": (OSError, 5)}, TypeError),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, error):
    with pytest.raises(error):
        retry(print, **arguments)
