"""Chains of `then`, `catch` and `finally_`, against what a plain interpreter of them says."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.aio.promises import after_turns, outcome
from treadle import Promise

# how a function ends: with a value or an error, directly or by way of something to wait for
ENDINGS = st.tuples(
    st.sampled_from(["value", "error"]),
    st.sampled_from(["plain", "promise", "late promise", "coroutine", "thenable", "future"]),
    st.integers(0, 99),
)
STEPS = st.tuples(st.sampled_from(["then", "catch", "both", "finally", "nothing"]), ENDINGS)


class Broken(Exception):
    def __eq__(self, other):
        return isinstance(other, Broken) and self.args == other.args

    __hash__ = Exception.__hash__


class Thenable:
    def __init__(self, how, what):
        self.how, self.what = how, what

    def then(self, resolve, reject):
        after_turns(1, *((resolve, self.what) if self.how == "value" else (reject, self.what)))


async def end(how, what):
    await asyncio.sleep(0)
    if how == "error":
        raise what
    return what


def perform(ending):
    """End as it says, from within a handler."""
    how, way, number = ending
    what = number if how == "value" else Broken(number)
    if way == "plain":
        if how == "error":
            raise what
        return what
    if way == "thenable":
        return Thenable(how, what)
    if way == "coroutine":
        return end(how, what)
    if way == "future":
        future = asyncio.get_running_loop().create_future()
        (future.set_result if how == "value" else future.set_exception)(what)
        return future
    promise, resolve, reject = Promise.with_resolvers()
    after_turns(way == "late promise", resolve if how == "value" else reject, what)
    return promise


def chained(promise, step):
    kind, ending = step
    if kind == "finally":
        return promise.finally_(lambda: perform(ending))
    if kind == "nothing":
        return promise.then()

    def handler(_):
        return perform(ending)

    return promise.then(
        handler if kind in ("then", "both") else None,
        handler if kind in ("catch", "both") else None,
    )


def expected(steps):
    state = ("fulfilled", 0)
    for kind, (how, _, number) in steps:
        end = ("fulfilled", number) if how == "value" else ("rejected", Broken(number))
        handled = {"then": "fulfilled", "catch": "rejected"}.get(kind, state[0])
        if kind == "finally":
            state = end if how == "error" else state
        elif kind != "nothing" and handled == state[0]:
            state = end
    return state


@given(st.lists(STEPS, max_size=12))
def test_a_chain_ends_as_a_plain_reading_of_it_says(steps):
    async def main():
        promise = Promise.resolve(0)
        for step in steps:
            promise = chained(promise, step)
        return await outcome(promise)

    assert treadle.run(main()) == expected(steps)


@given(st.lists(STEPS, max_size=6))
def test_it_makes_no_difference_when_a_chain_is_made(steps):
    async def main():
        promise = Promise.resolve(0)
        for step in steps:
            promise = chained(promise, step)
            promise.catch(lambda _: None)
            for _ in range(8):  # each promise is settled before the next is derived from it
                await asyncio.sleep(0)
            assert promise.state != "pending"
        return await outcome(promise)

    assert treadle.run(main()) == expected(steps)
