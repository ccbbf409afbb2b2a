"""Signals: handlers of the loop, and a wait that a signal always ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.kit import run_python

pytestmark = pytest.mark.every_driver
USUAL = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers_given_back():
    """No test leaves a signal handler or a wake-up descriptor behind."""
    before = {sig: signal.getsignal(sig) for sig in USUAL}
    yield
    wakeup = signal.set_wakeup_fd(-1)
    for sig, handler in before.items():
        signal.signal(sig, handler)
    assert wakeup == -1


def send(sig):
    os.kill(os.getpid(), sig)


@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGINT, signal.SIGTERM])
def test_a_signal_runs_its_handler_in_the_loop(loop, sig):
    called = []

    def handler(*args):
        called.append((args, asyncio.get_running_loop() is loop))
        loop.stop()

    loop.add_signal_handler(sig, handler, "with", "arguments")
    loop.call_soon(send, sig)
    loop.run_forever()
    assert called == [(("with", "arguments"), True)]
    loop.remove_signal_handler(sig)


def test_a_signal_ends_a_wait(loop):
    sender = threading.Timer(0.02, send, [signal.SIGUSR1])
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.call_soon(sender.start)
    loop.run_forever()
    sender.join()
    loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.treadle_only
def test_a_signal_that_the_system_gives_to_another_thread_ends_a_wait(loop):
    waiting = threading.Event()

    def work():
        waiting.wait()
        send(signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, lambda *_: loop.stop())
    worker = threading.Thread(target=work)
    worker.start()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        loop.call_later(0.02, waiting.set)
        loop.run_forever()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    worker.join()


def test_each_signal_is_delivered(loop):
    called = []

    def handler():
        called.append(1)
        if len(called) == 20:
            loop.stop()
        else:
            send(signal.SIGUSR1)

    loop.add_signal_handler(signal.SIGUSR1, handler)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert len(called) == 20
    loop.remove_signal_handler(signal.SIGUSR1)


def test_two_signals_run_their_own_handlers(loop):
    called = []

    def handler(name):
        called.append(name)
        if len(called) == 2:
            loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handler, "one")
    loop.add_signal_handler(signal.SIGUSR2, handler, "two")
    loop.call_soon(send, signal.SIGUSR2)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert sorted(called) == ["one", "two"]
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.remove_signal_handler(signal.SIGUSR2)


def test_the_end_of_a_child_process_is_heard(loop):
    loop.add_signal_handler(signal.SIGCHLD, loop.stop)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    loop.run_forever()
    assert child.wait() == 0
    loop.remove_signal_handler(signal.SIGCHLD)


def test_a_signal_sent_before_the_run_is_delivered_in_it(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    send(signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_sent_between_two_runs_is_delivered_in_the_second(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.run_until_complete(asyncio.sleep(0))
    send(signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_second_handler_replaces_the_first(loop):
    called = []
    loop.add_signal_handler(signal.SIGUSR1, called.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert called == []
    loop.remove_signal_handler(signal.SIGUSR1)


def test_removing_says_whether_there_was_a_handler(loop):
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    loop.add_signal_handler(signal.SIGUSR1, print)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_removing_gives_the_signal_back_to_the_system(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_can_remove_itself(loop):
    called = []

    def handler():
        called.append(loop.remove_signal_handler(signal.SIGUSR1))
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handler)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert called == [True]


def test_a_handler_that_fails_is_reported_and_stays(loop):
    reports = []

    def report(loop, context):
        reports.append(context["exception"])
        loop.stop()

    loop.set_exception_handler(report)
    loop.add_signal_handler(signal.SIGUSR1, int, "no number")
    for _ in range(2):
        loop.call_soon(send, signal.SIGUSR1)
        loop.run_forever()
    assert [type(exc) for exc in reports] == [ValueError, ValueError]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_closing_takes_the_handlers_off(loop_factory):
    loop = loop_factory()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_call_soon_threadsafe_from_a_python_signal_handler_ends_the_wait(loop):
    signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(loop.stop))
    sender = threading.Timer(0.02, send, [signal.SIGUSR1])
    loop.call_soon(sender.start)
    loop.run_forever()
    sender.join()


def test_an_exception_from_a_python_signal_handler_leaves_the_loop(loop):
    class Alarm(BaseException):
        pass

    def handler(*_):
        raise Alarm

    signal.signal(signal.SIGUSR1, handler)
    sender = threading.Timer(0.02, send, [signal.SIGUSR1])
    loop.call_soon(sender.start)
    with pytest.raises(Alarm):
        loop.run_forever()
    sender.join()
    assert loop.run_until_complete(asyncio.sleep(0, "usable")) == "usable"


# what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_that_cannot_be_caught_is_refused(loop, sig):
    with pytest.raises(RuntimeError, match=f"sig {sig} cannot be caught"):
        loop.add_signal_handler(sig, print)
    assert loop.remove_signal_handler(sig) is False


@pytest.mark.parametrize("sig", [0, -1, 65, 4242])
def test_what_is_no_signal_is_refused(loop, sig):
    with pytest.raises(ValueError, match=f"invalid signal number {sig}"):
        loop.add_signal_handler(sig, print)
    with pytest.raises(ValueError, match=f"invalid signal number {sig}"):
        loop.remove_signal_handler(sig)


@pytest.mark.parametrize("sig", ["SIGUSR1", None, 2.0])
def test_what_is_no_number_is_refused(loop, sig):
    with pytest.raises(TypeError, match="sig must be an int"):
        loop.add_signal_handler(sig, print)


def test_a_coroutine_is_no_handler(loop):
    async def handler():
        pass

    coroutine = handler()
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(signal.SIGUSR1, handler)
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)
    coroutine.close()


def test_a_closed_loop_takes_no_handler(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_signal_handler(signal.SIGUSR1, print)


def in_thread(function):
    """Run in another thread; return the exception."""
    caught = []

    def work():
        try:
            function()
        except BaseException as exc:
            caught.append(exc)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    return caught[0] if caught else None


def test_another_thread_cannot_add_a_handler(loop):
    exc = in_thread(lambda: loop.add_signal_handler(signal.SIGUSR1, print))
    assert isinstance(exc, RuntimeError)
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_another_thread_cannot_add_a_second_handler(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    exc = in_thread(lambda: loop.add_signal_handler(signal.SIGUSR2, print))
    assert isinstance(exc, RuntimeError)
    assert loop.remove_signal_handler(signal.SIGUSR2) is False
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_loop_in_another_thread_takes_no_handler_and_leaves_the_wakeup_alone(loop_factory):
    def work():
        loop = loop_factory()
        try:
            with pytest.raises(RuntimeError):
                loop.add_signal_handler(signal.SIGUSR1, print)
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()

    assert in_thread(work) is None


# the wake-up descriptor ----------------------------------------------------------------------


@pytest.fixture
def wakeup(request):
    """A wake-up descriptor that somebody else has set."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    receiver.setblocking(False)
    signal.set_wakeup_fd(sender.fileno())
    yield sender.fileno()
    signal.set_wakeup_fd(-1)
    receiver.close()
    sender.close()


