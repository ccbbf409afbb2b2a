"""Promises in every state, for the tests of them."""

from __future__ import annotations

import asyncio

import pytest

from treadle import Promise

VALUE = object()
OTHER = object()
REASON = ValueError("the reason")


def kind(value):
    return type(value).__name__


WHEN = pytest.mark.parametrize("when", ["already", "in this turn", "later"])
NO_FUNCTION = pytest.mark.parametrize("nothing", [None, False, 5, "text", object()])


def settled(how, what, when):
    """A promise that is settled by now, as soon as the test waits, or some turns later."""
    promise, resolve, reject = Promise.with_resolvers()
    settle = {"fulfilled": resolve, "rejected": reject}[how]
    if when == "already":
        settle(what)
    elif when == "in this turn":
        asyncio.get_running_loop().call_soon(settle, what)
    else:
        after_turns(3, settle, what)
    return promise


def after_turns(turns, function, *arguments):
    loop = asyncio.get_running_loop()
    if turns == 0:
        loop.call_soon(function, *arguments)
    else:
        loop.call_soon(after_turns, turns - 1, function, *arguments)


def fulfilled(value=VALUE, when="already"):
    return settled("fulfilled", value, when)


def rejected(reason=REASON, when="already"):
    promise = settled("rejected", reason, when)
    promise.catch(lambda _: None)  # nobody need be told
    return promise


async def turns(number=12):
    for _ in range(number):
        await asyncio.sleep(0)


async def outcome(promise):
    """("fulfilled", value) or ("rejected", reason)."""
    try:
        return "fulfilled", await promise
    except BaseException as error:
        return "rejected", error
