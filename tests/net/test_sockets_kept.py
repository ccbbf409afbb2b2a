"""Sockets stay registered between ``sock_*`` calls, whatever their user does behind our back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import weakref

import pytest

import treadle
from tests.net.wire import Recorder, listening, settle

pytestmark = pytest.mark.every_driver

RECEIVE = socket.socket.recv
BAD = "Bad file descriptor"


@pytest.fixture
def pair(socket_pair):
    """Two Unix sockets that are connected."""
    return socket_pair


@pytest.fixture
def line():
    """Two TCP sockets that are connected and do not block."""
    with listening() as listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with theirs:
            yield ours, theirs


@pytest.fixture
def received(monkeypatch):
    """What ``socket.recv`` returned, call by call; an exception stands for itself."""
    found = []

    def recv(sock, *args):
        try:
            found.append(RECEIVE(sock, *args))
        except OSError as exc:
            found.append(type(exc))
            raise
        return found[-1]

    monkeypatch.setattr(socket.socket, "recv", recv, raising=False)
    return found


async def started(awaitable):
    """A task that has begun to wait."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def fill(sock):
    """Write until the kernel takes no more."""
    with contextlib.suppress(BlockingIOError):
        while sock.send(bytes(65536)):
            pass


@contextlib.contextmanager
def reborn(number):
    """Two connected sockets, the first of which has just got `number`, which was closed."""
    spare = []
    try:
        while True:
            ours, theirs = socket.socketpair()
            spare += [ours, theirs]
            if number in (ours.fileno(), theirs.fileno()):
                break
        for sock in (ours, theirs):
            sock.setblocking(False)
        yield (ours, theirs) if ours.fileno() == number else (theirs, ours)
    finally:
        for sock in spare:
            sock.close()


def watch_of(loop, sock):
    return loop._driver.owner(sock.fileno())


class Polls(treadle.Hooks):
    """Counts how often the driver is asked."""

    count = 0

    def poll_begins(self, timeout_ns):
        self.count += 1


# what is kept ---------------------------------------------------------------------------------


@pytest.mark.treadle_only
async def test_a_socket_is_registered_once_for_all_its_calls(loop, line):
    ours, theirs = line
    seen = set()
    for _ in range(3):
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"x")
        await task
        seen.add((watch_of(loop, ours), watch_of(loop, ours).generation))
    assert len(seen) == 1


@pytest.mark.treadle_only
async def test_a_driver_that_tells_states_has_no_interest_when_nobody_waits(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"x")
    await task
    watch = watch_of(loop, ours)
    assert watch.edge or watch.interest == 0
    await cancelled(await started(loop.sock_recv(ours, 100)))
    assert watch.edge or watch.interest == 0
    assert watch.readers == []


@pytest.mark.treadle_only
async def test_a_tcp_message_is_received_by_a_single_call(loop, line, received):
    ours, theirs = line
    for number in range(5):
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"%d" % number)
        assert await task == b"%d" % number
    assert received == [BlockingIOError, b"0", b"1", b"2", b"3", b"4"]


async def test_what_is_left_of_a_message_is_received_at_once(loop, line):
    ours, theirs = line
    task = await started(loop.sock_recv(ours, 4))
    theirs.send(b"hello world!")
    parts = [await task, await loop.sock_recv(ours, 4), await loop.sock_recv(ours, 4)]
    assert parts == [b"hell", b"o wo", b"rld!"]
    task = await started(loop.sock_recv(ours, 4))
    assert not task.done()
    theirs.send(b"more")
    assert await task == b"more"


async def test_the_end_that_came_with_the_last_bytes_is_noticed(loop, line):
    ours, theirs = line
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"last")
    theirs.close()
    assert await task == b"last"
    assert await loop.sock_recv(ours, 100) == b""
    assert await loop.sock_recv(ours, 100) == b""


async def test_the_end_that_came_before_the_first_call_is_noticed(loop, line):
    ours, theirs = line
    await cancelled(await started(loop.sock_recv(ours, 100)))
    theirs.send(b"last")
    theirs.shutdown(socket.SHUT_WR)
    await settle(loop)
    assert await loop.sock_recv(ours, 100) == b"last"
    assert await loop.sock_recv(ours, 100) == b""


async def test_bytes_behind_an_urgent_one_are_received(loop, line):
    """A receive stops where the urgent byte was: a short count is not the last there is."""
    ours, theirs = line
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"before")
    theirs.send(b"!", socket.MSG_OOB)
    theirs.send(b"behind")
    data = await task
    while len(data) < 12:
        data += await loop.sock_recv(ours, 100)
    assert data == b"beforebehind"


