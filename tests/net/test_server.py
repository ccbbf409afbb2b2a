"""Servers: binding, accepting, closing."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys

import pytest

from tests.net.wire import Recorder, listening, open_descriptors, read_all, settle

pytestmark = pytest.mark.every_driver

LOCAL = "127.0.0.1"


class Trouble(Exception):
    """Raised on purpose."""


class Desk(list):
    """A protocol factory that keeps what it made."""

    def __call__(self):
        self.append(Recorder())
        return self[-1]

    async def greets(self, count):
        """Wait until so many connections have been made."""
        while sum("connection_made" in each.calls for each in self) < count:
            await asyncio.sleep(0)

    async def dismiss(self):
        """End every connection and wait for that."""
        for protocol in self:
            protocol.transport.abort()
        for protocol in self:
            await protocol.hears("connection_lost")


def port_of(server):
    return server.sockets[0].getsockname()[1]


def call(server):
    """A socket that is connected to a server, accepted or not."""
    sock = socket.create_connection(server.sockets[0].getsockname()[:2])
    sock.setblocking(False)
    return sock


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


# binding --------------------------------------------------------------------------------------


async def test_a_server_listens_on_the_port_that_the_kernel_chose(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    assert server.is_serving()
    assert server.get_loop() is loop
    assert server.sockets[0].getsockname()[0] == LOCAL
    with call(server):
        await desk.greets(1)
    await desk.dismiss()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("host", [None, ""])
async def test_no_host_is_every_interface(loop, host):
    desk = Desk()
    server = await loop.create_server(desk, host, 0, family=socket.AF_INET)
    assert [sock.getsockname()[0] for sock in server.sockets] == ["0.0.0.0"]
    with socket.create_connection((LOCAL, port_of(server))):
        await desk.greets(1)
    await desk.dismiss()
    server.close()


@needs_ipv6
async def test_no_host_is_both_families(loop):
    server = await loop.create_server(Desk(), None, 0)
    families = {sock.family for sock in server.sockets}
    assert families == {socket.AF_INET, socket.AF_INET6}
    server.close()


@needs_ipv6
async def test_both_families_can_have_the_same_port(loop):
    desk = Desk()
    with listening() as probe:
        port = probe.getsockname()[1]
    server = await loop.create_server(desk, [LOCAL, "::1"], port)
    assert {sock.getsockname()[:2] for sock in server.sockets} == {(LOCAL, port), ("::1", port)}
    with socket.create_connection((LOCAL, port)), socket.create_connection(("::1", port)):
        await desk.greets(2)
    await desk.dismiss()
    server.close()


async def test_several_hosts_are_several_sockets(loop):
    desk = Desk()
    server = await loop.create_server(desk, (LOCAL, "127.0.0.2"), 0)
    addresses = [sock.getsockname() for sock in server.sockets]
    assert {host for host, _ in addresses} == {LOCAL, "127.0.0.2"}
    with (
        socket.create_connection(addresses[0]),
        socket.create_connection(addresses[1]),
    ):
        await desk.greets(2)
    await desk.dismiss()
    server.close()


async def test_a_host_that_is_named_twice_is_bound_once(loop):
    server = await loop.create_server(Desk(), [LOCAL, LOCAL], 0)
    assert len(server.sockets) == 1
    server.close()


async def test_a_name_is_looked_up(loop):
    desk = Desk()
    server = await loop.create_server(desk, "localhost", 0)
    with call(server):
        await desk.greets(1)
    await desk.dismiss()
    server.close()


@pytest.mark.parametrize("host", [b"127.0.0.1", 5])
async def test_a_host_that_is_no_text_is_a_type_error(loop, host):
    with pytest.raises(TypeError):
        await loop.create_server(Desk(), host, 0)


async def test_no_host_at_all_cannot_be_bound(loop):
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        await loop.create_server(Desk(), ["192.0.2.1"], 0)


async def test_a_taken_port_is_an_error_that_names_it_and_leaves_nothing_open(loop):
    with listening() as taken:
        port = taken.getsockname()[1]
        before = open_descriptors()
        with pytest.raises(OSError, match=str(port)) as failure:
            await loop.create_server(Desk(), ["127.0.0.2", LOCAL], port)
        assert open_descriptors() == before
    assert failure.value.errno == errno.EADDRINUSE
    assert "address already in use" in str(failure.value)


async def test_two_servers_can_share_a_port_when_both_want_to(loop):
    desk = Desk()
    first = await loop.create_server(desk, LOCAL, 0, reuse_port=True)
    second = await loop.create_server(desk, LOCAL, port_of(first), reuse_port=True)
    callers = [call(first) for _ in range(20)]
    await desk.greets(20)
    for caller in callers:
        caller.close()
    await desk.dismiss()
    first.close()
    second.close()


async def test_options_of_the_listening_socket(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    sock = server.sockets[0]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    server.close()
    server = await loop.create_server(Desk(), LOCAL, 0, reuse_address=False)
    assert not server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    server.close()


@pytest.mark.treadle_only  # a new argument of asyncio in Python 3.13
async def test_keep_alive_is_switched_on_where_it_is_asked_for(loop):
    server = await loop.create_server(Desk(), LOCAL, 0, keep_alive=True)
    assert server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    server.close()


async def test_more_callers_than_the_backlog_are_served_in_the_end(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0, backlog=1)
    callers = []
    for number in range(1, 11):
        callers.append(call(server))
        await desk.greets(number)
    for caller in callers:
        caller.close()
    await desk.dismiss()
    server.close()


async def test_a_socket_of_ones_own_can_be_given(loop):
    desk = Desk()
    sock = socket.socket()
    sock.bind((LOCAL, 0))
    server = await loop.create_server(desk, sock=sock)
    assert server.sockets[0].fileno() == sock.fileno()
    with call(server):
        await desk.greets(1)
    await desk.dismiss()
    server.close()
    assert sock.fileno() == -1


async def test_a_listening_socket_pair_family_can_be_given(loop, tmp_path):
    desk = Desk()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    server = await loop.create_server(desk, sock=sock)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(tmp_path / "s"))
        await desk.greets(1)
        assert desk[0].transport.get_extra_info("sockname") == str(tmp_path / "s")
        assert desk[0].transport.get_extra_info("peername") == ""
    await desk.dismiss()
    server.close()


async def test_wrong_arguments_are_asyncios_errors(loop):
    with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="can not be specified at the same time"):
            await loop.create_server(Desk(), LOCAL, 0, sock=sock)
        with pytest.raises(ValueError, match="Neither host/port nor sock were specified"):
            await loop.create_server(Desk())
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.create_server(Desk(), sock=datagrams)
        with pytest.raises(TypeError, match="SSLContext or None"):
            await loop.create_server(Desk(), LOCAL, 0, ssl=True)
        with pytest.raises(ValueError, match="only meaningful with ssl"):
            await loop.create_server(Desk(), LOCAL, 0, ssl_handshake_timeout=1)
        with pytest.raises(ValueError, match="only meaningful with ssl"):
            await loop.create_server(Desk(), LOCAL, 0, ssl_shutdown_timeout=1)


# serving --------------------------------------------------------------------------------------


async def test_a_server_need_not_start_at_once(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0, start_serving=False)
    assert not server.is_serving()
    with pytest.raises(ConnectionRefusedError):
        call(server)
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    with call(server):
        await desk.greets(1)
    await desk.dismiss()
    server.close()


async def test_serve_forever_serves_until_cancelled_and_closes(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0, start_serving=False)
    serving = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    assert server.is_serving()
    with call(server):
        await desk.greets(1)
        await desk.dismiss()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()
    assert server.sockets == ()


async def test_closing_ends_serve_forever(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    serving = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_serve_forever_twice_or_after_closing_is_an_error(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    serving = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already being awaited"):
        await server.serve_forever()
    serving.cancel()
    await asyncio.wait([serving])
    with pytest.raises(RuntimeError, match="is closed"):
        await server.serve_forever()


async def test_a_server_is_closed_by_its_block(loop):
    async with await loop.create_server(Desk(), LOCAL, 0) as server:
        assert server.is_serving()
    assert not server.is_serving()
    assert server.sockets == ()


async def test_a_server_is_one_of_asyncio(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    assert isinstance(server, asyncio.AbstractServer)
    assert isinstance(server, asyncio.Server)
    assert isinstance(server.sockets, tuple)
    assert isinstance(server.sockets[0], asyncio.trsock.TransportSocket)
    assert "127.0.0.1" in repr(server)
    server.close()
    assert repr(server) == "<Server sockets=()>"


@pytest.mark.treadle_only  # asyncio is silent, and the garbage collector closes the socket
async def test_a_failing_factory_closes_that_connection_and_the_server_goes_on(loop, reports):
    desk = Desk()
    failures = [Trouble("first"), Trouble("second")]

    def factory():
        if failures:
            raise failures.pop(0)
        return desk()

    server = await loop.create_server(factory, LOCAL, 0)
    first, second, third = (call(server) for _ in range(3))
    with first, second, third:
        assert await read_all(loop, first) == b""
        assert await read_all(loop, second) == b""
        await desk.greets(1)
        assert [str(report["exception"]) for report in reports] == ["first", "second"]
        assert "incoming connection" in reports[0]["message"]
    await desk.dismiss()
    server.close()


@pytest.mark.treadle_only
async def test_a_refused_connection_is_closed_though_its_number_is_still_watched(loop, reports):
    """A reader that its user forgot does not own the number."""

    def factory():
        raise Trouble

    server = await loop.create_server(factory, LOCAL, 0)
    with socket.create_connection(("127.0.0.1", port_of(server))) as caller:
        caller.setblocking(False)
        forgotten, other = socket.socketpair()
        loop.add_reader(forgotten, print)
        fd = forgotten.fileno()
        forgotten.close()
        other.close()
        while not reports:  # nothing else may take the number meanwhile
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(reports) == 1
        loop.remove_reader(fd)
        server.close()
        assert caller.recv(1) == b""  # BlockingIOError: the server's end is still open


# closing --------------------------------------------------------------------------------------


async def test_close_stops_accepting_and_connections_go_on(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    address = server.sockets[0].getsockname()
    with call(server) as caller:
        await desk.greets(1)
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        caller.send(b"still here")
        assert await desk[0].gets(10) == b"still here"
    await desk.dismiss()


@pytest.mark.treadle_only  # asyncio fails an assertion for the rest of the batch
async def test_closing_in_the_middle_of_a_batch_accepts_no_more(loop):
    made = []

    def factory():
        made.append(Recorder())
        server.close()
        return made[-1]

    server = await loop.create_server(factory, LOCAL, 0)
    callers = [call(server) for _ in range(10)]
    await settle(loop)
    assert not server.is_serving()
    for caller in callers:
        caller.close()
    assert len(made) == 1
    await made[0].hears("connection_lost")


async def test_a_closed_server_can_be_followed_by_another_on_the_same_port(loop):
    desk = Desk()
    port = 0
    for number in range(1, 6):
        server = await loop.create_server(desk, LOCAL, port)
        port = port_of(server)
        with call(server):
            await desk.greets(number)
            desk[-1].transport.abort()
        server.close()
    for protocol in desk:
        await protocol.hears("connection_lost")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11's asyncio does not wait")
async def test_wait_closed_waits_for_the_server_and_for_its_connections(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    waiting = asyncio.ensure_future(server.wait_closed())
    with call(server), call(server):
        await desk.greets(2)
        server.close()
        await settle(loop)
        assert not waiting.done()
        desk[0].transport.close()
        await desk[0].hears("connection_lost")
        await settle(loop)
        assert not waiting.done()
        desk[1].transport.abort()
        await waiting
        await server.wait_closed()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons wait")
async def test_wait_closed_of_a_closed_server_returns_at_once(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    with call(server):
        await desk.greets(1)
        server.close()
        await server.wait_closed()
        assert not desk[0].transport.is_closing()
    await desk.dismiss()


async def test_wait_closed_without_connections_returns(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    server.close()
    await server.wait_closed()
    await server.wait_closed()


async def test_a_cancelled_wait_closed_disturbs_nobody(loop):
    server = await loop.create_server(Desk(), LOCAL, 0)
    waiting = [asyncio.ensure_future(server.wait_closed()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    server.close()
    await waiting[1]


@pytest.mark.treadle_only  # new in asyncio with Python 3.13
async def test_close_clients_sends_what_is_buffered(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    data = bytes(3_000_000)
    with call(server) as caller:
        await desk.greets(1)
        desk[0].transport.write(data)
        server.close()
        server.close_clients()
        assert desk[0].transport.is_closing()
        assert await read_all(loop, caller) == data
        await desk[0].hears("connection_lost")
    await server.wait_closed()


@pytest.mark.treadle_only  # new in asyncio with Python 3.13
async def test_abort_clients_drops_what_is_buffered(loop):
    desk = Desk()
    server = await loop.create_server(desk, LOCAL, 0)
    with call(server), call(server):
        await desk.greets(2)
        for protocol in desk:
            protocol.transport.write(bytes(10_000_000))
        server.close()
        server.abort_clients()
        await server.wait_closed()
        for protocol in desk:
            await protocol.hears("connection_lost")
            assert protocol.reason is None


@pytest.mark.treadle_only
async def test_clients_of_another_server_are_left_alone(loop):
    desks = [Desk(), Desk()]
    servers = [await loop.create_server(desk, LOCAL, 0) for desk in desks]
    with call(servers[0]), call(servers[1]):
        await desks[0].greets(1)
        await desks[1].greets(1)
        servers[0].abort_clients()
        await desks[0][0].hears("connection_lost")
        assert not desks[1][0].transport.is_closing()
    await desks[1].dismiss()
    for server in servers:
        server.close()


@pytest.mark.treadle_only  # on asyncio the connection that gets the number never receives
async def test_a_listening_socket_closed_by_its_user_disturbs_nobody(loop):
    """The server goes on with it, or stops; but the number is nobody else's to suffer for."""
    sock = listening()
    server = await loop.create_server(Desk(), sock=sock)
    sock.close()
    pairs = [socket.socketpair() for _ in range(4)]  # one of them takes the number, if it is free
    protocols = []
    for ours, _ in pairs:
        _, protocol = await loop.create_connection(Recorder, sock=ours)
        protocols.append(protocol)
    server.close()
    for number, (_, theirs) in enumerate(pairs):
        theirs.send(b"%d" % number)
        assert await protocols[number].gets(1) == b"%d" % number
        theirs.close()
        await protocols[number].hears("connection_lost")


@pytest.mark.treadle_only
async def test_a_listening_socket_cannot_be_given_to_two_servers(loop):
    sock = listening()
    desk = Desk()
    server = await loop.create_server(desk, sock=sock)
    with pytest.raises(ValueError, match="already in use"):
        await loop.create_server(Desk(), sock=sock)
    with call(server):
        await desk.greets(1)
    await desk.dismiss()
    server.close()
