"""TLS through ``ssl=``: asyncio's own protocol on treadle's transports."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.net.wire import Recorder, settle

pytestmark = pytest.mark.every_driver

CERTIFICATE = Path(__file__).parent / "certs" / "localhost.crt"  # signed by itself, until 2126
KEY = CERTIFICATE.with_suffix(".key")
LOCAL = "127.0.0.1"


@pytest.fixture(scope="module")
def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


@pytest.fixture(scope="module")
def client_context():
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@pytest.fixture
def serving(loop, server_context):
    """Makes a TLS server and waits, in the end, until it is closed with its connections."""
    servers = []

    async def serve(factory, context=server_context, **keywords):
        server = await loop.create_server(factory, LOCAL, 0, ssl=context, **keywords)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield serve
    for server in servers:
        server.close()
        loop.run_until_complete(server.wait_closed())


async def test_both_directions_carry_data(loop, serving, client_context):
    protocol = Recorder()
    port = await serving(lambda: protocol)
    transport, client = await loop.create_connection(
        Recorder, LOCAL, port, ssl=client_context, server_hostname="localhost"
    )
    transport.write(b"question")
    assert await protocol.gets(8) == b"question"
    protocol.transport.write(b"answer")
    assert await client.gets(6) == b"answer"
    transport.close()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")
    assert client.reason is None
    assert protocol.reason is None


async def test_the_host_is_the_name_that_the_certificate_must_have(loop, serving, client_context):
    protocol = Recorder()
    port = await serving(lambda: protocol)
    transport, client = await loop.create_connection(
        Recorder, "localhost", port, ssl=client_context, family=socket.AF_INET
    )
    assert transport.get_extra_info("ssl_object").server_hostname == "localhost"
    transport.abort()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")


async def test_a_certificate_for_another_name_is_refused_and_nothing_stays_open(
    loop, serving, client_context, reports
):
    port = await serving(Recorder)
    with pytest.raises(ssl.SSLCertVerificationError):
        await loop.create_connection(
            Recorder, LOCAL, port, ssl=client_context, server_hostname="other.example"
        )
    await settle(loop)


async def test_a_peer_that_does_not_speak_tls_is_refused(loop, serving, reports):
    made = []

    class Never(Recorder):
        def connection_made(self, transport):
            made.append(transport)

    port = await serving(Never)
    with socket.create_connection((LOCAL, port)) as caller:
        caller.send(b"GET / HTTP/1.0\r\n\r\n")
        caller.setblocking(False)
        while True:
            try:
                if not await loop.sock_recv(caller, 100):
                    break
            except ConnectionResetError:
                break
    assert made == []


async def test_streams_carry_megabytes_both_ways(loop, server_context, client_context):
    data = bytes(range(256)) * 8000
    served = loop.create_future()

    async def echo(reader, writer):
        got = await reader.readexactly(len(data))
        writer.write(got)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set_result(None)

    server = await asyncio.start_server(echo, LOCAL, 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        LOCAL, port, ssl=client_context, server_hostname="localhost"
    )
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    assert await reader.read() == b""
    await served
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_what_is_known_of_the_connection(loop, serving, client_context):
    protocol = Recorder()
    port = await serving(lambda: protocol)
    transport, client = await loop.create_connection(
        Recorder, LOCAL, port, ssl=client_context, server_hostname="localhost"
    )
    assert isinstance(transport, asyncio.Transport)
    assert transport.get_extra_info("peername") == (LOCAL, port)
    assert transport.get_extra_info("sslcontext") is client_context
    assert transport.get_extra_info("cipher")
    assert transport.get_extra_info("peercert")["subject"] == ((("commonName", "localhost"),),)
    assert isinstance(transport.get_extra_info("socket"), asyncio.trsock.TransportSocket)
    assert transport.get_protocol() is client
    transport.close()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")


async def test_pausing_holds_decrypted_data_back(loop, serving, client_context):
    protocol = Recorder()
    port = await serving(lambda: protocol)
    transport, client = await loop.create_connection(
        Recorder, LOCAL, port, ssl=client_context, server_hostname="localhost"
    )
    await protocol.hears("connection_made")
    transport.pause_reading()
    protocol.transport.write(b"held")
    await settle(loop)
    assert client.data == b""
    transport.resume_reading()
    assert await client.gets(4) == b"held"
    transport.close()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")


async def test_a_connected_and_an_accepted_socket_can_be_wrapped(
    loop, server_context, client_context
):
    ours, theirs = socket.socketpair()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(Recorder, theirs, ssl=server_context)
    )
    transport, client = await loop.create_connection(
        Recorder, sock=ours, ssl=client_context, server_hostname="localhost"
    )
    _, protocol = await accepting
    transport.write(b"x")
    assert await protocol.gets(1) == b"x"
    transport.close()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")


async def test_a_handshake_that_takes_too_long_is_given_up(loop, client_context):
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer"):
        await loop.create_connection(
            Recorder,
            sock=ours,
            ssl=client_context,
            server_hostname="localhost",
            ssl_handshake_timeout=0.001,
        )
    await settle(loop)


async def test_cancelling_during_the_handshake_leaves_nothing(loop, client_context):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        task = asyncio.ensure_future(
            loop.create_connection(
                Recorder, sock=ours, ssl=client_context, server_hostname="localhost"
            )
        )
        assert await loop.sock_recv(theirs, 1)  # the handshake has begun
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await settle(loop)
    assert ours.fileno() == -1
