"""The Promises/A+ text, version 1.1.1, section 2.3; a test's name begins with the clause's."""

from __future__ import annotations

import asyncio

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
    turns,
)
from treadle import Promise

# 2.3 the resolution procedure ----------------------------------------------------------------


@WHEN
@pytest.mark.parametrize("make", [fulfilled, rejected])
def test_2_3_1_a_promise_that_is_resolved_with_itself_is_rejected(run, make, when):
    async def main():
        derived = make(when=when).then(lambda _: derived, lambda _: derived)
        how, reason = await outcome(derived)
        assert how == "rejected"
        assert isinstance(reason, TypeError)

    run(main)


def test_2_3_1_also_over_several_promises(run):
    async def main():
        first, resolve_first, _ = Promise.with_resolvers()
        second, resolve_second, _ = Promise.with_resolvers()
        third, resolve_third, _ = Promise.with_resolvers()
        resolve_first(second)
        resolve_second(third)
        resolve_third(first)
        for promise in (first, second, third):
            with pytest.raises(TypeError, match="itself"):
                await promise

    run(main)


def through(x, way):
    """A promise that is resolved with x, in one of the ways in which this can happen."""
    if way == "resolve":
        promise, resolve, _ = Promise.with_resolvers()
        resolve(x)
        return promise
    if way == "handler":
        return fulfilled().then(lambda _: x)
    if way == "rejection's handler":
        return rejected().then(None, lambda _: x)
    return Promise(lambda resolve, _: resolve(x))


THROUGH = pytest.mark.parametrize("way", ["resolve", "handler", "rejection's handler", "executor"])


@THROUGH
def test_2_3_2_1_it_is_pending_as_long_as_the_promise_it_follows(run, way):
    async def main():
        inner, resolve, _ = Promise.with_resolvers()
        promise = through(inner, way)
        await turns()
        assert promise.state == "pending"
        resolve(VALUE)
        assert await promise is VALUE

    run(main)


@WHEN
@THROUGH
def test_2_3_2_2_it_is_fulfilled_with_the_value_of_the_promise_it_follows(run, way, when):
    async def main():
        assert await outcome(through(fulfilled(when=when), way)) == ("fulfilled", VALUE)

    run(main)


@WHEN
@THROUGH
def test_2_3_2_3_it_is_rejected_with_the_reason_of_the_promise_it_follows(run, way, when):
    async def main():
        assert await outcome(through(rejected(when=when), way)) == ("rejected", REASON)

    run(main)


class Thenable:
    """Has a `then` that does what the test says."""

    def __init__(self, then):
        self.asked = 0
        self.called_with = []
        self._then = then

    @property
    def then(self):
        self.asked += 1
        return self._call

    def _call(self, resolve, reject):
        self.called_with.append((resolve, reject))
        return self._then(resolve, reject)


@THROUGH
def test_2_3_3_1_a_thenable_is_asked_once_for_its_then(run, way):
    async def main():
        thenable = Thenable(lambda resolve, reject: resolve(VALUE))
        assert await through(thenable, way) is VALUE
        assert thenable.asked == 1

    run(main)


@THROUGH
@pytest.mark.parametrize("error", [KeyError("k"), asyncio.CancelledError()])
def test_2_3_3_2_what_asking_for_then_raises_rejects(run, way, error):
    async def main():
        class Refusing:
            @property
            def then(self):
                raise error

        assert await outcome(through(Refusing(), way)) == ("rejected", error)

    run(main)


@THROUGH
def test_2_3_3_3_then_is_called_once_on_the_thenable_with_two_functions(run, way):
    async def main():
        thenable = Thenable(lambda resolve, reject: resolve(VALUE))
        await through(thenable, way)
        ((resolve, reject),) = thenable.called_with
        assert callable(resolve)
        assert callable(reject)

    run(main)


def nested_values():
    """What a thenable may resolve with, and what comes of it."""
    yield "value", lambda: VALUE, ("fulfilled", VALUE)
    yield "none", lambda: None, ("fulfilled", None)
    yield "exception", lambda: REASON, ("fulfilled", REASON)
    yield "promise", lambda: fulfilled(when="later"), ("fulfilled", VALUE)
    yield "rejected promise", lambda: rejected(when="later"), ("rejected", REASON)
    yield (
        "thenable",
        lambda: Thenable(lambda resolve, _: resolve(VALUE)),
        ("fulfilled", VALUE),
    )
    yield (
        "late thenable",
        lambda: Thenable(lambda resolve, _: after_turns(2, resolve, VALUE)),
        ("fulfilled", VALUE),
    )
    yield (
        "rejecting thenable",
        lambda: Thenable(lambda _, reject: reject(REASON)),
        ("rejected", REASON),
    )
    yield "raising thenable", lambda: Thenable(throw), ("rejected", REASON)
    yield (
        "thenable of thenable",
        lambda: Thenable(lambda resolve, _: resolve(Thenable(lambda r, _: r(VALUE)))),
        ("fulfilled", VALUE),
    )


def throw(*_):
    raise REASON


