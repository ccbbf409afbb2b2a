"""Connecting: addresses, names, errors, and what a cancellation leaves behind (nothing)."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import pytest

from tests.net.wire import Filler, Recorder, listening, open_descriptors, settle

pytestmark = pytest.mark.every_driver

LOCAL = "127.0.0.1"
STREAM = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
since_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has it since 3.12")


def info(*address):
    """The address info of an IPv4 address."""
    return (*STREAM, address)


def refusing():
    """An address where nobody listens: bound, so that nobody else can."""
    sock = socket.socket()
    sock.bind((LOCAL, 0))
    return sock


class SilentAddress:
    """An address where a connection attempt neither succeeds nor fails: the backlog is full."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind((LOCAL, 0))
        self.listener.listen(0)
        self.fillers = []

    def __enter__(self):
        address = self.listener.getsockname()
        while True:
            filler = socket.socket()
            self.fillers.append(filler)
            filler.settimeout(0.05)
            try:
                filler.connect(address)
            except TimeoutError:
                return address  # this SYN was dropped, and so will be the next

    def __exit__(self, *_):
        for sock in (*self.fillers, self.listener):
            sock.close()


@pytest.fixture
def silent():
    """An address that never answers; its socket.close() is the end of all who tried."""
    with SilentAddress() as address:
        yield address


@pytest.fixture
def lookup(loop, monkeypatch):
    """Have the loop find given addresses behind any name; `lookup.asked` says what was asked."""

    def have(*infos):
        async def getaddrinfo(host, port, **_):
            asked.append((host, port))
            return list(infos)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)

    asked = have.asked = []
    return have


async def hang_up(transport, protocol):
    transport.abort()
    await protocol.hears("connection_lost")


# where to -------------------------------------------------------------------------------------


async def test_a_connection_is_made_to_an_address(loop):
    with listening() as listener:
        transport, protocol = await loop.create_connection(Recorder, *listener.getsockname())
        peer, address = listener.accept()
    with peer:
        assert transport.get_extra_info("sockname") == address
        peer.send(b"x")
        assert await protocol.gets(1) == b"x"
        await hang_up(transport, protocol)


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1"])
@pytest.mark.parametrize("kind", [int, str])
async def test_a_literal_address_is_not_looked_up(loop, monkeypatch, host, kind):
    def fail(*args, **keywords):
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with listening() as listener:
        port = kind(listener.getsockname()[1])
        transport, protocol = await loop.create_connection(Recorder, host, port)
        await hang_up(transport, protocol)


async def test_the_name_of_this_host_is_looked_up(loop):
    with listening() as listener:
        port = listener.getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, "localhost", port)
        assert transport.get_extra_info("peername") == (LOCAL, port)
        await hang_up(transport, protocol)


async def test_a_name_that_nobody_knows_is_an_error_of_the_resolver(loop):
    with pytest.raises(socket.gaierror):
        await loop.create_connection(Recorder, "name.invalid", 80)


async def test_a_name_without_addresses_is_an_error(loop, lookup):
    lookup()
    with pytest.raises(OSError, match=r"getaddrinfo\(\) returned empty list"):
        await loop.create_connection(Recorder, "nowhere", 80)
    assert lookup.asked == [("nowhere", 80)]


async def test_only_addresses_of_the_family_asked_for_are_tried(loop):
    with pytest.raises(OSError, match=r"family|Address"):
        await loop.create_connection(Recorder, "::1", 80, family=socket.AF_INET)


async def test_the_local_address_can_be_chosen(loop):
    with listening() as listener, refusing() as free:
        local = ("127.0.0.3", free.getsockname()[1])
        transport, protocol = await loop.create_connection(
            Recorder, *listener.getsockname(), local_addr=local
        )
        assert transport.get_extra_info("sockname") == local
        await hang_up(transport, protocol)


async def test_a_local_address_that_is_taken_is_an_error_that_names_it(loop):
    with listening() as listener, listening() as taken:
        with pytest.raises(OSError, match=str(taken.getsockname()[1])) as failure:
            await loop.create_connection(
                Recorder, *listener.getsockname(), local_addr=taken.getsockname()
            )
    assert "error while attempting to bind on address" in str(failure.value)