async def test_bytes_behind_a_descriptor_are_received(loop, pair):
    """A receive stops where a descriptor came along: a short count is not the last there is."""
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    socket.send_fds(theirs, [b"before"], [theirs.fileno()])
    theirs.send(b"behind")
    data = await task
    while len(data) < 12:
        data += await loop.sock_recv(ours, 100)
    assert data == b"beforebehind"


async def test_what_came_while_nobody_received_is_received_later(loop, line):
    ours, theirs = line
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"1")
    await task
    theirs.send(b"2")
    await settle(loop)
    theirs.send(b"3")
    await settle(loop)
    assert await loop.sock_recv(ours, 100) == b"23"


async def test_a_failed_connection_fails_each_call(loop, line):
    ours, theirs = line
    fill(ours)
    receiving = await started(loop.sock_recv(ours, 100))
    sending = await started(loop.sock_sendall(ours, b"x"))
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    results = await asyncio.gather(receiving, sending, return_exceptions=True)
    assert any(isinstance(result, ConnectionError) for result in results)
    with pytest.raises(ConnectionError):
        await loop.sock_sendall(ours, b"x")


async def test_arguments_are_checked_also_while_nothing_is_there(loop, line):
    ours, theirs = line
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"x")
    await task
    with pytest.raises(TypeError):
        await loop.sock_recv(ours, "word")
    with pytest.raises(ValueError, match="negative"):
        await loop.sock_recv(ours, -1)
    assert await loop.sock_recv(ours, 0) == b""
    with pytest.raises(TypeError):
        await loop.sock_recv_into(ours, "word")
    with pytest.raises((TypeError, BufferError)):
        await loop.sock_recv_into(ours, b"read-only")
    assert await loop.sock_recv_into(ours, bytearray()) == 0
    fill(ours)
    await cancelled(await started(loop.sock_sendall(ours, b"x")))
    with pytest.raises(TypeError):
        await loop.sock_sendall(ours, "word")
    await loop.sock_sendall(ours, b"")


async def test_a_short_send_waits_for_the_kernel(loop, line):
    ours, theirs = line
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = os.urandom(3_000_000)
    for _ in range(2):
        task = await started(loop.sock_sendall(ours, data))
        got = bytearray()
        while len(got) < len(data):
            got += await loop.sock_recv(theirs, 1 << 20)
        await task
        assert got == data


# several calls at once ------------------------------------------------------------------------


@pytest.mark.treadle_only  # in asyncio the later call replaces the earlier, which waits for ever
async def test_all_that_receive_from_one_socket_are_served(loop, line):
    ours, theirs = line
    tasks = [await started(loop.sock_recv(ours, 1)) for _ in range(5)]
    theirs.send(b"ab")
    await settle(loop)
    assert [task.result() for task in tasks if task.done()] == [b"a", b"b"]
    theirs.send(b"cde")
    assert sorted(await asyncio.gather(*tasks)) == [b"a", b"b", b"c", b"d", b"e"]


@pytest.mark.treadle_only
async def test_all_that_accept_from_one_listener_are_served(loop):
    with listening() as listener, contextlib.ExitStack() as stack:
        listener.setblocking(False)
        tasks = [await started(loop.sock_accept(listener)) for _ in range(3)]
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname())) for _ in tasks
        ]
        accepted = [address for conn, address in await asyncio.gather(*tasks) if not conn.close()]
        assert sorted(accepted) == sorted(client.getsockname() for client in clients)


@pytest.mark.treadle_only
async def test_a_receiver_that_was_woken_and_then_cancelled_took_nothing(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"kept")
    loop._driver.wait(0)
    assert watch_of(loop, ours).readers == [], "it has been woken"
    await cancelled(task)
    assert await loop.sock_recv(ours, 100) == b"kept"


@pytest.mark.treadle_only
async def test_a_callback_and_a_call_on_one_descriptor_both_hear(loop, pair):
    ours, theirs = pair
    called = []
    task = await started(loop.sock_recv(ours, 100))
    loop.add_reader(ours, called.append, "called")
    theirs.send(b"x")
    assert await task == b"x"
    assert called
    assert loop.remove_reader(ours) is True
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"y")
    assert await task == b"y"


@pytest.mark.treadle_only
async def test_a_callback_that_is_removed_leaves_the_calls_waiting(loop, pair):
    ours, theirs = pair
    loop.add_reader(ours, int)
    fill(ours)
    receiving = await started(loop.sock_recv(ours, 100))
    sending = await started(loop.sock_sendall(ours, b"x"))
    assert loop.remove_reader(ours) is True
    await settle(loop)
    theirs.send(b"y")
    assert await receiving == b"y"
    assert not sending.done()
    while not sending.done():
        with contextlib.suppress(BlockingIOError):
            theirs.recv(1 << 20)
        await asyncio.sleep(0)


