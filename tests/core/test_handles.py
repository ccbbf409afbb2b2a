"""Handles: what the caller of call_soon and call_later holds in hand."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import weakref

import pytest

word = contextvars.ContextVar("word", default="none")


def run_ready(loop):
    """Run what is ready now and everything that it queues in the same turn."""
    loop.call_soon(loop.stop)
    loop.run_forever()


# what a handle is ----------------------------------------------------------------------------


def test_call_soon_returns_a_handle(loop):
    handle = loop.call_soon(print)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    handle.cancel()


def test_call_soon_threadsafe_returns_a_handle(loop):
    handle = loop.call_soon_threadsafe(print)
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()


def test_call_later_returns_a_timer_handle(loop):
    handle = loop.call_later(3600, print)
    assert isinstance(handle, asyncio.TimerHandle)
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()


def test_repr_names_the_callback(loop):
    handle = loop.call_soon(print)
    assert repr(handle) == "<Handle print()>"
    handle.cancel()


def test_repr_is_asyncios(loop):
    callback, context = functools.partial(print, 1, end=""), contextvars.Context()
    theirs = asyncio.Handle(callback, (2,), loop, context)
    ours = loop.call_soon(callback, 2, context=context)
    assert repr(ours) == repr(theirs)
    ours.cancel()


def test_repr_of_a_cancelled_handle_forgets_the_callback(loop):
    handle = loop.call_soon(print)
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"


def test_repr_of_a_timer_names_its_deadline(loop):
    handle = loop.call_at(1e9, print)
    assert repr(handle) == "<TimerHandle when=1000000000.0 print()>"
    handle.cancel()
    assert repr(handle) == "<TimerHandle cancelled when=1000000000.0>"


def test_repr_names_the_place_of_a_python_function(loop):
    def callback():
        pass

    handle = loop.call_soon(callback)
    assert f"callback() at {__file__}:" in repr(handle)
    handle.cancel()


def test_get_context_returns_the_context_that_was_given(loop):
    context = contextvars.copy_context()
    handle = loop.call_soon(print, context=context)
    timer = loop.call_later(3600, print, context=context)
    if hasattr(asyncio.Handle, "get_context"):  # since Python 3.12
        assert handle.get_context() is context
        assert timer.get_context() is context
    assert handle._context is context
    handle.cancel()
    timer.cancel()


# cancelling ----------------------------------------------------------------------------------


def test_a_cancelled_callback_is_not_called(loop):
    called = []
    loop.call_soon(called.append, "yes").cancel()
    loop.call_later(0, called.append, "yes").cancel()
    run_ready(loop)
    assert called == []


def test_cancelling_twice_does_nothing(loop):
    handle = loop.call_later(3600, print)
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()


def test_cancelled_says_whether_cancel_was_called(loop):
    handle = loop.call_soon(print)
    timer = loop.call_later(3600, print)
    assert not handle.cancelled()
    assert not timer.cancelled()
    handle.cancel()
    timer.cancel()
    assert handle.cancelled()
    assert timer.cancelled()


def test_cancelling_lets_go_of_callback_and_arguments(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    handle = loop.call_soon(print, argument)
    timer = loop.call_later(3600, print, argument)
    del argument
    handle.cancel()
    timer.cancel()
    assert alive() is None


def test_a_callback_can_cancel_a_later_one_of_the_same_turn(loop):
    called = []
    loop.call_soon(lambda: later.cancel())
    later = loop.call_soon(called.append, "later")
    loop.call_soon(called.append, "last")
    run_ready(loop)
    assert called == ["last"]


def test_a_timer_can_cancel_one_that_is_due_in_the_same_turn(loop):
    called = []
    now = loop.time() - 1
    loop.call_at(now, lambda: second.cancel())
    second = loop.call_at(now, called.append, "second")
    third = loop.call_at(now, loop.stop)
    loop.run_forever()
    assert called == []
    assert not third.cancelled()


def test_cancelling_a_handle_that_has_run_does_nothing_to_others(loop):
    called = []
    handle = loop.call_soon(called.append, "first")
    run_ready(loop)
    for i in range(600):
        loop.call_soon(called.append, i)
    handle.cancel()
    run_ready(loop)
    assert called == ["first", *range(600)]


def test_a_timer_cancelled_after_it_has_run_does_nothing_to_others(loop):
    called = []
    handle = loop.call_later(0, loop.stop)
    loop.run_forever()
    others = [loop.call_later(0, called.append, i) for i in range(10)]
    handle.cancel()
    loop.call_later(0, loop.stop)
    loop.run_forever()
    assert called == list(range(10))
    assert not any(other.cancelled() for other in others)


def test_callbacks_that_cancel_their_own_handle_do_not_swallow_later_ones(loop):
    handles = []
    called = []
    for _ in range(3):
        handles.append(loop.call_soon(lambda: handles.pop().cancel()))
    run_ready(loop)
    for i in range(10):
        loop.call_soon(called.append, i)
    run_ready(loop)
    assert called == list(range(10))


def test_timers_that_cancel_themselves_do_not_swallow_later_callbacks(loop):
    timers = []
    called = []
    for _ in range(3):
        timers.append(loop.call_at(loop.time() - 1, lambda: timers.pop().cancel()))
    run_ready(loop)
    run_ready(loop)
    for i in range(10):
        loop.call_soon(called.append, i)
    run_ready(loop)
    assert called == list(range(10))


# a handle belongs to who holds it ------------------------------------------------------------


def test_a_held_handle_is_never_handed_out_again(loop):
    held = [loop.call_soon(str) for _ in range(50)]
    run_ready(loop)
    later = [loop.call_soon(str) for _ in range(700)]
    assert not {id(handle) for handle in held} & {id(handle) for handle in later}
    run_ready(loop)


def test_a_handle_held_by_its_own_arguments_is_never_handed_out_again(loop):
    box = []
    box.append(loop.call_soon(box.append, "ran"))
    run_ready(loop)
    for _ in range(300):
        assert loop.call_soon(str) is not box[0]
    run_ready(loop)


def test_a_handle_with_a_weak_reference_is_never_handed_out_again(loop):
    watched = weakref.ref(loop.call_soon(str))
    run_ready(loop)
    later = [loop.call_soon(str) for _ in range(300)]
    assert watched() is None
    assert all(watched() is not handle for handle in later)
    run_ready(loop)


def test_callback_and_arguments_are_let_go_once_they_have_run(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop.call_soon(str, argument)
    del argument
    run_ready(loop)
    assert alive() is None


def test_the_context_is_let_go_once_the_callback_has_run(loop):
    class Value:
        pass

    variable = contextvars.ContextVar("variable")
    context = contextvars.Context()
    value = Value()
    context.run(variable.set, value)
    alive = weakref.ref(value)
    loop.call_soon(str, context=context)
    del context, value
    run_ready(loop)
    assert alive() is None


def test_call_soon_after_a_timer_has_run_gives_no_timer_handle(loop):
    for _ in range(5):
        loop.call_at(loop.time() - 1, str)
    run_ready(loop)
    run_ready(loop)
    handles = [loop.call_soon(print) for _ in range(10)]
    assert {repr(handle) for handle in handles} == {"<Handle print()>"}
    assert not any(isinstance(handle, asyncio.TimerHandle) for handle in handles)
    for handle in handles:
        handle.cancel()


def test_a_handle_made_in_debug_mode_leaves_no_traces_in_later_ones(loop):
    loop.set_debug(True)
    for _ in range(5):
        loop.call_soon(str)
    loop.set_debug(False)
    run_ready(loop)
    handles = [loop.call_soon(print) for _ in range(10)]
    assert {repr(handle) for handle in handles} == {"<Handle print()>"}
    for handle in handles:
        handle.cancel()


def test_callbacks_run_in_their_own_context_whatever_ran_before(loop):
    seen = []
    for i in range(300):
        context = contextvars.copy_context()
        context.run(word.set, i)
        loop.call_soon(lambda: seen.append(word.get()), context=context)
    run_ready(loop)
    for _ in range(300):
        loop.call_soon(lambda: seen.append(word.get()))
    run_ready(loop)
    assert seen == [*range(300), *["none"] * 300]


def test_a_handle_can_be_run_by_hand(loop):
    called = []
    handle = loop.call_later(3600, called.append, "now")
    handle._run()
    assert called == ["now"]
    handle.cancel()


def test_a_pending_handle_keeps_nothing_alive_after_close(loop_factory):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop = loop_factory()
    loop.call_soon(str, argument)
    loop.call_later(3600, str, argument)
    del argument
    loop.close()
    gc.collect()
    assert alive() is None


def test_a_loop_held_only_by_its_own_handles_is_collected(loop_factory):
    loop = loop_factory()
    loop.call_soon(loop.stop)
    loop.run_forever()
    handle = loop.call_soon(loop.stop)
    alive = weakref.ref(loop)
    loop.close()
    del loop, handle
    gc.collect()
    assert alive() is None


# what dies may look back ----------------------------------------------------------------------


class Mourned:
    """Calls when it dies."""

    def __init__(self, call):
        self.call = call

    def __del__(self):
        self.call()


def test_what_dies_with_a_cancelled_handle_may_look_at_it(loop):
    seen = []
    box = []
    for make in (loop.call_soon, lambda *args: loop.call_later(3600, *args)):
        dying = Mourned(lambda: seen.append((box[-1].cancelled(), repr(box[-1]), box[-1].cancel())))
        box.append(make(print, dying))
        del dying
        box[-1].cancel()
    assert [entry[0] for entry in seen] == [True, True]


def test_what_dies_when_a_callback_has_run_may_schedule(loop):
    called = []
    for i in range(300):
        loop.call_soon(str, Mourned(lambda i=i: loop.call_soon(called.append, i)))
    run_ready(loop)
    run_ready(loop)
    assert called == list(range(300))


def test_what_dies_with_the_loops_last_handles_may_try_to_schedule(loop_factory):
    seen = []

    def schedule():
        try:
            loop.call_soon(str)
        except RuntimeError as exc:
            seen.append(str(exc))

    loop = loop_factory()
    loop.call_soon(str, Mourned(schedule))
    loop.call_later(3600, str, Mourned(schedule))
    loop.close()
    assert seen == ["Event loop is closed"] * 2


def test_a_collection_in_the_middle_of_anything_may_schedule(loop):
    called, from_the_grave = [], []

    def litter(i):
        """Leave a cycle that schedules when it is collected."""
        dying = Mourned(lambda: loop.call_soon(from_the_grave.append, i))
        dying.self = dying

    thresholds = gc.get_threshold()
    gc.collect()
    gc.set_threshold(3)
    try:
        for i in range(1000):
            litter(i)
            loop.call_soon(called.append, i)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    run_ready(loop)
    assert called == list(range(1000))
    assert sorted(from_the_grave) == list(range(1000))


# timer handles -------------------------------------------------------------------------------


def test_when_returns_what_call_at_was_given(loop):
    for when in (0.1, 1e9 + 0.3, 12345.6789):
        handle = loop.call_at(when, print)
        assert handle.when() == when
        handle.cancel()


def test_when_of_call_later_is_now_plus_the_delay(virtual):
    loop, clock = virtual
    clock.ns = 7_000_000_000
    assert loop.call_later(2.5, print).when() == 9.5


def test_timer_handles_are_ordered_by_deadline(loop):
    early = loop.call_at(1e9, print)
    late = loop.call_at(2e9, print)
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert sorted([late, early]) == [early, late]
    early.cancel()
    late.cancel()


def test_timer_handles_are_equal_when_deadline_and_callback_are(loop):
    one = loop.call_at(1e9, print, 1)
    same = loop.call_at(1e9, print, 1)
    other = loop.call_at(1e9, print, 2)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one <= same
    assert one >= same
    for handle in (one, same, other):
        handle.cancel()


def test_a_timer_handle_compares_with_nothing_else(loop):
    handle = loop.call_at(1e9, print)
    assert handle != 1e9
    with pytest.raises(TypeError):
        _ = handle < 1e9
    with pytest.raises(TypeError):
        _ = handle >= None
    handle.cancel()