NESTED = pytest.mark.parametrize(
    ("make", "expected"),
    [pytest.param(make, expected, id=name) for name, make, expected in nested_values()],
)
SOON_OR_LATER = pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])


def maybe_later(later, function, *arguments):
    if later:
        after_turns(2, function, *arguments)
    else:
        function(*arguments)


@THROUGH
@NESTED
@SOON_OR_LATER
def test_2_3_3_3_1_what_a_thenable_resolves_with_is_resolved_again(run, way, make, expected, later):
    async def main():
        thenable = Thenable(lambda resolve, _: maybe_later(later, resolve, make()))
        assert await outcome(through(thenable, way)) == expected

    run(main)


@THROUGH
@SOON_OR_LATER
def test_2_3_3_3_2_what_a_thenable_rejects_with_is_the_reason(run, way, later):
    async def main():
        thenable = Thenable(lambda _, reject: maybe_later(later, reject, REASON))
        assert await outcome(through(thenable, way)) == ("rejected", REASON)

    run(main)


@THROUGH
@SOON_OR_LATER
def test_2_3_3_3_2_a_reason_that_is_no_exception_becomes_a_type_error(run, way, later):
    async def main():
        thenable = Thenable(lambda _, reject: maybe_later(later, reject, "a text"))
        how, reason = await outcome(through(thenable, way))
        assert how == "rejected"
        assert isinstance(reason, TypeError)
        assert "a text" in str(reason)

    run(main)


def racing_calls():
    """Sequences of calls of a thenable, of which the first alone counts."""
    resolve, reject = ("resolve", VALUE), ("reject", REASON)
    again, other = ("resolve", OTHER), ("reject", KeyError("other"))
    pending = ("resolve pending", None)
    for calls in ([resolve, again], [resolve, other], [reject, again], [reject, other]):
        for times in ((0, 0), (0, 1), (2, 2), (1, 3)):
            yield list(zip(calls, times, strict=True)), calls[0]
    yield [(pending, 0), (again, 0)], pending
    yield [(pending, 0), (other, 1)], pending


@THROUGH
@pytest.mark.parametrize(("calls", "first"), list(racing_calls()))
def test_2_3_3_3_3_the_first_call_of_a_thenable_counts(run, way, calls, first):
    async def main():
        never = Promise(lambda resolve, reject: None)

        def then(resolve, reject):
            functions = {"resolve": resolve, "reject": reject}
            functions["resolve pending"] = lambda _: resolve(never)
            for (name, what), when in calls:
                maybe_later(when, after_turns, when, functions[name], what)

        promise = through(Thenable(then), way)
        await turns(20)
        if first[0] == "resolve pending":
            assert promise.state == "pending"
        else:
            how = {"resolve": "fulfilled", "reject": "rejected"}[first[0]]
            assert await outcome(promise) == (how, first[1])

    run(main)


def test_2_3_3_3_3_a_thenable_that_was_kept_cannot_settle_a_second_time(run):
    async def main():
        thenable = Thenable(lambda resolve, _: resolve(VALUE))
        promise = through(thenable, "resolve")
        await promise
        ((resolve, reject),) = thenable.called_with
        resolve(OTHER)
        reject(REASON)
        assert await outcome(promise) == ("fulfilled", VALUE)

    run(main)


@THROUGH
@pytest.mark.parametrize(
    ("name", "what", "expected"),
    [("resolve", VALUE, "fulfilled"), ("reject", REASON, "rejected")],
)
def test_2_3_3_3_4_1_what_then_raises_after_it_called_is_ignored(run, way, name, what, expected):
    async def main():
        def then(resolve, reject):
            {"resolve": resolve, "reject": reject}[name](what)
            raise KeyError("too late")

        assert await outcome(through(Thenable(then), way)) == (expected, what)

    run(main)


def test_2_3_3_3_4_1_also_when_it_called_with_a_pending_promise(run):
    async def main():
        inner, settle, _ = Promise.with_resolvers()

        def then(resolve, reject):
            resolve(inner)
            raise KeyError("too late")

        promise = through(Thenable(then), "resolve")
        await turns()
        settle(VALUE)
        assert await outcome(promise) == ("fulfilled", VALUE)

    run(main)


@THROUGH
def test_2_3_3_3_4_2_what_then_raises_before_it_called_rejects(run, way):
    async def main():
        def then(resolve, reject):
            after_turns(1, resolve, OTHER)
            after_turns(1, reject, KeyError("too late"))
            raise REASON

        promise = through(Thenable(then), way)
        await turns()
        assert await outcome(promise) == ("rejected", REASON)

    run(main)


@THROUGH
@NO_FUNCTION
def test_2_3_3_4_an_object_whose_then_is_no_function_is_a_value(run, way, nothing):
    async def main():
        class Plain:
            then = nothing

        plain = Plain()
        assert await through(plain, way) is plain

    run(main)


@THROUGH
@pytest.mark.parametrize("value", [None, False, 5, "text", (), object(), REASON], ids=kind)
def test_2_3_4_anything_else_is_a_value(run, way, value):
    async def main():
        assert await outcome(through(value, way)) == ("fulfilled", value)

    run(main)
