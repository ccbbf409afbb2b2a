"""once and on, with the emitters of pyee."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.aio.works import turns
from treadle import on, once
from treadle.aio.callbacks import CallbackError

pyee = pytest.importorskip("pyee.base", reason="pyee's emitters are what is tested")

REASON = ValueError("the reason")


@pytest.fixture
def emitter():
    """An emitter that has no listeners left when the test is over."""
    emitter = pyee.EventEmitter()
    yield emitter
    assert not emitter.event_names()


# once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2)])
def test_once_gives_the_arguments_as_a_tuple(run, emitter, arguments):
    async def main():
        future = once(emitter, "event")
        emitter.emit("event", *arguments, key="word")
        emitter.emit("event", "another")
        emitted = await future
        assert emitted == arguments
        assert emitted.event == "event"
        assert emitted.keywords == {"key": "word"}

    run(main)


def test_once_takes_the_first_of_several_events(run, emitter):
    async def main():
        future = once(emitter, "open", "close")
        emitter.emit("close", 1)
        emitter.emit("open", 2)
        assert (await future).event == "close"
        assert await future == (1,)

    run(main)


def test_once_raises_an_error_event(run, emitter):
    async def main():
        future = once(emitter, "event")
        emitter.emit("error", REASON)
        with pytest.raises(ValueError, match="the reason"):
            await future

    run(main)


@pytest.mark.parametrize("arguments", [(), ("a text",), (REASON, "and more")])
def test_once_raises_an_error_event_without_exception_in_one(run, emitter, arguments):
    async def main():
        future = once(emitter, "event", error="failed")
        emitter.emit("failed", *arguments)
        with pytest.raises(CallbackError) as raised:
            await future
        assert raised.value.args == arguments

    run(main)


def test_once_gives_an_error_event_that_was_asked_for(run, emitter):
    async def main():
        future = once(emitter, "error")
        emitter.emit("error", REASON)
        assert await future == (REASON,)

    run(main)


def test_once_leaves_error_events_to_the_emitter_where_it_is_told_to(run, emitter):
    async def main():
        future = once(emitter, "event", error=None)
        with pytest.raises(ValueError, match="the reason"):
            emitter.emit("error", REASON)
        emitter.emit("event")
        await future

    run(main)


def test_a_cancelled_once_takes_its_listeners_away(run, emitter):
    async def main():
        task = asyncio.ensure_future(asyncio.wait_for(once(emitter, "event"), 60))
        await turns()
        assert emitter.event_names() == {"event", "error"}
        task.cancel()
        await asyncio.wait([task])
        await turns()
        assert not emitter.event_names()

    run(main)


def test_once_takes_an_event_from_another_thread(run, emitter):
    async def main():
        future = once(emitter, "event")
        thread = threading.Thread(target=emitter.emit, args=("event", 1))
        thread.start()
        assert await future == (1,)
        thread.join()

    run(main)


@pytest.mark.parametrize("listen", [once, on])
def test_what_is_no_emitter_is_refused(run, emitter, listen):
    async def main():
        with pytest.raises(TypeError, match="remove_listener"):
            listen(object(), "event")
        with pytest.raises(TypeError, match="name of an event"):
            listen(emitter)

    run(main)


@pytest.mark.parametrize("listen", [once, on])
def test_an_emitter_that_refuses_is_left_without_listeners(run, emitter, listen):
    async def main():
        class Refusing:
            remove_listener = emitter.remove_listener

            def on(self, event, listener):
                if event == "second":
                    raise REASON
                emitter.on(event, listener)

        with pytest.raises(ValueError, match="the reason"):
            listen(Refusing(), "first", "second")

    run(main)


# on ------------------------------------------------------------------------------------------


def test_on_gives_the_events_in_order_also_of_several_names(run, emitter):
    async def main():
        async with on(emitter, "a", "b", until="end") as events:
            emitter.emit("a", 1)
            emitter.emit("b", 2)
            emitter.emit("a", 3)
            emitter.emit("end")
            emitter.emit("a", "after the end")
            seen = [(emitted.event, *emitted) async for emitted in events]
        assert seen == [("a", 1), ("b", 2), ("a", 3)]

    run(main)


def test_on_waits_for_events(run, emitter):
    async def main():
        async with on(emitter, "event") as events:
            asyncio.get_running_loop().call_soon(emitter.emit, "event", 1)
            assert await anext(events) == (1,)

    run(main)


def test_an_error_event_is_raised_after_what_came_before_it(run, emitter):
    async def main():
        events = on(emitter, "event")
        emitter.emit("event", 1)
        emitter.emit("error", REASON)
        assert not emitter.event_names()
        assert await anext(events) == (1,)
        with pytest.raises(ValueError, match="the reason"):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(main)


def test_an_overflow_is_raised_where_the_events_are_missing(run, emitter):
    async def main():
        events = on(emitter, "event", buffer=2)
        for number in range(4):
            emitter.emit("event", number)
        assert [await anext(events), await anext(events)] == [(0,), (1,)]
        with pytest.raises(asyncio.QueueFull):
            await anext(events)
        assert events.dropped == 1  # and nobody listened any more

    run(main)


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop-oldest", [(2,), (3,)]), ("drop-newest", [(0,), (1,)])]
)
def test_an_overflow_loses_and_counts_as_it_is_told_to(run, emitter, overflow, kept):
    async def main():
        async with on(emitter, "event", buffer=2, overflow=overflow, until="end") as events:
            for number in range(4):
                emitter.emit("event", number)
            emitter.emit("end")
            assert [emitted async for emitted in events] == kept
            assert events.dropped == 2

    run(main)


def test_without_a_bound_nothing_is_lost(run, emitter):
    async def main():
        async with on(emitter, "event", buffer=None, until="end") as events:
            for number in range(5000):
                emitter.emit("event", number)
            emitter.emit("end")
            assert len([emitted async for emitted in events]) == 5000

    run(main)


@pytest.mark.parametrize("arguments", [{"buffer": 0}, {"overflow": "explode"}])
def test_on_refuses_what_cannot_be(run, emitter, arguments):
    async def main():
        with pytest.raises(ValueError, match=next(iter(arguments))):
            on(emitter, "event", **arguments)

    run(main)


def test_a_cancelled_wait_loses_no_event(run, emitter):
    async def main():
        async with on(emitter, "event") as events:
            task = asyncio.ensure_future(anext(events))
            await turns()
            emitter.emit("event", 1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await anext(events) == (1,)

    run(main)


def test_what_a_cancelled_wait_was_woken_for_goes_to_the_next(run, emitter):
    async def main():
        async with on(emitter, "event") as events:
            first, second = (asyncio.ensure_future(anext(events)) for _ in range(2))
            await turns()
            emitter.emit("event", 1)
            first.cancel()
            assert await second == (1,)

    run(main)


def test_leaving_the_loop_takes_the_listeners_away(run, emitter):
    async def main():
        emitting = asyncio.get_running_loop()
        emitting.call_soon(emitter.emit, "event", 1)
        async for _ in on(emitter, "event"):
            break
        assert not emitter.event_names()

    run(main)


def test_a_cancelled_loop_takes_the_listeners_away(run, emitter):
    async def main():
        async def listen():
            async for _ in on(emitter, "event"):
                pass

        task = asyncio.create_task(listen())
        await turns()
        assert emitter.event_names()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not emitter.event_names()

    run(main)


def test_closing_ends_a_wait(run, emitter):
    async def main():
        events = on(emitter, "event")
        task = asyncio.create_task(collect(events))
        await turns()
        await events.aclose()
        assert await task == []

    run(main)


async def collect(events):
    return [emitted async for emitted in events]


def test_closing_forgets_what_was_kept(run, emitter):
    async def main():
        events = on(emitter, "event")
        emitter.emit("event", 1)
        events.close()
        assert await collect(events) == []

    run(main)


def test_somebody_else_may_have_removed_all_listeners(run, emitter):
    async def main():
        async with on(emitter, "event"):
            emitter.remove_all_listeners()

    run(main)


def test_events_come_from_threads_in_order(run, emitter):
    async def main():
        def emit():
            for number in range(100):
                emitter.emit("event", number)
            emitter.emit("end")

        async with on(emitter, "event", until="end") as events:
            thread = threading.Thread(target=emit)
            thread.start()
            assert await collect(events) == [(number,) for number in range(100)]
            thread.join()

    run(main)


STEPS = st.lists(st.one_of(st.integers(0, 99), st.just("take")), max_size=30)


@given(STEPS, st.integers(1, 4), st.sampled_from(["drop-oldest", "drop-newest"]))
def test_a_bounded_buffer_is_what_a_list_says(steps, size, overflow):
    async def main():
        emitter = pyee.EventEmitter()
        expected, dropped = [], 0
        async with on(emitter, "event", buffer=size, overflow=overflow) as events:
            for step in steps:
                if step != "take":
                    emitter.emit("event", step)
                    expected.append(step)
                    if len(expected) > size:
                        dropped += 1
                        del expected[0 if overflow == "drop-oldest" else -1]
                elif expected:
                    assert await anext(events) == (expected.pop(0),)
                assert events.dropped == dropped

    treadle.run(main())
