"""Failures that have no caller: what exception handlers are told, and when they fail themselves."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest

word = contextvars.ContextVar("word", default="none")


def fail(*args):
    raise ZeroDivisionError("by nobody")


def turn(loop):
    loop.stop()
    loop.run_forever()


@pytest.fixture
def plain(loop_factory):
    """A loop with the default exception handler."""
    loop = loop_factory()
    yield loop
    loop.close()


@pytest.fixture
def loop_class(loop_factory):
    """The class under test, to derive from."""
    loop = loop_factory()
    loop.close()
    return type(loop)


def logged(caplog):
    """The errors that asyncio's logger was given."""
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


# what a handler is told ----------------------------------------------------------------------


def test_a_failing_callback_is_reported_with_exception_and_handle(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append((loop, context)))
    handle = loop.call_soon(fail)
    turn(loop)
    [(where, context)] = reports
    assert where is loop
    assert context["handle"] is handle
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["message"].startswith("Exception in callback fail() at ")
    assert "source_traceback" not in context


def test_a_failing_timer_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    handle = loop.call_at(loop.time() - 1, fail)
    turn(loop)
    assert reports[0]["handle"] is handle
    assert "fail()" in reports[0]["message"]


def test_the_message_names_the_callback_as_asyncio_does(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
    loop.call_soon(int, "x")
    turn(loop)
    expected = asyncio.format_helpers._format_callback_source(int, ("x",))
    assert reports == [f"Exception in callback {expected}"]


def test_the_traceback_leads_to_the_line_that_failed(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    loop.call_soon(fail)
    turn(loop)
    frame = reports[0].__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    assert frame.tb_frame.f_code is fail.__code__


def test_a_callback_that_cancels_its_handle_and_fails_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    def cancel_and_fail():
        handle.cancel()
        fail()

    handle = loop.call_soon(cancel_and_fail)
    turn(loop)
    assert isinstance(reports[0], ZeroDivisionError)


@pytest.mark.skipif(not hasattr(asyncio.Handle, "get_context"), reason="new in Python 3.12")
def test_the_handler_runs_in_the_context_of_what_failed(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(word.get()))
    context = contextvars.Context()
    context.run(word.set, "inside")
    loop.call_soon(fail, context=context)
    turn(loop)
    assert seen == ["inside"]


def test_a_handler_can_be_called_by_hand(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.call_exception_handler({"message": "by hand"})
    assert reports == [{"message": "by hand"}]


def test_the_handler_can_be_read_and_taken_off(loop_factory):
    def handler(loop, context):
        pass

    loop = loop_factory()
    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    loop.close()


def test_a_handler_that_is_not_callable_is_refused(loop):
    with pytest.raises(TypeError, match="A callable object or None is expected"):
        loop.set_exception_handler(42)


# the default handler -------------------------------------------------------------------------


def test_the_default_handler_logs_the_failure(plain, caplog):
    plain.call_soon(fail)
    turn(plain)
    [record] = logged(caplog)
    assert record.name == "asyncio"
    lines = record.getMessage().splitlines()
    assert lines[0].startswith("Exception in callback fail() at ")
    assert lines[1].startswith("handle: <Handle fail() at ")
    assert record.exc_info[0] is ZeroDivisionError


def test_the_default_handler_logs_what_it_knows_in_the_order_of_its_names(plain, caplog):
    plain.call_exception_handler({"zebra": 1, "message": "many things", "apple": "2"})
    assert logged(caplog)[0].getMessage() == "many things\napple: '2'\nzebra: 1"


def test_the_default_handler_has_words_for_a_failure_without_any(plain, caplog):
    plain.call_exception_handler({})
    assert logged(caplog)[0].getMessage() == "Unhandled exception in event loop"
    assert logged(caplog)[0].exc_info in (None, False)


def test_the_default_handler_is_not_called_when_there_is_another(loop, caplog):
    loop.set_exception_handler(lambda loop, context: None)
    loop.call_soon(fail)
    turn(loop)
    assert logged(caplog) == []


def test_a_handler_may_pass_on_to_the_default_one(loop, caplog):
    loop.set_exception_handler(lambda loop, context: loop.default_exception_handler(context))
    loop.call_soon(fail)
    turn(loop)
    assert len(logged(caplog)) == 1


def test_debug_mode_tells_where_the_failing_callback_was_queued(plain, caplog):
    plain.set_debug(True)
    plain.call_soon(fail)
    turn(plain)
    text = logged(caplog)[0].getMessage()
    assert "source_traceback: Object created at (most recent call last):" in text
    assert "plain.call_soon(fail)" in text


def test_debug_mode_tells_where_the_running_callback_was_queued(plain, caplog):
    plain.set_debug(True)
    plain.call_soon(plain.call_exception_handler, {"message": "inside"})
    turn(plain)
    text = logged(caplog)[0].getMessage()
    assert "handle_traceback: Handle created at (most recent call last):" in text
    assert 'plain.call_soon(plain.call_exception_handler, {"message": "inside"})' in text


# handlers that fail themselves ---------------------------------------------------------------


def test_a_failing_handler_is_logged_and_the_loop_goes_on(loop, caplog):
    called = []
    loop.set_exception_handler(fail)
    loop.call_soon(fail)
    loop.call_soon(called.append, "went on")
    turn(loop)
    [record] = logged(caplog)
    assert record.getMessage().startswith("Unhandled error in exception handler\ncontext: {")
    assert record.exc_info[0] is ZeroDivisionError
    assert called == ["went on"]


def test_a_failing_default_handler_is_logged(loop_class, caplog):
    class Failing(loop_class):
        def default_exception_handler(self, context):
            fail()

    loop = Failing()
    loop.call_exception_handler({"message": "first"})
    assert [record.getMessage() for record in logged(caplog)] == [
        "Exception in default exception handler"
    ]
    caplog.clear()
    loop.set_exception_handler(fail)
    loop.call_exception_handler({"message": "second"})
    assert [record.getMessage() for record in logged(caplog)] == [
        "Exception in default exception handler while handling an unexpected error "
        "in custom exception handler"
    ]
    loop.close()


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_an_interruption_in_a_handler_leaves_the_loop(loop, exception):
    def interrupt(loop, context):
        raise exception

    loop.set_exception_handler(interrupt)
    loop.call_soon(fail)
    with pytest.raises(exception):
        loop.run_forever()
    loop.set_exception_handler(None)


def test_an_interruption_in_the_default_handler_leaves_the_loop(loop_class):
    class Interrupting(loop_class):
        def default_exception_handler(self, context):
            raise SystemExit

    loop = Interrupting()
    loop.call_soon(fail)
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.close()


def test_a_subclass_may_override_how_failures_are_reported(loop_class):
    reports = []

    class Collecting(loop_class):
        def call_exception_handler(self, context):
            reports.append(context)

    loop = Collecting()
    loop.call_soon(fail)
    turn(loop)
    assert len(reports) == 1
    loop.close()