def current_wakeup():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd


@pytest.mark.treadle_only
def test_a_run_gives_back_the_wakeup_descriptor_that_it_found(loop, wakeup):
    loop.run_until_complete(asyncio.sleep(0))
    assert current_wakeup() == wakeup


@pytest.mark.treadle_only
def test_an_interrupted_run_gives_back_the_wakeup_descriptor(loop, wakeup):
    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert current_wakeup() == wakeup


@pytest.mark.treadle_only
def test_removing_the_last_handler_gives_back_the_wakeup_descriptor(loop, wakeup):
    loop.add_signal_handler(signal.SIGUSR1, print)
    assert current_wakeup() != wakeup
    loop.remove_signal_handler(signal.SIGUSR1)
    assert current_wakeup() == wakeup


@pytest.mark.treadle_only
def test_closing_gives_back_the_wakeup_descriptor(loop_factory, wakeup):
    loop = loop_factory()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert current_wakeup() == wakeup


@pytest.mark.treadle_only
def test_removing_the_last_handler_during_a_run_keeps_signals_ending_the_wait(loop):
    seen = []
    signal.signal(signal.SIGUSR2, lambda *_: seen.append("python handler"))
    loop.add_signal_handler(signal.SIGUSR1, print)

    async def main():
        loop.remove_signal_handler(signal.SIGUSR1)
        send(signal.SIGUSR2)
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert seen == ["python handler"]


def test_two_loops_with_handlers_deliver_to_the_one_that_asked_last(loop, loop_factory):
    other = loop_factory()
    called = []
    loop.add_signal_handler(signal.SIGUSR1, called.append, "first loop")
    other.add_signal_handler(signal.SIGUSR1, other.stop)
    other.call_soon(send, signal.SIGUSR1)
    other.run_forever()
    assert called == []
    other.close()
    loop.remove_signal_handler(signal.SIGUSR1)


# Ctrl-C --------------------------------------------------------------------------------------

INTERRUPTED = """
import asyncio, os, signal, treadle
async def main():
    try:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled")
        await asyncio.sleep(0)
        print("tidied up")
        raise
try:
    {run}
except KeyboardInterrupt:
    print("KeyboardInterrupt")
"""


@pytest.mark.parametrize("run", ["treadle.run(main())", "asyncio.run(main())"])
def test_ctrl_c_cancels_the_main_task_and_raises_keyboard_interrupt(run):
    done = run_python(INTERRUPTED.format(run=run))
    assert done.stdout.split("\n") == ["cancelled", "tidied up", "KeyboardInterrupt", ""]
    assert done.stderr == ""
    assert done.returncode == 0


def test_ctrl_c_kills_a_program_that_does_not_catch_it():
    done = run_python(
        "import asyncio, os, signal, treadle\n"
        "async def main():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.sleep(3600)\n"
        "treadle.run(main())"
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_twice_interrupts_at_once():
    done = run_python(
        "import asyncio, os, signal, treadle\n"
        "async def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.sleep(3600)\n"
        "    except asyncio.CancelledError:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('not reached')\n"
        "try:\n"
        "    treadle.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('KeyboardInterrupt')"
    )
    assert done.stdout == "KeyboardInterrupt\n"


def test_ctrl_c_interrupts_a_loop_that_waits_for_nothing():
    done = run_python(
        "import os, signal, threading, treadle\n"
        "loop = treadle.Loop()\n"
        "timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))\n"
        "loop.call_soon(timer.start)\n"
        "try:\n"
        "    loop.run_forever()\n"
        "except KeyboardInterrupt:\n"
        "    print('KeyboardInterrupt', loop.is_running())\n"
        "loop.close()"
    )
    assert done.stdout == "KeyboardInterrupt False\n"
    assert done.stderr == ""


def test_ctrl_c_interrupts_a_busy_loop():
    done = run_python(
        "import os, signal, threading, treadle\n"
        "loop = treadle.Loop()\n"
        "def spin(): loop.call_soon(spin)\n"
        "timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))\n"
        "loop.call_soon(timer.start)\n"
        "loop.call_soon(spin)\n"
        "try:\n"
        "    loop.run_forever()\n"
        "except KeyboardInterrupt:\n"
        "    print('KeyboardInterrupt')\n"
        "loop.close()"
    )
    assert done.stdout == "KeyboardInterrupt\n"
