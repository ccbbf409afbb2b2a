"""``start_tls``: connections that go on in TLS, also in TLS that runs in TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from tests.net.tls_wire import (
    LOCAL,
    OTHER,
    TlsPeer,
    Views,
    client_context,
    reading_stops,
    server_context,
)
from tests.net.wire import Filler, Recorder, reset, settle
from treadle._net.tls import LINGER

pytestmark = pytest.mark.every_driver


def peer_of(loop, line, side, context=None):
    """A TLS peer on the socket at the other end of a plain line."""
    server = side == "connected"
    context = context or (server_context() if server else client_context())
    return TlsPeer(loop, line.peer, context, server=server)


async def upgrade(loop, line, side, protocol=None, context=None, **keywords):
    """Start TLS at our end of a plain line."""
    server = side == "accepted"
    return await loop.start_tls(
        line.transport,
        protocol or line.protocol,
        context or (server_context() if server else client_context()),
        server_side=server,
        server_hostname=None if server else "localhost",
        **keywords,
    )


async def secured(loop, exchange, factory=Recorder):
    """A plain line that both ends have taken to TLS: transport, protocol, peer."""
    line = await exchange(factory)
    peer = peer_of(loop, line, exchange.side)
    shaking = asyncio.ensure_future(peer.shake())
    transport = await upgrade(loop, line, exchange.side)
    await shaking
    return transport, line.protocol, peer


@pytest.mark.parametrize("factory", [Recorder, Filler])
async def test_a_connection_goes_on_in_tls(loop, both_sides, factory):
    line = await both_sides(factory)
    line.peer.send(b"in plain")
    await line.protocol.gets(8)
    peer = peer_of(loop, line, both_sides.side)
    shaking = asyncio.ensure_future(peer.shake())
    transport = await upgrade(loop, line, both_sides.side)
    await shaking
    assert transport is not line.transport
    assert isinstance(transport, asyncio.Transport)
    transport.write(b"question")
    assert await peer.gets(8) == b"question"
    await peer.send(b" and in secret")
    assert await line.protocol.gets(22) == b"in plain and in secret"
    assert line.protocol.calls.count("connection_made") == 1
    transport.abort()
    await line.protocol.hears("connection_lost")


@pytest.mark.treadle_only  # asyncio tells its own TLS to resume, which is not paused
async def test_what_was_buffered_before_is_sent_in_plain_before_the_handshake(loop, dial):
    line = await dial(small=True)
    data = bytes(range(256)) * 2000
    line.transport.write(data)
    upgrading = asyncio.ensure_future(upgrade(loop, line, "connected"))
    received = b""
    while len(received) < len(data):
        received += await loop.sock_recv(line.peer, len(data) - len(received))
    assert received == data
    await peer_of(loop, line, "connected").shake()
    transport = await upgrading
    transport.abort()
    await line.protocol.hears("connection_lost")


@pytest.mark.treadle_only  # the same
async def test_the_protocol_that_was_paused_before_is_resumed_through_tls(loop, dial):
    line = await dial(small=True)
    line.transport.write(bytes(500_000))
    await line.protocol.hears("pause_writing")
    upgrading = asyncio.ensure_future(upgrade(loop, line, "connected"))
    received = 0
    while received < 500_000:
        received += len(await loop.sock_recv(line.peer, 500_000 - received))
    peer = peer_of(loop, line, "connected")
    await peer.shake()
    transport = await upgrading
    await line.protocol.hears("resume_writing")
    assert line.protocol.calls.count("pause_writing") == 1
    transport.abort()
    await line.protocol.hears("connection_lost")


async def test_another_protocol_may_be_served_from_then_on(loop, both_sides):
    line = await both_sides()
    peer = peer_of(loop, line, both_sides.side)
    shaking = asyncio.ensure_future(peer.shake())
    other = Recorder()
    transport = await upgrade(loop, line, both_sides.side, other)
    await shaking
    await peer.send(b"x")
    assert await other.gets(1) == b"x"
    assert "connection_made" not in other.calls
    assert line.protocol.data == b""
    transport.abort()
    await other.hears("connection_lost")


async def test_a_paused_transport_reads_again(loop, both_sides):
    line = await both_sides()
    line.transport.pause_reading()
    peer = peer_of(loop, line, both_sides.side)
    shaking = asyncio.ensure_future(peer.shake())
    transport = await upgrade(loop, line, both_sides.side)
    await shaking
    await peer.send(b"x")
    assert await line.protocol.gets(1) == b"x"
    transport.abort()
    await line.protocol.hears("connection_lost")


@pytest.mark.treadle_only  # asyncio leaves it in the reader
async def test_a_greeting_right_behind_the_wish_for_tls_is_not_lost(loop):
    """The client does not wait for the server's consent; what it sends comes in one piece."""
    done = loop.create_future()

    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        await writer.start_tls(server_context())
        assert await reader.readline() == b"secret\n"
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    server = await asyncio.start_server(serve, LOCAL, 0)
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        peer = TlsPeer(loop, sock, client_context(), server=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        sock.send(b"STARTTLS\n" + peer.outgoing.read())
        await peer.shake()
        await peer.send(b"secret\n")
        assert await peer.reads_all() == b""
        await peer.send_raw(peer.farewell())
        await done
    server.close()
    await server.wait_closed()


async def test_streams_start_tls_on_both_sides(loop):
    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"OK\n")
        await writer.start_tls(server_context())
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    done = loop.create_future()
    server = await asyncio.start_server(serve, LOCAL, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"OK\n"
    await writer.start_tls(client_context(), server_hostname="localhost")
    assert writer.get_extra_info("cipher")
    writer.write(b"secret\n")
    assert await reader.readline() == b"secret\n"
    await done
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


# TLS in TLS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1024, 300_000])
@pytest.mark.parametrize("factory", [Recorder, Views])
async def test_tls_runs_in_tls(loop, factory, size):
    """Both ends are ours, and each has two layers."""
    ends = []

    class Serves(factory):
        def connection_made(self, transport):
            super().connection_made(transport)
            ends.append(self)

    server = await loop.create_server(Serves, LOCAL, 0, ssl=server_context())
    outer, client = await loop.create_connection(
        factory, *server.sockets[0].getsockname(), ssl=client_context(), server_hostname="localhost"
    )
    while not ends:
        await asyncio.sleep(0)
    served = ends[0]
    theirs, ours = await asyncio.gather(
        loop.start_tls(served.transport, served, server_context(OTHER), server_side=True),
        loop.start_tls(outer, client, client_context(OTHER), server_hostname="other.example"),
    )
    names = ours.get_extra_info("peercert")["subjectAltName"]
    assert names == (("DNS", "other.example"),)
    assert ours.get_extra_info("peername") == server.sockets[0].getsockname()
    data = bytes(i % 251 for i in range(size))
    ours.write(data)
    theirs.writelines([data, data])
    assert await served.gets(size) == data
    assert await client.gets(2 * size) == 2 * data
    ours.close()
    await client.hears("connection_lost")
    await served.hears("connection_lost")
    assert (client.reason, served.reason) == (None, None)
    server.close()


@pytest.mark.treadle_only  # asyncio breaks off with an error
async def test_in_tls_too_a_peer_that_sends_much_gets_what_was_buffered(loop):
    served = Recorder()
    server = await loop.create_server(lambda: served, LOCAL, 0, ssl=server_context())
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, server.sockets[0].getsockname())
    outer, client = await loop.create_connection(
        Recorder, sock=sock, ssl=client_context(), server_hostname="localhost"
    )
    await served.hears("connection_made")
    theirs, ours = await asyncio.gather(
        loop.start_tls(served.transport, served, server_context(OTHER), server_side=True),
        loop.start_tls(outer, client, client_context(OTHER), server_hostname="other.example"),
    )
    theirs.pause_reading()
    data = bytes(i % 251 for i in range(500_000))
    ours.write(data)
    ours.close()
    theirs.write(bytes(LINGER))
    await reading_stops(loop, ours)
    theirs.write(bytes(LINGER // 2))
    theirs.resume_reading()
    await served.hears("connection_lost")
    await client.hears("connection_lost")
    assert served.data == data
    assert (client.reason, served.reason) == (None, None)
    assert client.data == b""
    server.close()


# failures -------------------------------------------------------------------------------------


async def test_a_certificate_that_nobody_vouches_for_is_refused(loop, dial):
    line = await dial()
    peer = peer_of(loop, line, "connected")
    shaking = asyncio.ensure_future(peer.shake())
    with pytest.raises(ssl.SSLCertVerificationError):
        await upgrade(loop, line, "connected", context=client_context(OTHER))
    await asyncio.wait([shaking])
    shaking.exception()
    await line.protocol.hears("connection_lost")


@pytest.mark.parametrize("ending", ["hangs up", "resets", "sends garbage"])
async def test_a_peer_that_does_not_go_along_is_heard_and_leaves_nothing(loop, both_sides, ending):
    line = await both_sides()
    upgrading = asyncio.ensure_future(upgrade(loop, line, both_sides.side))
    await settle(loop)
    if ending == "hangs up":
        line.peer.shutdown(socket.SHUT_WR)
    elif ending == "resets":
        reset(line.peer)
    else:
        line.peer.send(b"500 what do you mean?\r\n" * 10)
    with pytest.raises(ssl.SSLError if ending == "sends garbage" else ConnectionResetError):
        await upgrading
    if loop.__class__.__module__.startswith("treadle"):
        await line.protocol.hears("connection_lost")
    await settle(loop)
    assert line.transport.is_closing()


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_closes_the_connection(loop, both_sides, turns):
    line = await both_sides()
    upgrading = asyncio.ensure_future(upgrade(loop, line, both_sides.side))
    for _ in range(turns):
        await asyncio.sleep(0)
    upgrading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upgrading
    if turns:
        await settle(loop)
        assert line.transport.is_closing()


async def test_a_handshake_that_takes_too_long_is_given_up(loop, both_sides):
    line = await both_sides()
    with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
        await upgrade(loop, line, both_sides.side, ssl_handshake_timeout=0.001)
    await settle(loop)
    assert line.transport.is_closing()


@pytest.mark.treadle_only  # asyncio returns None
async def test_aborting_the_old_transport_in_the_handshake_is_an_error(loop, both_sides):
    line = await both_sides()
    upgrading = asyncio.ensure_future(upgrade(loop, line, both_sides.side))
    await settle(loop)
    line.transport.abort()
    with pytest.raises(ConnectionAbortedError):
        await upgrading
    assert line.protocol.calls.count("connection_lost") == 1


@pytest.mark.treadle_only  # asyncio waits for a minute
async def test_a_closed_transport_is_refused(loop, both_sides):
    line = await both_sides()
    line.transport.abort()
    with pytest.raises(ConnectionResetError, match="needs an open connection"):
        await upgrade(loop, line, both_sides.side)
    await line.protocol.hears("connection_lost")


@pytest.mark.parametrize("wrong", [None, True, "context", object()])
async def test_what_is_no_context_is_a_type_error(loop, dial, wrong):
    line = await dial()
    with pytest.raises(TypeError, match=r"sslcontext is expected to be an instance of"):
        await loop.start_tls(line.transport, line.protocol, wrong)


@pytest.mark.parametrize("wrong", [None, object(), asyncio.Transport()])
async def test_what_is_no_transport_for_it_is_a_type_error(loop, wrong):
    with pytest.raises(TypeError, match=r"is not supported by start_tls\(\)"):
        await loop.start_tls(wrong, Recorder(), client_context())


async def test_a_timeout_that_is_none_is_a_value_error(loop, dial):
    line = await dial()
    with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number"):
        await upgrade(loop, line, "connected", ssl_handshake_timeout=0)
    line.transport.write(b"still in plain")
    assert await loop.sock_recv(line.peer, 100) == b"still in plain"


async def test_the_farewell_ends_the_connection_not_only_tls(loop, both_sides):
    transport, protocol, peer = await secured(loop, both_sides)
    transport.close()
    assert await peer.reads_all() == b""
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is None