async def test_a_local_address_of_another_family_does_not_match(loop):
    with listening() as listener:
        with pytest.raises(OSError, match="no matching local address with family="):
            await loop.create_connection(Recorder, *listener.getsockname(), local_addr=("::1", 0))


# a socket of one's own ------------------------------------------------------------------------


async def test_a_connected_socket_can_be_given(loop):
    ours, theirs = socket.socketpair()
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    assert transport.get_extra_info("socket").fileno() == ours.fileno()
    assert ours.gettimeout() == 0
    with theirs:
        theirs.send(b"x")
        assert await protocol.gets(1) == b"x"
    await protocol.hears("connection_lost")
    await settle(loop)
    assert ours.fileno() == -1


async def test_an_accepted_socket_can_be_given(loop):
    with listening() as listener, socket.socket() as peer:
        peer.connect(listener.getsockname())
        sock, address = listener.accept()
        transport, protocol = await loop.connect_accepted_socket(Filler, sock)
        assert transport.get_extra_info("peername") == address
        peer.send(b"x")
        assert await protocol.gets(1) == b"x"
        await hang_up(transport, protocol)


async def test_a_socket_that_does_not_stream_is_refused(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.create_connection(Recorder, sock=sock)
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.connect_accepted_socket(Recorder, sock)


async def test_wrong_arguments_are_asyncios_errors(loop):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="can not be specified at the same time"):
            await loop.create_connection(Recorder, LOCAL, 80, sock=sock)
        with pytest.raises(ValueError, match="can not be specified at the same time"):
            await loop.create_connection(Recorder, port=80, sock=sock)
        with pytest.raises(ValueError, match="host and port was not specified and no sock"):
            await loop.create_connection(Recorder)
        with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
            await loop.create_connection(Recorder, LOCAL, 80, server_hostname="x")
        with pytest.raises(ValueError, match="server_hostname when using ssl without a host"):
            await loop.create_connection(Recorder, sock=sock, ssl=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful"):
            await loop.create_connection(Recorder, LOCAL, 80, ssl_handshake_timeout=1)
        with pytest.raises(ValueError, match="ssl_shutdown_timeout is only meaningful"):
            await loop.create_connection(Recorder, LOCAL, 80, ssl_shutdown_timeout=1)
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful"):
            await loop.connect_accepted_socket(Recorder, sock, ssl_handshake_timeout=1)
        with pytest.raises(ValueError, match="ssl_shutdown_timeout is only meaningful"):
            await loop.connect_accepted_socket(Recorder, sock, ssl_shutdown_timeout=1)


async def test_a_port_out_of_range_is_an_error(loop):
    with pytest.raises((OverflowError, OSError)):
        await loop.create_connection(Recorder, LOCAL, 70000)


async def test_closing_the_given_socket_behind_the_transport_disturbs_nobody(loop):
    """The number is not free until the transport has finished with it."""
    pairs = [socket.socketpair() for _ in range(8)]
    lines = [await loop.create_connection(Recorder, sock=ours) for ours, _ in pairs]
    pairs[3][0].close()
    taken = [socket.socketpair() for _ in range(4)]  # whoever would get the number
    if isinstance(loop, asyncio.SelectorEventLoop):
        await hang_up(*lines[3])  # asyncio gives the number away
    else:
        lines += [await loop.create_connection(Recorder, sock=ours) for ours, _ in taken]
        pairs += taken
    for number, (_, theirs) in enumerate(pairs):
        if not lines[number][0].is_closing():
            theirs.send(b"%d" % number)
            assert await lines[number][1].gets(len(str(number))) == b"%d" % number
    for number, line in enumerate(lines):
        if not line[0].is_closing():
            await hang_up(*line)
        pairs[number][1].close()
    for ours, theirs in taken:
        ours.close()
        theirs.close()


@pytest.mark.treadle_only
async def test_a_socket_that_has_a_transport_is_refused_and_the_first_goes_on(loop):
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        with pytest.raises(ValueError, match="already in use"):
            await loop.create_connection(Recorder, sock=ours)
        theirs.send(b"x")
        assert await protocol.gets(1) == b"x"
        await hang_up(transport, protocol)
        await settle(loop)
        assert ours.fileno() == -1
        assert theirs.recv(1) == b""


async def test_a_watched_socket_can_be_given_away(loop):
    ours, theirs = socket.socketpair()
    with theirs:
        loop.add_reader(ours, print)
        loop.remove_reader(ours)
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        theirs.send(b"x")
        assert await protocol.gets(1) == b"x"
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(ours.fileno(), print)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(ours.fileno())
        await hang_up(transport, protocol)


# failures -------------------------------------------------------------------------------------


async def test_a_refused_connection_is_an_error_that_names_the_address(loop):
    with refusing() as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConnectionRefusedError, match=str(port)):
            await loop.create_connection(Recorder, LOCAL, port)