@pytest.mark.treadle_only
async def test_a_callback_is_called_as_long_as_there_is_something_to_read(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 1))
    theirs.send(b"xy")
    await task
    called = []
    loop.add_reader(ours, called.append, 1)
    await settle(loop)
    assert len(called) >= 2
    loop.remove_reader(ours)
    assert await loop.sock_recv(ours, 100) == b"y"


def test_a_call_goes_on_in_the_next_run_of_the_loop(loop, pair):
    ours, theirs = pair
    task = loop.create_task(loop.sock_recv(ours, 100))
    loop.call_soon(loop.stop)
    loop.run_forever()
    theirs.send(b"x")
    assert loop.run_until_complete(task) == b"x"


# closed behind our back -----------------------------------------------------------------------


@pytest.mark.treadle_only  # asyncio's waits for ever, or receives what is the other's
@pytest.mark.parametrize("heir", ["call", "callback", "transport", "listener"])
async def test_a_call_on_a_closed_socket_fails_when_its_number_is_used_again(loop, heir):
    first, other = socket.socketpair()
    first.setblocking(False)
    with other:
        fill(first)
        receiving = await started(loop.sock_recv(first, 100))
        sending = await started(loop.sock_sendall(first, b"x"))
        number = first.fileno()
        first.close()
        with reborn(number) as (ours, theirs):
            task = asyncio.ensure_future(inherit(loop, heir, ours, theirs))
            for waiting in (receiving, sending):
                with pytest.raises(OSError, match=BAD):
                    await waiting
            await task


async def inherit(loop, heir, ours, theirs):
    """Use the number in one way or another, and see that it works."""
    if heir == "call":
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"mine")
        assert await task == b"mine"
    elif heir == "callback":
        called = asyncio.Event()
        loop.add_reader(ours.fileno(), called.set)
        theirs.send(b"mine")
        await called.wait()
        loop.remove_reader(ours.fileno())
    elif heir == "transport":
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        theirs.send(b"mine")
        assert await protocol.gets(4) == b"mine"
        transport.close()
        await protocol.hears("connection_lost")
    else:
        number = ours.detach()
        with listening() as listener:
            os.dup2(listener.fileno(), number)
        door = socket.socket(fileno=number)
        server = await loop.create_server(Recorder, sock=door)
        server.close()
        await settle(loop)


async def test_a_socket_that_got_a_known_number_is_not_taken_for_the_former(loop):
    """The former one was known to have nothing to read and to take nothing."""
    first, other = socket.socketpair()
    first.setblocking(False)
    fill(first)
    for call in (loop.sock_recv(first, 100), loop.sock_sendall(first, b"x")):
        await cancelled(await started(call))
    number = first.fileno()
    first.close()
    other.close()
    with reborn(number) as (ours, theirs):
        theirs.send(b"mine")
        assert await loop.sock_recv(ours, 100) == b"mine"
        await loop.sock_sendall(ours, b"yours")
        assert theirs.recv(100) == b"yours"
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"later")
        assert await task == b"later"


@pytest.mark.treadle_only
async def test_a_socket_at_the_same_place_in_memory_is_not_taken_for_the_former(loop):
    for _ in range(50):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"x")
        assert await task == b"x"
        await cancelled(await started(loop.sock_recv(ours, 100)))
        ours.close()
        theirs.close()
        del ours, theirs, task


async def test_the_loop_does_not_keep_a_socket_open(loop):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        await cancelled(await started(loop.sock_recv(ours, 100)))
        await asyncio.sleep(0)
        number = ours.fileno()
        gone = weakref.ref(ours)
        ours.close()
        del ours
        gc.collect()
        assert gone() is None
        with pytest.raises(OSError, match=BAD):
            os.fstat(number)


async def test_a_detached_socket_can_be_used_through_another_object(loop, pair):
    ours, theirs = pair
    await cancelled(await started(loop.sock_recv(ours, 100)))
    with socket.socket(fileno=ours.detach()) as again:
        task = await started(loop.sock_recv(again, 100))
        theirs.send(b"x")
        assert await task == b"x"


@pytest.mark.treadle_only
async def test_two_objects_of_one_descriptor_can_wait_together(loop, pair):
    ours, theirs = pair
    view = socket.socket(fileno=ours.fileno())
    try:
        first = await started(loop.sock_recv(ours, 1))
        second = await started(loop.sock_recv(view, 1))
        polls = Polls()
        loop.add_hooks(polls)
        await settle(loop)
        loop.remove_hooks(polls)
        assert polls.count < 20, "they wake each other"
        theirs.send(b"ab")
        assert sorted(await asyncio.gather(first, second)) == [b"a", b"b"]
    finally:
        view.detach()


