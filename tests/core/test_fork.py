"""fork(2) in a process that has a loop: the child cannot use it, and the parent does not notice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import treadle

pytestmark = [
    pytest.mark.every_driver,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]
treadle_only = pytest.mark.treadle_only


class Forked:
    """A forked child that runs a function and reports what it returned, or how it failed."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.receiver, sender = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other tests have left threads
            self.pid = os.fork()
        if self.pid == 0:
            self._be_the_child(function, sender)
        os.close(sender)

    @staticmethod
    def _be_the_child(function: Callable[[], Any], sender: int) -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                report = {"result": function()}
            except BaseException as exc:
                report = {"error": "".join(traceback.format_exception(exc))}
            os.write(sender, json.dumps(report).encode())
        finally:
            os._exit(0)

    def result(self) -> Any:
        """Wait for the end of the child, which must not have failed."""
        with open(self.receiver, "rb") as file:
            text = file.read()
        os.waitpid(self.pid, 0)
        assert text, "the child has ended without a report"
        report = json.loads(text)
        assert "error" not in report, report["error"]
        return report["result"]


def forked(function: Callable[[], Any]) -> Any:
    """Run a function in a forked child and return its result."""
    return Forked(function).result()


def message_of(function: Callable[..., Any], *args: Any) -> str:
    """What the RuntimeError says that a call raises."""
    try:
        function(*args)
    except RuntimeError as exc:
        return str(exc)
    return "no error"


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


# the child ---------------------------------------------------------------------------------


@treadle_only  # asyncio's is used by both processes, and its epoll set too
@pytest.mark.parametrize(
    "use",
    [
        lambda loop: loop.call_soon(print),
        lambda loop: loop.call_later(1, print),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.run_forever(),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.add_signal_handler(signal.SIGUSR1, print),
        lambda loop: loop.run_in_executor(None, print),
    ],
    ids=[
        "call_soon",
        "call_later",
        "threadsafe",
        "run_forever",
        "add_reader",
        "add_signal_handler",
        "run_in_executor",
    ],
)
def test_use_of_an_inherited_loop_fails_and_says_why(loop, use):
    said = forked(lambda: message_of(use, loop))
    assert "made in another process" in said
    assert "make a new event loop" in said


@treadle_only
def test_a_coroutine_cannot_be_run_by_an_inherited_loop(loop):
    def child():
        coro = answer()
        try:
            return message_of(loop.run_until_complete, coro)
        finally:
            coro.close()

    assert "made in another process" in forked(child)


@treadle_only
def test_an_inherited_loop_is_closed_and_closing_it_does_nothing(loop):
    def child():
        loop.close()
        return [loop.is_closed(), loop.is_running()]

    assert forked(child) == [True, False]
    assert not loop.is_closed()
    assert loop.run_until_complete(answer()) == 42


@treadle_only
def test_an_inherited_loop_lets_go_of_the_parents_threads(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))

    def child():
        return loop._default_executor is None

    assert forked(child) is True
    assert loop._default_executor is not None


def test_a_new_loop_works_in_the_child(loop, loop_factory):
    def child():
        new = loop_factory()
        try:
            return new.run_until_complete(answer())
        finally:
            new.close()

    assert forked(child) == 42


def test_a_child_forked_by_a_callback_has_no_running_loop(loop):
    async def fork():
        return forked(lambda: asyncio._get_running_loop() is None)

    assert loop.run_until_complete(fork())


def test_a_child_forked_by_a_coroutine_can_run_another_loop(loop, loop_factory):
    def child():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(answer())

    async def fork():
        return forked(child)

    assert loop.run_until_complete(fork()) == 42


@treadle_only
def test_asynchronous_generators_of_the_child_are_not_told_to_the_inherited_loop(loop):
    async def fork():
        return forked(lambda: list(sys.get_asyncgen_hooks()))

    assert loop.run_until_complete(fork()) == [None, None]


@treadle_only
def test_a_child_that_returns_into_the_loop_leaves_it_with_an_error(loop):
    """Nothing of what the parent has scheduled runs in the child."""
    receiver, sender = os.pipe()
    pids = []
    parent = os.getpid()

    def note():
        os.write(sender, b"parent;" if os.getpid() == parent else b"CHILD;")

    def fork():
        loop.call_soon(note)
        loop.call_later(0, note)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pids.append(os.fork())
        loop.call_later(0.01, loop.stop) if pids[0] else None

    loop.call_soon(fork)
    loop.call_soon(note)
    try:
        loop.run_forever()
    except BaseException as exc:
        if pids[0]:
            raise
        os.write(sender, b"another process;" if "another process" in str(exc) else b"CONFUSED;")
    finally:
        if pids[0] == 0:
            os._exit(0)
    os.waitpid(pids[0], 0)
    os.close(sender)
    with open(receiver, "rb") as file:
        heard = file.read().split(b";")
    assert sorted(heard) == [b"", b"another process", b"parent", b"parent", b"parent"]


