"""The TLS handshake: what is agreed on, and every way in which it does not come about."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import weakref

import pytest

from tests.net.tls_wire import (
    LOCAL,
    LOCALHOST,
    OTHER,
    TlsPeer,
    client_context,
    only,
    server_context,
)
from tests.net.wire import Recorder, listening, read_all, reset, settle

pytestmark = pytest.mark.every_driver

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def serving(loop):
    """Makes a TLS server and waits, in the end, until it is closed with its connections."""
    servers = []

    async def serve(factory=Recorder, context=None, **keywords):
        context = context or server_context()
        server = await loop.create_server(factory, LOCAL, 0, ssl=context, **keywords)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield serve
    for server in servers:
        server.close()
        loop.run_until_complete(server.wait_closed())


async def connect(loop, port, context=None, name="localhost", **keywords):
    return await loop.create_connection(
        Recorder, LOCAL, port, ssl=context or client_context(), server_hostname=name, **keywords
    )


async def end(transport, *protocols):
    """Close a connection and wait until everybody has heard of it."""
    transport.close()
    for protocol in protocols:
        await protocol.hears("connection_lost")


# what is agreed on ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_line_is_made_in_each_version(loop, tls, version):
    transport, protocol, peer = await tls(version=version)
    assert protocol.calls == ["connection_made"]
    assert protocol.transport is transport
    assert transport.get_extra_info("ssl_object").version() == peer.session.version()


async def test_the_protocol_is_chosen_from_both_lists(loop, serving):
    ours, theirs = client_context(), server_context()
    ours.set_alpn_protocols(["h2", "http/1.1"])
    theirs.set_alpn_protocols(["spdy/3", "http/1.1"])
    served = Recorder()
    transport, client = await connect(loop, await serving(lambda: served, theirs), ours)
    assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    await served.hears("connection_made")
    chosen = served.transport.get_extra_info("ssl_object").selected_alpn_protocol()
    assert chosen == "http/1.1"
    await end(transport, client, served)


async def test_the_server_may_take_another_certificate_for_another_name(loop, serving):
    context = server_context()
    others = server_context(OTHER)
    asked = []

    def choose(session, name, _):
        asked.append(name)
        session.context = others

    context.sni_callback = choose
    served = Recorder()
    port = await serving(lambda: served, context)
    transport, client = await connect(loop, port, client_context(OTHER), "other.example")
    assert asked == ["other.example"]
    names = transport.get_extra_info("peercert")["subjectAltName"]
    assert names == (("DNS", "other.example"),)
    await served.hears("connection_made")
    await end(transport, client, served)


async def test_the_host_is_the_name_that_the_certificate_must_have(loop, serving):
    served = Recorder()
    port = await serving(lambda: served)
    transport, client = await loop.create_connection(
        Recorder, "localhost", port, ssl=client_context(), family=socket.AF_INET
    )
    assert transport.get_extra_info("ssl_object").server_hostname == "localhost"
    await end(transport, client, served)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_shows_its_certificate_when_asked(loop, serving, version):
    theirs = only(server_context(), version)
    theirs.load_verify_locations(OTHER)
    theirs.verify_mode = ssl.CERT_REQUIRED
    ours = client_context()
    ours.load_cert_chain(OTHER, OTHER.with_suffix(".key"))
    served = Recorder()
    transport, client = await connect(loop, await serving(lambda: served, theirs), ours)
    await served.hears("connection_made")
    subject = served.transport.get_extra_info("peercert")["subject"]
    assert subject == ((("commonName", "other.example"),),)
    await end(transport, client, served)


async def test_a_client_without_the_certificate_never_reaches_the_servers_protocol(loop, serving):
    theirs = only(server_context(), ssl.TLSVersion.TLSv1_2)
    theirs.load_verify_locations(OTHER)
    theirs.verify_mode = ssl.CERT_REQUIRED
    served = Recorder()
    port = await serving(lambda: served, theirs)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await connect(loop, port)
    await settle(loop)
    assert served.calls == []


async def test_the_default_context_trusts_nobody_that_the_system_does_not(loop, serving):
    with pytest.raises(ssl.SSLCertVerificationError):
        await loop.create_connection(
            Recorder, LOCAL, await serving(), ssl=True, server_hostname="localhost"
        )
    await settle(loop)


async def test_the_default_context_is_what_the_ssl_module_makes(loop, serving, monkeypatch):
    context = client_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda: context)
    served = Recorder()
    port = await serving(lambda: served)
    transport, client = await connect(loop, port, True)
    assert transport.get_extra_info("sslcontext") is context
    await end(transport, client, served)


async def test_a_session_can_be_taken_up_again(loop, serving):
    context = only(client_context(), ssl.TLSVersion.TLSv1_2)
    served = []

    def factory():
        served.append(Recorder())
        return served[-1]

    port = await serving(factory)
    transport, client = await connect(loop, port, context)
    session = transport.get_extra_info("ssl_object").session
    await end(transport, client, served[0])
    with socket.create_connection((LOCAL, port)) as sock:
        sock.setblocking(False)
        peer = TlsPeer(loop, sock, context, server=False)
        peer.session.session = session
        await peer.shake()
        assert peer.session.session_reused
    await served[1].hears("connection_lost")


# how the bytes come ---------------------------------------------------------------------------


async def test_a_handshake_that_comes_byte_by_byte_is_a_handshake(loop, serving):
    served = Recorder()
    port = await serving(lambda: served)
    with socket.create_connection((LOCAL, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        peer = TlsPeer(loop, sock, client_context(), server=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        for byte in peer.outgoing.read():
            sock.send(bytes([byte]))
            await asyncio.sleep(0)
        await peer.shake()
        await peer.send(b"whole")
        assert await served.gets(5) == b"whole"
    await served.hears("connection_lost")


async def test_data_that_comes_with_the_end_of_the_handshake_is_not_lost(loop, serving):
    served = Recorder()
    port = await serving(lambda: served)
    with socket.create_connection((LOCAL, port)) as sock:
        sock.setblocking(False)
        peer = TlsPeer(loop, sock, client_context(), server=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        sock.send(peer.outgoing.read())
        while True:
            peer.incoming.write(await loop.sock_recv(sock, 65536))
            try:
                peer.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        finished = peer.outgoing.read()
        sock.send(finished + peer.seal(b"at ", b"once") + peer.farewell())
        await served.hears("eof_received")
        assert served.data == b"at once"
        assert served.calls[0] == "connection_made"
    await served.hears("connection_lost")


async def test_what_is_written_in_connection_made_is_the_first_that_the_peer_gets(loop, tls):
    class Greets(Recorder):
        def connection_made(self, transport):
            transport.write(b"hello ")
            super().connection_made(transport)
            transport.writelines([b"and", b" welcome"])

    _, _, peer = await tls(Greets)
    assert await peer.gets(17) == b"hello and welcome"


# failures -------------------------------------------------------------------------------------


async def test_a_certificate_for_another_name_is_refused(loop, serving):
    served = Recorder()
    port = await serving(lambda: served)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await connect(loop, port, name="other.example")
    await settle(loop)
    assert "data_received" not in served.calls


async def test_a_certificate_that_nobody_vouches_for_is_refused(loop, serving):
    port = await serving()
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(loop, port, client_context(OTHER))
    await settle(loop)


@pytest.mark.treadle_only  # asyncio drops the alert
async def test_the_peer_is_told_why_it_is_refused(loop):
    with listening() as listener:
        connecting = asyncio.ensure_future(
            connect(loop, listener.getsockname()[1], client_context(OTHER))
        )
        listener.setblocking(False)
        sock, _ = await loop.sock_accept(listener)
    with sock:
        peer = TlsPeer(loop, sock, server_context(), server=True)
        with pytest.raises(ssl.SSLError, match="unknown ca"):
            await asyncio.gather(peer.shake(), peer.gets(1))
    with pytest.raises(ssl.SSLCertVerificationError):
        await connecting


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(64),  # a record longer than there are
        b"\x16\x03\x01\x00\x00" * 64,  # empty ones
        b"\x80\x2e\x01\x03\x01" + bytes(64),  # a greeting of SSL 2
        bytes(64),
        b"\x15\x03\x03\x00\x02\x02\x28",  # an alert: handshake failure
    ],
)
async def test_garbage_instead_of_a_greeting_closes_the_connection(loop, serving, garbage):
    served = Recorder()
    port = await serving(lambda: served)
    with socket.create_connection((LOCAL, port)) as caller:
        caller.setblocking(False)
        caller.send(garbage)
        try:
            await read_all(loop, caller)
        except ConnectionResetError:
            pass
    assert served.calls == []


async def test_garbage_instead_of_the_servers_answer_is_an_ssl_error(loop):
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.send(b"220 mail.example ESMTP\r\n")
        with pytest.raises(ssl.SSLError):
            await loop.create_connection(
                Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
            )
    await settle(loop)
    assert ours.fileno() == -1


async def test_garbage_in_the_middle_of_a_handshake_is_an_ssl_error(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        connecting = asyncio.ensure_future(
            loop.create_connection(
                Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
            )
        )
        peer = TlsPeer(loop, theirs, server_context(), server=True)
        peer.incoming.write(await loop.sock_recv(theirs, 65536))
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        flight = bytearray(peer.outgoing.read())
        flight[-20] ^= 1
        await peer.send_raw(flight)
        with pytest.raises(ssl.SSLError):
            await connecting
    await settle(loop)


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_peer_that_hangs_up_in_the_handshake_is_a_connection_reset(loop, greeted):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connecting = asyncio.ensure_future(
        loop.create_connection(
            Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
        )
    )
    await loop.sock_recv(theirs, 65536)
    if greeted:
        theirs.send(b"\x16\x03\x03\x00\x7a\x02")
    theirs.close()
    with pytest.raises(ConnectionResetError):
        await connecting
    await settle(loop)
    assert ours.fileno() == -1


async def test_a_peer_that_resets_in_the_handshake_is_a_connection_reset(loop):
    with listening() as listener:
        listener.setblocking(False)
        connecting = asyncio.ensure_future(connect(loop, listener.getsockname()[1]))
        sock, _ = await loop.sock_accept(listener)
        await loop.sock_recv(sock, 65536)
        reset(sock)
    with pytest.raises(ConnectionResetError):
        await connecting
    await settle(loop)


async def test_a_client_that_hangs_up_in_the_handshake_leaves_no_trace_at_the_server(loop, serving):
    served = Recorder()
    port = await serving(lambda: served)
    for cut in (1, 4, 5, 6, 100):
        with socket.create_connection((LOCAL, port)) as sock:
            peer = TlsPeer(loop, sock, client_context(), server=False)
            with pytest.raises(ssl.SSLWantReadError):
                peer.session.do_handshake()
            sock.send(peer.outgoing.read()[:cut])
            await settle(loop, 1)
    await settle(loop)
    assert served.calls == []


async def test_a_handshake_that_takes_too_long_is_given_up(loop):
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
        await loop.create_connection(
            Recorder,
            sock=ours,
            ssl=client_context(),
            server_hostname="localhost",
            ssl_handshake_timeout=0.001,
        )
    await settle(loop)
    assert ours.fileno() == -1


async def test_a_client_that_takes_too_long_is_cut_off(loop, serving):
    served = Recorder()
    port = await serving(lambda: served, ssl_handshake_timeout=0.001)
    with socket.create_connection((LOCAL, port)) as sock:
        sock.setblocking(False)
        assert await loop.sock_recv(sock, 1) == b""
    assert served.calls == []


def test_a_handshake_has_a_minute_if_nothing_else_is_said(virtual):
    loop, clock = virtual
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ConnectionAbortedError, match=r"longer than 60\.0 seconds"):
        loop.run_until_complete(
            loop.create_connection(
                Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
            )
        )
    assert clock.ns == 60_000_000_000
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_in_the_handshake_leaves_nothing(loop, turns):
    ours, theirs = socket.socketpair()
    with theirs:
        connecting = asyncio.ensure_future(
            loop.create_connection(
                Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    await settle(loop)
    ours.close()  # still the caller's when cancelled before it began


@pytest.mark.parametrize("version", VERSIONS)
async def test_cancelling_at_any_turn_of_a_whole_handshake_leaves_nothing(loop, serving, version):
    """Until the connection is made before the cancellation comes."""
    context = only(client_context(), version)
    port = await serving()
    for turns in range(100):
        connecting = asyncio.ensure_future(connect(loop, port, context))
        for _ in range(turns):
            await settle(loop, 1)
            if connecting.done():
                break
        connecting.cancel()
        try:
            transport, client = await connecting
        except asyncio.CancelledError:
            continue
        await end(transport, client)
        break
    assert turns > 2
    await settle(loop)


async def test_aborting_the_servers_clients_ends_their_handshakes(loop):
    if not hasattr(asyncio.Server, "abort_clients"):
        pytest.skip("the asyncio of this Python has no abort_clients")
    served = Recorder()
    server = await loop.create_server(lambda: served, LOCAL, 0, ssl=server_context())
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        await settle(loop)
        server.abort_clients()
        server.close()
        await server.wait_closed()
        try:
            assert await loop.sock_recv(sock, 1) == b""
        except ConnectionResetError:
            pass
    assert served.calls == []


async def test_a_failing_connection_made_is_reported(loop, serving, reports):
    class Trouble(Exception):
        pass

    class Fails(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise Trouble

    served = Fails()
    port = await serving(lambda: served)
    with socket.create_connection((LOCAL, port)) as sock:
        sock.setblocking(False)
        await TlsPeer(loop, sock, client_context(), server=False).shake()
        await served.hears("connection_made")
        await settle(loop)
    await served.hears("connection_lost")
    assert [type(report["exception"]) for report in reports] == [Trouble]


# arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("timeout", [0, -1, -0.5])
async def test_a_timeout_that_is_none_is_a_value_error(loop, name, timeout):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match=f"{name} should be a positive number"):
        await loop.create_connection(
            Recorder, sock=ours, ssl=client_context(), server_hostname="", **{name: timeout}
        )


@pytest.mark.treadle_only  # asyncio finds out with the first connection
@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
async def test_a_servers_timeout_that_is_none_is_a_value_error_at_once(loop, name):
    with pytest.raises(ValueError, match=f"{name} should be a positive number"):
        await loop.create_server(Recorder, LOCAL, 0, ssl=server_context(), **{name: 0})


@pytest.mark.parametrize(
    "keywords",
    [
        {"server_hostname": "localhost"},
        {"ssl_handshake_timeout": 1},
        {"ssl_shutdown_timeout": 1},
    ],
)
async def test_arguments_about_tls_without_tls_are_a_value_error(loop, keywords):
    with pytest.raises(ValueError, match="only meaningful with ssl"):
        await loop.create_connection(Recorder, LOCAL, 1, **keywords)


async def test_a_connection_without_a_host_needs_the_name(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="You must set server_hostname"):
        await loop.create_connection(Recorder, sock=ours, ssl=True)


@pytest.mark.parametrize("wrong", [True, False])
async def test_a_server_needs_a_context(loop, wrong):
    with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
        await loop.create_server(Recorder, LOCAL, 0, ssl=wrong)


async def test_an_accepted_connection_needs_a_context(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="needs a valid SSLContext"):
        await loop.connect_accepted_socket(Recorder, ours, ssl=True)


# what is left ---------------------------------------------------------------------------------


async def test_a_failed_handshake_holds_nothing(loop):
    contexts = []
    for end_it in ("hang up", "cancel"):
        context = client_context()
        contexts.append(weakref.ref(context))
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        connecting = asyncio.ensure_future(
            loop.create_connection(Recorder, sock=ours, ssl=context, server_hostname="localhost")
        )
        await loop.sock_recv(theirs, 65536)
        if end_it == "cancel":
            connecting.cancel()
        theirs.close()
        with pytest.raises((ConnectionResetError, asyncio.CancelledError)):
            await connecting
        del context, connecting
    await settle(loop)
    gc.collect()
    assert [reference() for reference in contexts] == [None, None]


async def test_a_connected_and_an_accepted_socket_can_be_wrapped(loop):
    ours, theirs = socket.socketpair()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(Recorder, theirs, ssl=server_context())
    )
    transport, client = await loop.create_connection(
        Recorder, sock=ours, ssl=client_context(LOCALHOST), server_hostname="localhost"
    )
    _, served = await accepting
    transport.write(b"x")
    assert await served.gets(1) == b"x"
    await end(transport, client, served)
