"""add_reader and add_writer: the user's descriptors, which may change behind the loop's back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile

import pytest

from tests.kit import run_python
from treadle._drivers.base import Connection

pytestmark = pytest.mark.every_driver


def turn(loop):
    """Make one turn, in which the kernel is asked."""
    loop.stop()
    loop.run_forever()


@pytest.fixture
def pair(socket_pair):
    ours, theirs = socket_pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


def fill(sock):
    """Write until the kernel takes no more."""
    with contextlib.suppress(BlockingIOError):
        while sock.send(b"x" * 4096):
            pass


def drain(sock):
    """Read what is there."""
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


# readiness -----------------------------------------------------------------------------------


def test_a_reader_is_called_when_there_is_something_to_read(loop, pair):
    ours, theirs = pair
    called = []
    loop.add_reader(ours, called.append, "readable")
    turn(loop)
    assert called == []
    theirs.send(b"x")
    turn(loop)
    assert called == ["readable"]
    loop.remove_reader(ours)


def test_a_reader_is_called_again_while_there_is_something_left(loop, pair):
    ours, theirs = pair
    called = []
    loop.add_reader(ours, called.append, 1)
    theirs.send(b"x")
    for _ in range(3):
        turn(loop)
    assert called == [1, 1, 1]
    loop.remove_reader(ours)


def test_a_writer_is_called_when_the_kernel_takes_bytes(loop, pair):
    ours, theirs = pair
    fill(ours)
    called = []
    loop.add_writer(ours, called.append, "writable")
    turn(loop)
    assert called == []
    drain(theirs)
    turn(loop)
    assert called == ["writable"]
    loop.remove_writer(ours)


def test_reader_and_writer_of_one_descriptor_are_independent(loop, pair):
    ours, theirs = pair
    called = []
    loop.add_reader(ours, called.append, "r")
    loop.add_writer(ours, called.append, "w")
    turn(loop)
    assert called == ["w"]
    theirs.send(b"x")
    turn(loop)
    assert called == ["w", "r", "w"]
    loop.remove_writer(ours)
    turn(loop)
    assert called == ["w", "r", "w", "r"]
    loop.add_writer(ours, called.append, "w")
    loop.remove_reader(ours)
    turn(loop)
    assert called == ["w", "r", "w", "r", "w"]
    loop.remove_writer(ours)


def test_the_end_of_the_stream_makes_a_descriptor_readable(loop, pair):
    ours, theirs = pair
    called = []
    loop.add_reader(ours, called.append, "end")
    theirs.close()
    turn(loop)
    assert called == ["end"]
    loop.remove_reader(ours)


def test_a_broken_connection_wakes_a_writer(loop, pair):
    ours, theirs = pair
    fill(ours)
    called = []
    loop.add_writer(ours, called.append, "broken")
    theirs.close()
    turn(loop)
    assert called == ["broken"]
    loop.remove_writer(ours)


def test_a_reader_runs_after_what_was_ready_before(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours, called.append, "reader")
    loop.call_soon(called.append, "ready")
    turn(loop)
    assert called == ["ready", "reader"]
    loop.remove_reader(ours)


def test_a_pipe_can_be_watched(loop):
    reading, writing = os.pipe()
    called = []
    loop.add_reader(reading, called.append, "r")
    loop.add_writer(writing, called.append, "w")
    turn(loop)
    assert called == ["w"]
    loop.remove_writer(writing)
    os.close(writing)
    turn(loop)
    assert called == ["w", "r"]
    loop.remove_reader(reading)
    os.close(reading)


def test_a_descriptor_can_be_given_as_a_number_or_as_an_object(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours.fileno(), called.append, "number")
    loop.add_writer(ours, called.append, "object")
    turn(loop)
    assert called == ["number", "object"]
    assert loop.remove_reader(ours)
    assert loop.remove_writer(ours.fileno())


def test_a_failing_reader_is_reported_and_called_again(loop, pair):
    ours, theirs = pair
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    loop.add_reader(ours, int, "no number")
    theirs.send(b"x")
    turn(loop)
    turn(loop)
    assert [type(exc) for exc in reports] == [ValueError, ValueError]
    loop.remove_reader(ours)


# replacing and removing ----------------------------------------------------------------------


def test_a_second_reader_replaces_the_first(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours, called.append, "first")
    loop.add_reader(ours, called.append, "second")
    turn(loop)
    assert called == ["second"]
    loop.remove_reader(ours)


def test_a_second_writer_replaces_the_first(loop, pair):
    ours, _ = pair
    called = []
    loop.add_writer(ours, called.append, "first")
    loop.add_writer(ours, called.append, "second")
    turn(loop)
    assert called == ["second"]
    loop.remove_writer(ours)


def test_a_removed_reader_is_not_called(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours, called.append, "reader")
    assert loop.remove_reader(ours) is True
    turn(loop)
    assert called == []


def test_removing_says_whether_there_was_something_to_remove(loop, pair):
    ours, _ = pair
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is False
    loop.add_reader(ours, print)
    assert loop.remove_writer(ours) is False
    assert loop.remove_reader(ours) is True
    assert loop.remove_reader(ours) is False
    loop.add_writer(ours, print)
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is True


@pytest.mark.treadle_only
def test_a_descriptor_that_nobody_watches_any_more_has_no_owner(loop, pair):
    ours, _ = pair
    loop.add_reader(ours, print)
    loop.add_writer(ours, print)
    loop.remove_reader(ours)
    assert loop._driver.owner(ours.fileno()) is not None
    loop.remove_writer(ours)
    assert loop._driver.owner(ours.fileno()) is None


def test_a_reader_can_be_removed_and_added_again(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    for i in range(3):
        loop.add_reader(ours, called.append, i)
        turn(loop)
        loop.remove_reader(ours)
        turn(loop)
    assert called == [0, 1, 2]


def test_a_reader_can_remove_itself(loop, pair):
    ours, theirs = pair
    called = []

    def reader():
        called.append("reader")
        assert loop.remove_reader(ours)

    theirs.send(b"x")
    loop.add_reader(ours, reader)
    turn(loop)
    turn(loop)
    assert called == ["reader"]
    for i in range(5):
        loop.call_soon(called.append, i)
    turn(loop)
    assert called == ["reader", 0, 1, 2, 3, 4]


def test_a_reader_can_replace_itself(loop, pair):
    ours, theirs = pair
    called = []

    def first():
        called.append("first")
        loop.add_reader(ours, called.append, "second")

    theirs.send(b"x")
    loop.add_reader(ours, first)
    turn(loop)
    turn(loop)
    assert called == ["first", "second"]
    loop.remove_reader(ours)


def test_a_reader_can_remove_the_writer_of_the_same_turn(loop, pair):
    ours, theirs = pair
    called = []
    theirs.send(b"x")
    loop.add_reader(ours, loop.remove_writer, ours)
    loop.add_writer(ours, called.append, "writer")
    turn(loop)
    assert called == []
    loop.remove_reader(ours)


def test_whichever_of_two_readers_comes_first_can_remove_the_other(loop):
    called = []
    pairs = [socket.socketpair() for _ in range(2)]

    def reader(mine, other):
        called.append(mine)
        loop.remove_reader(other)

    (a, a_peer), (b, b_peer) = pairs
    loop.add_reader(a, reader, a, b)
    loop.add_reader(b, reader, b, a)
    a_peer.send(b"x")
    b_peer.send(b"x")
    turn(loop)
    assert len(called) == 1
    loop.remove_reader(called[0])
    for sock in (a, a_peer, b, b_peer):
        sock.close()


def test_a_reader_can_remove_and_close_its_descriptor(loop):
    ours, theirs = socket.socketpair()
    called = []

    def reader():
        called.append(ours.recv(10))
        loop.remove_reader(ours)
        ours.close()

    theirs.send(b"x")
    loop.add_reader(ours, reader)
    turn(loop)
    turn(loop)
    assert called == [b"x"]
    theirs.close()


def test_a_reader_can_remove_and_close_the_other_descriptor_of_the_same_turn(loop):
    called = []
    pairs = [socket.socketpair() for _ in range(2)]

    def reader(mine, other):
        called.append(mine)
        loop.remove_reader(other)
        other.close()

    (a, a_peer), (b, b_peer) = pairs
    loop.add_reader(a, reader, a, b)
    loop.add_reader(b, reader, b, a)
    a_peer.send(b"x")
    b_peer.send(b"x")
    turn(loop)
    assert len(called) == 1
    loop.remove_reader(called[0])
    for sock in (a, a_peer, b, b_peer):
        sock.close()


def test_a_watch_that_the_user_forgot_goes_with_the_loop(loop_factory, pair):
    ours, theirs = pair
    loop = loop_factory()
    loop.add_reader(ours, print)
    loop.close()
    theirs.send(b"x")
    assert ours.recv(10) == b"x"


# closed behind our back ----------------------------------------------------------------------


def test_a_descriptor_closed_behind_our_back_can_still_be_removed(loop):
    turn(loop)  # a first run may take descriptors for itself
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    loop.add_reader(number, print)
    ours.close()
    turn(loop)
    assert loop.remove_reader(number) is True
    assert loop.remove_reader(number) is False
    theirs.close()


@pytest.fixture
def reborn(loop):
    """Watch a socket for reading, close it, give its number to another; number and peer."""
    turn(loop)  # a first run may take descriptors for itself
    called = []
    with contextlib.ExitStack() as stack:
        old, old_peer = socket.socketpair()
        stack.enter_context(old_peer)
        number = old.fileno()
        loop.add_reader(number, called.append, "old")
        new, new_peer = socket.socketpair()
        stack.enter_context(new_peer)
        with new:
            old.close()
            os.dup2(new.fileno(), number)
        stack.callback(os.close, number)
        stack.callback(loop.remove_reader, number)
        yield number, new_peer, called


@pytest.mark.treadle_only
def test_a_number_that_came_up_again_belongs_to_its_new_owner(loop, reborn):
    number, peer, called = reborn
    loop.add_reader(number, called.append, "new")
    peer.send(b"x")
    turn(loop)
    assert called == ["new"]


@pytest.mark.treadle_only
def test_a_number_that_came_up_again_can_be_watched_in_the_other_direction(loop, reborn):
    number, _, called = reborn
    loop.add_writer(number, called.append, "writer")
    turn(loop)
    assert called == ["writer"]
    loop.remove_writer(number)


def test_a_duplicate_that_stays_open_is_not_heard_after_the_removal(loop, pair):
    ours, theirs = pair
    called = []
    copy = os.dup(ours.fileno())
    loop.add_reader(ours, called.append, "heard")
    loop.remove_reader(ours)
    theirs.send(b"x")
    turn(loop)
    assert called == []
    os.close(copy)


# what cannot be watched ----------------------------------------------------------------------


def test_a_regular_file_cannot_be_watched(loop):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        with pytest.raises(PermissionError):
            loop.add_writer(file, print)
        assert loop.remove_reader(file) is False


def test_a_closed_descriptor_cannot_be_watched(loop):
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(reading, print)
    assert loop.remove_reader(reading) is False


def test_a_number_that_is_no_descriptor_cannot_be_watched(loop):
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(1_000_000, print)
    assert loop.remove_reader(1_000_000) is False


@pytest.mark.treadle_only
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="the sanitizer needs more addresses than the test allows",
)
def test_the_highest_number_there_is_costs_no_memory(loop):
    done = run_python(
        "import resource, treadle\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))\n"
        f"loop = treadle.Loop(driver={loop.driver_name!r})\n"
        "try:\n"
        "    loop.add_reader(2**31 - 1, print)\n"
        "except OSError as exc:\n"
        "    print(exc.strerror)\n"
        "loop.close()"
    )
    assert done.stdout == "Bad file descriptor\n"


@pytest.mark.parametrize("what", [-1, -5, "word", None, object(), 1.5])
def test_what_is_no_descriptor_is_refused_as_asyncio_refuses_it(loop, what):
    with pytest.raises(ValueError, match="Invalid file"):
        loop.add_reader(what, print)
    with pytest.raises(ValueError, match="Invalid file"):
        loop.add_writer(what, print)
    with pytest.raises(ValueError, match="Invalid file"):
        loop.remove_reader(what)
    with pytest.raises(ValueError, match="Invalid file"):
        loop.remove_writer(what)


def test_a_closed_socket_is_refused(loop, pair):
    ours, _ = pair
    ours.close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        loop.add_reader(ours, print)


def test_a_closed_loop_watches_nothing(loop, pair):
    ours, _ = pair
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_reader(ours, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_writer(ours, print)
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is False


def test_a_transports_descriptor_cannot_be_watched(loop, pair):
    ours, _ = pair

    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        number = transport.get_extra_info("socket").fileno()
        for call in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                call(number, print)
        for call in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                call(number)
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_many_descriptors_are_watched_at_once(loop):
    called = []
    pairs = [socket.socketpair() for _ in range(100)]
    for i, (ours, _) in enumerate(pairs):
        loop.add_reader(ours, called.append, i)
    for _, theirs in pairs[::3]:
        theirs.send(b"x")
    turn(loop)
    assert sorted(called) == list(range(0, 100, 3))
    for ours, theirs in pairs:
        loop.remove_reader(ours)
        ours.close()
        theirs.close()


@pytest.mark.treadle_only
def test_a_callback_that_is_queued_is_not_called_when_its_number_is_a_transports_by_then(
    loop, pair
):
    ours, theirs = pair
    called = []
    transport = Connection()
    loop.add_reader(ours, called.append, "reader")
    loop.add_writer(ours, called.append, "writer")
    theirs.send(b"x")
    loop.call_soon(loop._driver.attach, transport, ours.fileno())
    loop._driver.wait(0)  # queues both
    turn(loop)
    assert called == []
    loop._driver.detach(transport)


@pytest.mark.treadle_only
def test_a_removal_makes_the_loop_forget_a_socket_that_calls_have_used(loop, pair):
    ours, theirs = pair
    theirs.send(b"x")
    loop.run_until_complete(loop.sock_recv(ours, 1))
    task = loop.create_task(loop.sock_recv(ours, 1))
    turn(loop)
    assert loop.remove_reader(ours) is False
    assert loop._driver.owner(ours.fileno()) is not None, "a call still waits"
    theirs.send(b"y")
    assert loop.run_until_complete(task) == b"y"
    assert loop.remove_writer(ours) is False
    assert loop._driver.owner(ours.fileno()) is None


@pytest.mark.treadle_only
def test_a_callback_stays_with_its_number_when_a_socket_of_calls_has_lost_it(loop):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    called = []
    task = loop.create_task(loop.sock_recv(ours, 1))
    turn(loop)
    loop.add_reader(ours.fileno(), called.append, "reader")
    other, peer = socket.socketpair()
    number = ours.detach()
    os.dup2(other.fileno(), number)
    with other, peer, theirs, socket.socket(fileno=number) as heir:
        heir.setblocking(False)
        receiving = loop.create_task(loop.sock_recv(heir, 1))
        turn(loop)
        peer.send(b"x")
        assert loop.run_until_complete(receiving) == b"x"
        assert called
        with pytest.raises(OSError, match="Bad file descriptor"):
            loop.run_until_complete(task)
        assert loop.remove_reader(number) is True