@treadle_only
def test_a_child_forked_while_the_driver_dispatches_returns_into_nothing(loop, socket_pair):
    """The events that were reported together with the one that forked are the parent's."""
    receiver, sender = os.pipe()
    pids = []
    heard = []

    class Fork(asyncio.Protocol):
        def data_received(self, data):
            heard.append(data)
            if not pids:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    pids.append(os.fork())
            if pids[0] == 0:
                os.write(sender, b"%d;" % len(heard))
            elif len(heard) == 2:
                loop.stop()

    async def connect(sock):
        return await loop.create_connection(Fork, sock=sock)

    ours, theirs = socket_pair
    mine, yours = socket.socketpair()
    transports = [loop.run_until_complete(connect(sock))[0] for sock in (ours, mine)]
    theirs.send(b"1")
    yours.send(b"2")
    try:
        loop.run_forever()
    except BaseException as exc:
        if pids[0]:
            raise
        os.write(sender, b"another process;" if "another process" in str(exc) else b"CONFUSED;")
    finally:
        if pids and pids[0] == 0:
            os._exit(0)
    os.waitpid(pids[0], 0)
    os.close(sender)
    with open(receiver, "rb") as file:
        assert file.read() == b"1;another process;"
    assert sorted(heard) == [b"1", b"2"]
    for transport in transports:
        transport.abort()
    loop.run_until_complete(asyncio.sleep(0.01))
    yours.close()


# the parent --------------------------------------------------------------------------------


@pytest.fixture
def connection(loop, socket_pair):
    """A transport, its protocol, and the socket at the other end."""
    ours, theirs = socket_pair

    class Notes(asyncio.Protocol):
        def __init__(self):
            self.data = b""
            self.waiter = None

        def data_received(self, data):
            self.data += data
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

        async def hears(self, data):
            while self.data != data:
                self.waiter = loop.create_future()
                await self.waiter

    transport, protocol = loop.run_until_complete(loop.create_connection(Notes, sock=ours))
    yield transport, protocol, theirs
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0.01))


@treadle_only
@pytest.mark.parametrize(
    "harm",
    [
        lambda loop, transport: transport.close(),
        lambda loop, transport: transport.abort(),
        lambda loop, transport: transport.pause_reading(),
        lambda loop, transport: loop.close(),
        lambda loop, transport: loop.remove_reader(transport.get_extra_info("socket").fileno()),
        lambda loop, transport: loop._driver.close(transport),
        lambda loop, transport: loop._driver.detach(transport),
        lambda loop, transport: loop.stop(),
    ],
    ids=["close", "abort", "pause", "loop", "remove_reader", "release", "detach", "stop"],
)
def test_nothing_that_the_child_does_stops_the_parent_from_hearing(loop, connection, harm):
    transport, protocol, peer = connection

    def child():
        with contextlib.suppress(RuntimeError):
            harm(loop, transport)

    forked(child)
    peer.send(b"still there?")
    loop.run_until_complete(protocol.hears(b"still there?"))


@treadle_only
def test_what_the_child_drops_is_closed_there_only_and_without_a_warning(loop, connection):
    transport, protocol, peer = connection
    number = transport.get_extra_info("socket").fileno()
    referrers = [transport]
    del transport, connection

    def child():
        warned = []
        warnings.showwarning = lambda *args, **kw: warned.append(str(args[0]))
        sys.unraisablehook = lambda args: warned.append(str(args.exc_value))
        warnings.simplefilter("always")
        victim = referrers.pop()
        victim.__del__()
        gc.collect()
        try:
            os.fstat(number)
        except OSError:
            return warned
        return "still open"

    assert forked(child) == []
    peer.send(b"still there?")
    loop.run_until_complete(protocol.hears(b"still there?"))


@treadle_only  # asyncio's own has no such promise
def test_an_endpoint_that_the_child_drops_is_closed_there_without_a_warning(loop):
    transport, _ = loop.run_until_complete(
        loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    )
    number = transport.get_extra_info("socket").fileno()

    def child():
        warned = []
        warnings.showwarning = lambda *args, **kw: warned.append(str(args[0]))
        sys.unraisablehook = lambda args: warned.append(str(args.exc_value))
        warnings.simplefilter("always")
        transport.__del__()
        try:
            os.fstat(number)
        except OSError:
            return warned
        return "still open"

    assert forked(child) == []
    os.fstat(number)  # still the parent's
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))


