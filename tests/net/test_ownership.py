"""A descriptor has one owner: it is closed once, and its number tells nothing to the next owner."""

from __future__ import annotations

import errno
import gc
import os
import socket
import warnings

import pytest

from tests.net.wire import Recorder, open_descriptors, reset, settle

pytestmark = pytest.mark.every_driver


@pytest.fixture
def closed(monkeypatch):
    """The numbers that were given to os.close; a number that was not open is an error."""
    real = os.close
    found = []

    def close(fd):
        found.append(fd)
        try:
            real(fd)
        except OSError as exc:
            if exc.errno == errno.EBADF:
                twice.append(fd)
            raise

    twice = []
    monkeypatch.setattr(os, "close", close)
    yield found
    assert twice == [], "closed although nobody had it open"


def number_of(transport):
    return transport.get_extra_info("socket").fileno()


def sockets_with(fd):
    """A pair of sockets of which the first has the number `fd`, which has to be free."""
    fillers = []
    try:
        while True:
            sock = socket.socket()
            if sock.fileno() == fd:
                break
            assert sock.fileno() < fd, "the number is not free"
            fillers.append(sock)
        ours, theirs = socket.socketpair()
        os.dup2(ours.fileno(), fd, inheritable=False)
        ours.close()
        sock.detach()
        return socket.socket(fileno=fd), theirs
    finally:
        for filler in fillers:
            filler.close()


def carries(ours, theirs):
    """Say whether what is sent into one of two sockets comes out of the other."""
    theirs.send(b"still mine")
    return ours.recv(100) == b"still mine"


@pytest.mark.treadle_only  # asyncio closes through its socket objects
@pytest.mark.parametrize("ending", ["close", "abort", "eof", "reset"])
@pytest.mark.parametrize("looked", [False, True])
async def test_an_accepted_descriptor_is_closed_exactly_once(loop, closed, ending, looked):
    protocol = Recorder()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    before = open_descriptors()
    await protocol.hears("connection_made")
    (fd,) = set(open_descriptors()) - set(before)
    if looked:
        assert number_of(protocol.transport) == fd
    if ending == "eof":
        peer.close()
    elif ending == "reset":
        reset(peer)
    else:
        getattr(protocol.transport, ending)()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert closed == [fd]
    protocol.transport.abort()
    protocol.transport.close()
    await settle(loop)
    gc.collect()
    assert closed == [fd]
    peer.close()
    server.close()


async def test_the_view_of_a_closed_connection_is_of_nothing(loop, both_sides):
    transport, protocol, _ = await both_sides()
    view = transport.get_extra_info("socket")
    fd = view.fileno()
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    ours, theirs = sockets_with(fd)
    with ours, theirs:
        assert view.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            view.shutdown(socket.SHUT_RDWR)
        del view
        gc.collect()
        assert carries(ours, theirs)


async def test_a_number_that_was_freed_through_the_view_is_not_closed_again(loop, both_sides):
    """Nobody should close what is behind a TransportSocket; another must not pay for it."""
    transport, protocol, _ = await both_sides()
    fd = number_of(transport)
    transport.get_extra_info("socket")._sock.close()
    if fd in open_descriptors():
        transport.abort()
        await protocol.hears("connection_lost")
        return  # kept open for the transport: as good
    ours, theirs = sockets_with(fd)
    with ours, theirs:
        transport.abort()
        await protocol.hears("connection_lost")
        await settle(loop)
        assert carries(ours, theirs)


async def test_a_number_that_its_user_took_back_is_not_closed(loop, dial):
    ours, theirs = socket.socketpair()
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    fd = ours.detach()
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    with socket.socket(fileno=fd) as again, theirs:
        again.setblocking(True)
        assert carries(again, theirs)


async def test_an_event_of_a_number_does_not_reach_its_next_watcher(loop, both_sides):
    """Two are ready in one poll; hearing of the first, the user gives the second number away."""
    told = []

    class Swaps(Recorder):
        def data_received(self, data):
            super().data_received(data)
            fd = watched.fileno()
            loop.remove_reader(fd)
            watched.close()
            pair.extend(sockets_with(fd))
            loop.add_reader(fd, told.append, "the next watcher")

    pair = []
    line = await both_sides(Swaps)
    watched, other = socket.socketpair()
    loop.add_reader(watched, told.append, "the first watcher")
    await settle(loop)
    with other:
        line.peer.send(b"first")
        other.send(b"second")
        await settle(loop)
        assert told == []
        pair[1].send(b"now")
        await settle(loop, 1)
        assert set(told) == {"the next watcher"}
        loop.remove_reader(pair[0])
        for sock in pair:
            sock.close()


@pytest.mark.treadle_only  # asyncio keeps the events of the number for its next owner
@pytest.mark.parametrize("turns", range(4))
async def test_a_watch_whose_socket_was_closed_does_not_reach_a_connection(loop, dial, turns):
    """The user forgot remove_reader; the number becomes a connection's."""
    told = []
    watched, other = socket.socketpair()
    fd = watched.fileno()
    loop.add_reader(watched, told.append, "the watcher")
    other.send(b"x")
    for _ in range(turns):
        await settle(loop, 1)
    watched.close()
    other.close()
    ours, theirs = sockets_with(fd)
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    told.clear()
    with theirs:
        theirs.send(b"for the protocol")
        assert await protocol.gets(16) == b"for the protocol"
        transport.pause_reading()
        theirs.send(b".")
        await settle(loop)
        assert told == []
        assert protocol.data == b"for the protocol"
        transport.abort()
        await protocol.hears("connection_lost")


async def test_a_connection_aborted_by_another_hears_nothing_more_in_that_turn(loop, both_sides):
    class Killer(Recorder):
        def data_received(self, data):
            super().data_received(data)
            for line in lines:
                if line.protocol is not self:
                    line.transport.abort()

    lines = [await both_sides(Killer) for _ in range(10)]
    for line in lines:
        line.peer.send(b"x")
    await settle(loop)
    heard = [line.protocol.calls.count("data_received") for line in lines]
    assert sorted(heard) == [0] * 9 + [1]
    for line in lines:
        line.transport.abort()
    for line in lines:
        await line.protocol.hears("connection_lost")


@pytest.mark.treadle_only
@pytest.mark.parametrize("closing", [False, True])
def test_a_loop_dropped_with_a_viewed_connection_closes_its_descriptor_once(
    no_descriptor_left, loop_factory, closed, closing
):
    kept = [loop_factory(), Recorder()]

    async def accept_one():
        server = await kept[0].create_server(lambda: kept[1], "127.0.0.1", 0)
        peer.connect(server.sockets[0].getsockname())
        await kept[1].hears("connection_made")
        number_of(kept[1].transport)
        server.close()

    with socket.socket() as peer, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        kept[0].run_until_complete(accept_one())
        if closing:
            kept[0].close()
        kept.clear()
        gc.collect()
        peer.settimeout(0)
        assert peer.recv(1) == b""


async def test_numbers_used_again_at_once_carry_only_their_own_bytes(loop, both_sides):
    """Each line gets the number of the one before, whose last bytes nobody has read."""
    numbers = set()
    for turn in range(50):
        word = b"%d" % turn
        transport, protocol, peer = await both_sides()
        numbers.add(number_of(transport))
        peer.send(word)
        assert await protocol.gets(len(word)) == word
        transport.pause_reading()
        peer.send(b"nobody reads this")
        await settle(loop, 1)
        transport.abort()
        await protocol.hears("connection_lost")
        await settle(loop, 1)
        peer.close()
        assert protocol.data == word
    assert len(numbers) < 50