@pytest.mark.treadle_only
async def test_a_call_outlives_another_object_of_its_descriptor(loop, pair):
    ours, theirs = pair
    view = socket.socket(fileno=ours.fileno())
    await cancelled(await started(loop.sock_recv(view, 1)))
    first = await started(loop.sock_recv(ours, 1))
    view.detach()
    second = await started(loop.sock_recv(ours, 1))
    theirs.send(b"ab")
    assert sorted(await asyncio.gather(first, second)) == [b"a", b"b"]


@pytest.mark.treadle_only
async def test_a_socket_that_stays_open_elsewhere_does_not_keep_the_loop_busy(loop, line):
    ours, theirs = line
    copy = os.dup(ours.fileno())
    try:
        task = await started(loop.sock_recv(ours, 100))
        theirs.send(b"x")
        await task
        await cancelled(await started(loop.sock_recv(ours, 100)))
        ours.close()
        theirs.send(b"for the other one")
        polls = Polls()
        loop.add_hooks(polls)
        await asyncio.sleep(0.02)
        loop.remove_hooks(polls)
        assert polls.count < 20
    finally:
        os.close(copy)


@pytest.mark.treadle_only
async def test_a_socket_handed_to_a_transport_leaves_the_calls_with_an_error(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    with pytest.raises(RuntimeError, match="is used by transport"):
        await task
    theirs.send(b"x")
    assert await protocol.gets(1) == b"x"
    transport.close()
    await protocol.hears("connection_lost")


@pytest.mark.treadle_only  # asyncio refuses only when the call would have to wait
async def test_a_transports_bytes_are_not_taken_by_a_call(loop, dial):
    transport, protocol, peer = await dial()
    transport.pause_reading()
    await loop.sock_sendall(peer, b"for the protocol")
    view = socket.socket(fileno=transport.get_extra_info("socket").fileno())
    try:
        view.setblocking(False)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(view, 100)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_sendall(view, b"x")
    finally:
        view.detach()
    transport.resume_reading()
    assert await protocol.gets(16) == b"for the protocol"


@pytest.mark.treadle_only
async def test_a_descriptor_that_was_put_in_place_of_another_is_heard_after_a_removal(loop, pair):
    """dup2 leaves object and number as they are; `remove_reader` makes the loop forget."""
    ours, _ = pair
    await cancelled(await started(loop.sock_recv(ours, 100)))
    other, peer = socket.socketpair()
    with other, peer:
        os.dup2(other.fileno(), ours.fileno())
        os.set_blocking(ours.fileno(), False)
        assert loop.remove_reader(ours) is False
        assert watch_of(loop, ours) is None
        task = await started(loop.sock_recv(ours, 100))
        peer.send(b"x")
        assert await task == b"x"


# objects that are no plain sockets ------------------------------------------------------------


class Hesitating(socket.socket):
    """Says a few times that it would block although it need not."""

    times = 3
    calls = 0

    def recv(self, *args):
        self.calls += 1
        if self.calls % (self.times + 1):
            raise BlockingIOError
        return super().recv(*args)

    def send(self, *args):
        self.calls += 1
        if self.calls % (self.times + 1):
            raise BlockingIOError
        return super().send(*args)


async def test_methods_of_a_subclass_are_called_until_they_do_not_block(loop, pair):
    ours, theirs = pair
    with Hesitating(fileno=ours.detach()) as odd:
        odd.setblocking(False)
        for number in range(3):
            theirs.send(b"%d" % number)
            assert await loop.sock_recv(odd, 100) == b"%d" % number
        await loop.sock_sendall(odd, b"sent")
        assert theirs.recv(100) == b"sent"
        assert odd.calls == 4 * 4


async def test_an_interrupted_call_is_made_again(loop, pair):
    ours, theirs = pair
    interruptions = [InterruptedError] * 3

    class Interrupted(socket.socket):
        def recv(self, *args):
            if interruptions:
                raise interruptions.pop()
            return super().recv(*args)

    with Interrupted(fileno=ours.detach()) as odd:
        odd.setblocking(False)
        theirs.send(b"x")
        assert await loop.sock_recv(odd, 100) == b"x"
        assert not interruptions


async def test_an_object_that_nothing_can_refer_to_weakly_is_served(loop, pair):
    ours, theirs = pair
    bare = socket.SocketType(fileno=ours.detach())
    bare.setblocking(False)
    try:
        with pytest.raises(TypeError):
            weakref.ref(bare)
        for _ in range(3):
            task = await started(loop.sock_recv(bare, 100))
            theirs.send(b"x")
            assert await task == b"x"
    finally:
        bare.close()


async def test_a_stand_in_needs_a_descriptor_only_to_wait(loop):
    class StandIn:
        def recv(self, size):
            return b"x" * size

        def send(self, data):
            return len(data)

    assert await loop.sock_recv(StandIn(), 3) == b"xxx"
    await loop.sock_sendall(StandIn(), b"anything")