@treadle_only  # asyncio's epoll set forgets the listening socket
def test_a_server_that_the_child_closes_goes_on_in_the_parent(loop):
    came = asyncio.Event()

    class Door(asyncio.Protocol):
        def connection_made(self, transport):
            came.set()

    server = loop.run_until_complete(loop.create_server(Door, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()

    def child():
        with contextlib.suppress(RuntimeError):
            server.close()

    forked(child)
    with socket.create_connection(address):
        loop.run_until_complete(came.wait())
    server.abort_clients()
    server.close()
    loop.run_until_complete(server.wait_closed())


@treadle_only  # asyncio writes to the end
def test_what_the_child_writes_is_sent_as_far_as_no_loop_is_needed(loop, connection):
    transport, _, peer = connection

    def child():
        transport.write(b"from the child")
        return message_of(transport.write, bytes(10_000_000))

    assert "made in another process" in forked(child)
    assert peer.recv(14) == b"from the child"


@treadle_only  # asyncio of some versions delivers it
def test_a_signal_of_the_child_is_not_delivered_to_the_parent(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "parent")

    def child():
        signal.signal(signal.SIGUSR1, lambda *_: heard.append("child"))
        os.kill(os.getpid(), signal.SIGUSR1)
        return heard

    async def fork():
        assert forked(child) == ["child"]
        await asyncio.sleep(0.01)

    loop.run_until_complete(fork())
    assert heard == []
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert heard == ["parent"]
    loop.remove_signal_handler(signal.SIGUSR1)


@treadle_only  # asyncio leaves a handler that does nothing
def test_a_signal_that_the_parent_handles_ends_the_child(loop):
    loop.add_signal_handler(signal.SIGTERM, print)

    def child():
        os.kill(os.getpid(), signal.SIGTERM)
        return "survived"

    async def fork():
        process = Forked(child)
        os.close(process.receiver)
        return os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])

    assert loop.run_until_complete(fork()) == -signal.SIGTERM
    loop.remove_signal_handler(signal.SIGTERM)


def test_a_fork_in_another_thread_leaves_the_running_loop_alone(loop, loop_factory):
    def child():
        new = loop_factory()
        try:
            return [loop.is_running() and isinstance(loop, treadle.Loop), answer_of(new)]
        finally:
            new.close()

    def answer_of(new):
        return new.run_until_complete(answer())

    async def fork_elsewhere():
        result = await loop.run_in_executor(None, forked, child)
        await asyncio.sleep(0.01)
        return result

    assert loop.run_until_complete(fork_elsewhere()) == [False, 42]


@treadle_only  # asyncio leaves a handler that does nothing
def test_signals_are_given_up_by_a_child_that_another_thread_has_forked(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)

    def child():
        return [signal.set_wakeup_fd(-1), signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL]

    async def fork_elsewhere():
        return await loop.run_in_executor(None, forked, child)

    assert loop.run_until_complete(fork_elsewhere()) == [-1, True]
    loop.remove_signal_handler(signal.SIGUSR1)


@treadle_only  # asyncio asks its Popen, with the same result
def test_a_child_does_not_kill_or_reap_the_parents_other_children(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)

        def child():
            process._transport.close()
            process._transport.__del__()
            return process._transport.is_closing()

        assert forked(child)
        process.stdin.close()
        assert await process.wait() == 0

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_multiprocessing_can_fork_workers_that_run_loops(loop, loop_factory):
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(False)

    def work():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            sender.send(runner.run(answer()))

    async def main():
        process = context.Process(target=work)
        process.start()
        got = await loop.run_in_executor(None, receiver.recv)
        await loop.run_in_executor(None, process.join)
        return got, process.exitcode

    assert loop.run_until_complete(main()) == (42, 0)
    receiver.close()
    sender.close()


def test_a_loop_of_another_thread_can_be_used_by_the_parent_after_a_fork(loop_factory):
    """The parent is told nothing of its own fork."""
    started = threading.Event()
    loops = []

    def run():
        loop = loop_factory()
        loops.append(loop)
        loop.call_soon(started.set)
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    forked(lambda: None)
    future = asyncio.run_coroutine_threadsafe(answer(), loops[0])
    assert future.result() == 42
    loops[0].call_soon_threadsafe(loops[0].stop)
    thread.join()