async def test_the_next_address_is_tried_when_one_fails(loop, lookup):
    with refusing() as refused, listening() as listener:
        lookup(info(*refused.getsockname()), info(*listener.getsockname()))
        transport, protocol = await loop.create_connection(Recorder, "some.name", 80)
        assert transport.get_extra_info("peername") == listener.getsockname()
        await hang_up(transport, protocol)


async def test_different_failures_are_told_together(loop, lookup):
    with refusing() as first, refusing() as second:
        ports = first.getsockname()[1], second.getsockname()[1]
        lookup(info(LOCAL, ports[0]), info(LOCAL, ports[1]))
        with pytest.raises(OSError, match="Multiple exceptions: ") as failure:
            await loop.create_connection(Recorder, "some.name", 80)
    assert all(str(port) in str(failure.value) for port in ports)


async def test_equal_failures_are_told_once(loop, lookup):
    with refusing() as sock:
        lookup(info(*sock.getsockname()), info(*sock.getsockname()))
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "some.name", 80)


@since_312
async def test_all_failures_are_a_group_where_that_is_asked_for(loop, lookup):
    with refusing() as first, refusing() as second:
        lookup(info(*first.getsockname()), info(*second.getsockname()))
        with pytest.raises(ExceptionGroup, match="create_connection failed") as failure:
            await loop.create_connection(Recorder, "some.name", 80, all_errors=True)
    kinds = [type(exc) for exc in failure.value.exceptions]
    assert kinds == [ConnectionRefusedError, ConnectionRefusedError]


@since_312
async def test_one_failure_is_a_group_as_well_where_that_is_asked_for(loop):
    with refusing() as sock:
        with pytest.raises(ExceptionGroup) as failure:
            await loop.create_connection(Recorder, *sock.getsockname(), all_errors=True)
    assert len(failure.value.exceptions) == 1


async def test_a_failing_factory_is_raised(loop):
    def factory():
        raise LookupError("no protocol today")

    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(LookupError, match="no protocol today"):
        await loop.create_connection(factory, sock=ours)


@pytest.mark.treadle_only
async def test_a_failing_factory_leaves_no_descriptor(loop):
    def factory():
        raise LookupError("no protocol today")

    gc.disable()
    try:
        with listening() as listener:
            before = open_descriptors()
            with pytest.raises(LookupError, match="no protocol today"):
                await loop.create_connection(factory, *listener.getsockname())
            assert open_descriptors() == before
    finally:
        gc.enable()


