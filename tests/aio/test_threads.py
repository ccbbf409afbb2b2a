"""to_thread: a function in a thread, with the caller's context variables."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import treadle
from tests.aio.structured import Failure

word = contextvars.ContextVar("word", default="none")


def test_the_function_runs_in_another_thread_with_all_its_arguments(loop):
    def work(*args, **keywords):
        return threading.get_ident(), args, keywords

    thread, args, keywords = loop.run_until_complete(treadle.to_thread(work, 1, 2, func="three"))
    assert thread != threading.get_ident()
    assert (args, keywords) == ((1, 2), {"func": "three"})


def test_what_it_raises_is_raised(loop):
    def work():
        raise Failure

    with pytest.raises(Failure):
        loop.run_until_complete(treadle.to_thread(work))


def test_it_sees_the_callers_context_and_leaves_it_alone(loop):
    def work():
        seen = word.get()
        word.set("changed")
        return seen

    async def main():
        word.set("given")
        seen = await treadle.to_thread(work)
        return seen, word.get()

    assert loop.run_until_complete(main()) == ("given", "given")


def test_a_cancellation_does_not_wait_for_the_thread(loop):
    release = threading.Event()
    begun = threading.Event()

    def work():
        begun.set()
        release.wait()

    async def main():
        task = loop.create_task(treadle.to_thread(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    loop.run_until_complete(main())


def test_it_is_a_coroutine_function():
    assert asyncio.iscoroutinefunction(treadle.to_thread)
