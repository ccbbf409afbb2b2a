"""The end of TLS: farewells from both sides, or none at all."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import weakref

import pytest

from tests.net.tls_wire import LOCAL, TlsPeer, client_context, server_context
from tests.net.wire import Filler, Recorder, reset, settle

pytestmark = pytest.mark.every_driver

MUCH = 500_000  # bytes; more than a small line holds
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Trouble(Exception):
    """Raised by protocols on purpose."""


def end_it(transport, how):
    getattr(transport, how)()


# we end it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_close_says_farewell_and_waits_for_the_peers(loop, tls, version):
    transport, protocol, peer = await tls(version=version)
    transport.close()
    assert transport.is_closing()
    assert await peer.reads_all() == b""
    await settle(loop)
    assert "connection_lost" not in protocol.calls
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert transport.is_closing()


async def test_close_sends_what_is_buffered_before_the_farewell(loop, tls):
    transport, protocol, peer = await tls(small=True)
    data = bytes(range(256)) * 2000
    transport.write(data)
    transport.close()
    assert await peer.reads_all() == data
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_a_peer_that_hangs_up_instead_of_saying_farewell_is_no_error(loop, tls):
    transport, protocol, peer = await tls()
    transport.close()
    await peer.reads_all()
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_a_peer_that_resets_instead_of_saying_farewell_is_heard(loop, tls):
    transport, protocol, peer = await tls()
    transport.close()
    await peer.reads_all()
    reset(peer.sock)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ConnectionResetError)


@pytest.mark.treadle_only  # asyncio calls it an error
async def test_what_crosses_our_farewell_on_the_wire_is_dropped_without_an_error(loop, tls):
    transport, protocol, peer = await tls()
    transport.close()
    await peer.send(b"crosses")
    await peer.send(b"the farewell")
    await settle(loop)
    assert await peer.reads_all() == b""
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert protocol.data == b""


@pytest.mark.treadle_only  # asyncio hands over after close what it has read before
async def test_nothing_is_received_after_close(loop, tls):
    class Closes(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    _, protocol, peer = await tls(Closes)
    await peer.send(b"first")
    await protocol.gets(5)
    await peer.send(b"second")
    assert await peer.reads_all() == b""
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.data == b"first"


async def test_a_shutdown_that_takes_too_long_is_given_up(loop, tls):
    transport, protocol, _ = await tls(ssl_shutdown_timeout=0.001)
    transport.close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, TimeoutError)
    assert str(protocol.reason) == "SSL shutdown timed out"


async def test_a_peer_that_does_not_read_is_given_up(loop, tls):
    transport, protocol, _ = await tls(small=True, ssl_shutdown_timeout=0.001)
    transport.write(bytes(MUCH))
    transport.close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, TimeoutError)


async def test_abort_ends_it_at_once(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.write(bytes(MUCH))
    transport.abort()
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert protocol.calls[-1] == "connection_lost"
    with pytest.raises(ConnectionError):
        await peer.gets(MUCH)


@pytest.mark.parametrize("second", ["close", "abort"])
@pytest.mark.parametrize("first", ["close", "abort"])
async def test_ending_it_twice_is_heard_once(loop, tls, first, second):
    if isinstance(loop, asyncio.BaseEventLoop) and sys.version_info < (3, 12):
        pytest.skip("asyncio of some Python 3.11 fails over the second time")
    transport, protocol, peer = await tls()
    end_it(transport, first)
    end_it(transport, second)
    peer.close()
    await protocol.hears("connection_lost")
    end_it(transport, first)
    end_it(transport, second)
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1


async def test_abort_while_the_peers_farewell_is_awaited_ends_it(loop, tls):
    transport, protocol, _ = await tls()
    transport.close()
    await settle(loop)
    transport.abort()
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_the_fifth_write_after_the_end_and_all_later_ones_are_warned_of(loop, tls, caplog):
    transport, protocol, _ = await tls()
    transport.abort()
    await protocol.hears("connection_lost")
    for _ in range(4):
        transport.write(b"x")
    assert caplog.messages == []
    transport.write(b"x")
    transport.writelines([b"x"])
    assert caplog.messages == ["SSL connection is closed"] * 2


async def test_half_closing_is_not_possible(loop, tls):
    transport, _, _ = await tls()
    assert not transport.can_write_eof()
    with pytest.raises(NotImplementedError):
        transport.write_eof()


# the peer ends it -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("factory", [Recorder, Filler])
async def test_the_peers_farewell_is_heard_as_eof_and_answered(loop, tls, factory, version):
    transport, protocol, peer = await tls(factory, version=version)
    await peer.send_raw(peer.seal(b"last words") + peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.data == b"last words"
    assert protocol.calls[-2:] == ["eof_received", "connection_lost"]
    assert protocol.reason is None
    assert transport.is_closing()
    peer.incoming.write(await loop.sock_recv(peer.sock, 65536))
    peer.session.unwrap()  # its farewell has come


async def test_what_is_buffered_is_sent_after_the_peers_farewell(loop, tls):
    transport, protocol, peer = await tls(small=True)
    data = bytes(range(256)) * 2000
    transport.write(data)
    await peer.send_raw(peer.farewell())
    await protocol.hears("eof_received")
    if loop.__class__.__module__.startswith("treadle"):
        received = bytearray()
        while len(received) < len(data):
            try:
                received += peer.session.read(65536)
            except ssl.SSLWantReadError:
                peer.incoming.write(await loop.sock_recv(peer.sock, 65536))
        assert received == data
    peer.close()
    await protocol.hears("connection_lost")


async def test_what_is_written_in_eof_received_is_sent(loop, tls):
    class Answers(Recorder):
        def eof_received(self):
            super().eof_received()
            self.transport.write(b"answer")

    _, protocol, peer = await tls(Answers)
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    peer.incoming.write(await loop.sock_recv(peer.sock, 65536))
    assert peer.session.read(100) == b"answer"


@pytest.mark.parametrize("factory", [Recorder, Filler])
async def test_a_stream_that_ends_without_a_farewell_is_heard_as_eof(loop, tls, factory):
    _, protocol, peer = await tls(factory)
    await peer.send(b"last words")
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.data == b"last words"
    assert protocol.calls[-2:] == ["eof_received", "connection_lost"]
    assert protocol.reason is None


async def test_a_half_closed_stream_still_gets_what_is_buffered(loop, tls):
    transport, protocol, peer = await tls(small=True)
    data = bytes(range(256)) * 2000
    transport.write(data)
    peer.sock.shutdown(socket.SHUT_WR)
    assert await peer.gets(len(data)) == data
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_a_peer_that_resets_is_heard_as_lost_with_the_error(loop, tls):
    _, protocol, peer = await tls()
    reset(peer.sock)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ConnectionResetError)
    assert "eof_received" not in protocol.calls


async def test_half_a_record_at_the_end_is_no_data(loop, tls):
    _, protocol, peer = await tls()
    await peer.send_raw(peer.seal(b"whole") + peer.seal(b"half")[:-1])
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.data == b"whole"
    assert protocol.reason is None


async def test_returning_true_from_eof_received_changes_nothing_but_the_log(loop, tls, caplog):
    class Wants(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    _, protocol, peer = await tls(Wants)
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert "has no effect when using ssl" in caplog.text


# callbacks that end it, or fail ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received"])
@pytest.mark.parametrize("farewell", [False, True])
async def test_ending_it_in_a_callback_is_heard_once(loop, tls, how, method, farewell):
    class Ends(Recorder):
        def note(self, name):
            super().note(name)
            if name == method:
                end_it(self.transport, how)

    if loop.__class__.__module__.startswith("asyncio") and method == "connection_made":
        pytest.skip("asyncio goes on as if nothing had happened")
    _, protocol, peer = await tls(Ends)
    try:
        await peer.send_raw(peer.seal(b"x") + (peer.farewell() if farewell else b""))
    except OSError:
        pass
    await settle(loop)
    peer.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert protocol.calls.count("eof_received") <= 1
    assert protocol.calls[-1] == "connection_lost"


@pytest.mark.treadle_only  # asyncio fills the buffer all the same, and goes on
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
async def test_ending_it_in_a_callback_of_a_buffered_protocol_is_heard_once(loop, tls, how, method):
    class Ends(Filler):
        size = 2

        def get_buffer(self, sizehint):
            if method == "get_buffer":
                end_it(self.transport, how)
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            if method == "buffer_updated":
                end_it(self.transport, how)

    _, protocol, peer = await tls(Ends)
    try:
        await peer.send(b"more than two")
    except OSError:
        pass  # a ticket made it ask for a buffer
    await settle(loop)
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.calls.count("connection_lost") == 1


async def test_a_failing_eof_received_ends_the_connection_with_its_error(loop, tls, reports):
    trouble = Trouble()

    class Fails(Recorder):
        def eof_received(self):
            super().eof_received()
            raise trouble

    _, protocol, peer = await tls(Fails)
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is trouble
    assert [report["exception"] for report in reports] == [trouble]


async def test_a_failing_connection_lost_is_reported_and_closes_the_descriptor(loop, tls, reports):
    class Fails(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise Trouble

    transport, protocol, _ = await tls(Fails)
    transport.abort()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert [type(report["exception"]) for report in reports] == [Trouble]


async def test_each_method_runs_in_the_context_of_the_connection(loop, tls):
    import contextvars

    who = contextvars.ContextVar("who", default="nobody")

    class Looks(Recorder):
        def connection_made(self, transport):
            who.set(id(self))
            super().connection_made(transport)

        def note(self, name):
            if name != "connection_made":
                seen.add(who.get() == id(self))
            super().note(name)

    if loop.__class__.__module__.startswith("asyncio"):
        pytest.skip("asyncio has no context for a connection")
    seen = set()
    transport, protocol, peer = await tls(Looks, small=True)
    await peer.send(b"x")
    await protocol.gets(1)
    transport.pause_reading()
    await peer.send_raw(peer.seal(b"y") + peer.farewell())
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert seen == {True}


# the server ends it ---------------------------------------------------------------------------


@pytest.mark.treadle_only  # asyncio closes the socket under TLS
async def test_close_clients_says_farewell(loop):
    served = Recorder()
    server = await loop.create_server(lambda: served, LOCAL, 0, ssl=server_context())
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        peer = TlsPeer(loop, sock, client_context(), server=False)
        await peer.shake()
        await served.hears("connection_made")
        server.close()
        server.close_clients()
        assert await peer.reads_all() == b""
        await peer.send_raw(peer.farewell())
        await served.hears("connection_lost")
        await server.wait_closed()
    assert served.reason is None


# what is left ---------------------------------------------------------------------------------


async def test_a_closed_connection_is_freed_at_once(loop, tls):
    transport, protocol, peer = await tls()
    transport.close()
    await peer.reads_all()
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    await settle(loop)
    if loop.__class__.__module__.startswith("asyncio"):
        return
    gc.disable()
    try:
        left = weakref.ref(transport)
        tls.lines.clear()
        protocol.transport = None
        del transport
        peer.close()
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.treadle_only  # asyncio forgets them
async def test_facts_about_the_session_are_known_after_the_end(loop, tls):
    transport, protocol, _ = await tls()
    transport.abort()
    await protocol.hears("connection_lost")
    assert transport.get_extra_info("cipher")
    assert transport.get_extra_info("peername")
    assert transport.get_extra_info("nothing", "default") == "default"


async def test_what_is_known_of_a_connection(loop, tls):
    transport, protocol, _ = await tls()
    assert isinstance(transport, asyncio.Transport)
    assert "ssl" in transport.__class__.__name__.lower()
    assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
    assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
    assert len(transport.get_extra_info("cipher")) == 3
    assert transport.get_extra_info("compression", 7) is None
    assert isinstance(transport.get_extra_info("socket"), asyncio.trsock.TransportSocket)
    assert transport.get_extra_info("peername")[0] == LOCAL
    assert transport.get_extra_info("sockname")[0] == LOCAL
    assert transport.get_extra_info("nothing", 7) == 7
    assert transport.get_protocol() is protocol
    certificate = transport.get_extra_info("peercert", 7)
    if tls.side == "connected":
        assert certificate["subject"] == ((("commonName", "localhost"),),)
    else:
        assert certificate is None
    assert "TlsTransport" in repr(transport) or "SSL" in repr(transport)


async def test_attributes_can_be_set(loop, tls):
    transport, _, _ = await tls()
    transport.note = "mine"
    assert transport.note == "mine"
    assert {transport: 1}[transport] == 1