@pytest.mark.treadle_only
async def test_failures_are_in_no_cycle_of_references(loop):
    """What is raised is freed at once, and with it the frames that it holds."""
    with refusing() as sock:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await loop.create_connection(Recorder, *sock.getsockname())
            await asyncio.sleep(0)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            kept = [each for each in gc.garbage if isinstance(each, ConnectionRefusedError)]
            assert not [each for each in kept if str(sock.getsockname()[1]) in str(each)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


# racing ---------------------------------------------------------------------------------------


async def test_a_silent_address_is_overtaken_by_the_next(loop, lookup, silent):
    with listening() as listener:
        lookup(info(*silent), info(*listener.getsockname()))
        before = open_descriptors()
        transport, protocol = await loop.create_connection(
            Recorder, "some.name", 80, happy_eyeballs_delay=0.001
        )
        assert transport.get_extra_info("peername") == listener.getsockname()
        assert len(open_descriptors()) == len(before) + 1  # the loser's socket is closed
        await hang_up(transport, protocol)


async def test_a_failure_does_not_wait_for_the_delay(loop, lookup):
    with refusing() as refused, listening() as listener:
        lookup(*[info(*refused.getsockname())] * 5, info(*listener.getsockname()))
        transport, protocol = await loop.create_connection(
            Recorder, "some.name", 80, happy_eyeballs_delay=3600
        )
        await hang_up(transport, protocol)


async def test_racing_in_vain_tells_every_failure(loop, lookup):
    with refusing() as first, refusing() as second:
        lookup(info(*first.getsockname()), info(*second.getsockname()))
        with pytest.raises(OSError, match="Multiple exceptions"):
            await loop.create_connection(Recorder, "some.name", 80, happy_eyeballs_delay=0.001)


async def test_families_take_turns_when_racing(loop, lookup, monkeypatch):
    tried = []

    async def sock_connect(sock, address):
        tried.append(address[0])
        raise OSError("not today")

    six = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    lookup(
        *[(*six, (f"::{number}", 80, 0, 0)) for number in (1, 2, 3)],
        *[info(f"127.0.0.{number}", 80) for number in (1, 2)],
    )
    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    for keywords, wanted in (
        ({}, "::1 ::2 ::3 127.0.0.1 127.0.0.2"),
        ({"happy_eyeballs_delay": 5}, "::1 127.0.0.1 ::2 127.0.0.2 ::3"),
        ({"interleave": 1}, "::1 127.0.0.1 ::2 127.0.0.2 ::3"),
        ({"interleave": 2}, "::1 ::2 127.0.0.1 ::3 127.0.0.2"),
        ({"happy_eyeballs_delay": 5, "interleave": 0}, "::1 ::2 ::3 127.0.0.1 127.0.0.2"),
    ):
        tried.clear()
        with pytest.raises(OSError, match="not today"):
            await loop.create_connection(Recorder, "some.name", 80, **keywords)
        assert tried == wanted.split()


# cancelled ------------------------------------------------------------------------------------


async def cancel_when(task, condition):
    """Cancel a task as soon as the condition holds, and see that it ends so."""
    while not condition():
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_while_a_name_is_looked_up_leaves_nothing(loop, monkeypatch):
    asked = loop.create_future()

    async def getaddrinfo(host, port, **_):
        asked.set_result(None)
        await loop.create_future()

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    before = open_descriptors()
    task = asyncio.ensure_future(loop.create_connection(Recorder, "some.name", 80))
    await cancel_when(task, asked.done)
    assert open_descriptors() == before


@pytest.mark.parametrize("delay", [None, 0.001, 3600])
async def test_cancelling_while_connecting_leaves_nothing(loop, lookup, silent, delay):
    lookup(info(*silent), info(*silent), info(*silent))
    before = open_descriptors()
    task = asyncio.ensure_future(
        loop.create_connection(Recorder, "some.name", 80, happy_eyeballs_delay=delay)
    )
    attempts = 3 if delay == 0.001 else 1
    await cancel_when(task, lambda: len(open_descriptors()) == len(before) + attempts)
    assert open_descriptors() == before


@pytest.mark.treadle_only  # asyncio leaves the socket to the garbage collector now and then
@pytest.mark.parametrize("turns", range(12))
async def test_cancelling_after_any_number_of_turns_leaves_nothing(loop, turns):
    with listening() as listener:
        before = open_descriptors()
        made = []

        def factory():
            made.append(Recorder())
            return made[0]

        task = asyncio.ensure_future(
            loop.create_connection(factory, *listener.getsockname(), happy_eyeballs_delay=1)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            (await task)[0].abort()
        if made and "connection_made" in made[0].calls:
            await made[0].hears("connection_lost")
        await settle(loop)
        assert open_descriptors() == before


async def test_cancelling_while_connection_made_is_awaited_ends_the_connection(loop):
    class Cancels(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            task.cancel()

    protocol = Cancels()
    ours, theirs = socket.socketpair()
    with theirs:
        task = asyncio.ensure_future(loop.create_connection(lambda: protocol, sock=ours))
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.hears("connection_lost")
        assert theirs.recv(1) == b""
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_cancelling_connect_accepted_socket_closes_the_socket(loop):
    ours, theirs = socket.socketpair()
    with theirs:
        protocol = Recorder()
        task = asyncio.ensure_future(loop.connect_accepted_socket(lambda: protocol, ours))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle(loop)
        assert theirs.recv(1) == b""
        assert protocol.calls == ["connection_made", "connection_lost"]


async def test_a_timeout_leaves_nothing(loop, silent):
    before = open_descriptors()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await loop.create_connection(Recorder, *silent)
    assert open_descriptors() == before
