"""Connecting to Unix sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from pathlib import Path

import pytest

from tests.net.wire import Recorder, read_exactly, settle

pytestmark = pytest.mark.every_driver

CERTIFICATE = Path(__file__).parent / "certs" / "localhost.crt"


class Trouble(Exception):
    """Raised by factories on purpose."""


class Host:
    """A plain socket that listens at a path."""

    def __init__(self, path, backlog=5):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen(backlog)
        self.sock.setblocking(False)
        self.came = []

    def accept(self):
        self.came.append(self.sock.accept()[0])
        self.came[-1].setblocking(False)
        return self.came[-1]


@pytest.fixture
def listening(tmp_path, loop):
    """Makes plain listening sockets."""
    made = []

    def listen(path=tmp_path / "s", **options):
        made.append(Host(path, **options))
        return made[-1]

    yield listen
    for host in made:
        for sock in (host.sock, *host.came):
            sock.close()


@pytest.fixture
def connect(loop):
    """Calls create_unix_connection, and aborts what it has made."""
    made = []

    async def call(path=None, factory=Recorder, **options):
        transport, protocol = await loop.create_unix_connection(factory, path, **options)
        made.append(transport)
        return transport, protocol

    async def abort():
        for transport in made:
            transport.abort()
        await settle(loop)

    yield call
    loop.run_until_complete(abort())


# connecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
async def test_a_path_is_connected_to(loop, listening, connect, kind):
    host = listening()
    transport, protocol = await connect(kind(host.path))
    peer = host.accept()
    transport.write(b"question")
    assert await read_exactly(loop, peer, 8) == b"question"
    peer.send(b"answer")
    assert await protocol.gets(6) == b"answer"


@pytest.mark.parametrize("kind", [str, os.fsencode], ids=["str", "bytes"])
async def test_an_abstract_name_is_connected_to(loop, listening, connect, kind):
    name = f"\0treadle-test-{os.getpid()}"
    host = listening(name)
    transport, protocol = await connect(kind(name))
    host.accept().send(b"hello")
    assert await protocol.gets(5) == b"hello"
    assert transport.get_extra_info("peername") == os.fsencode(name)


async def test_a_connected_socket_is_taken(loop, connect, socket_pair):
    ours, theirs = socket_pair
    ours.setblocking(True)
    _, protocol = await connect(sock=ours)
    assert ours.gettimeout() == 0
    theirs.send(b"hello")
    assert await protocol.gets(5) == b"hello"


async def test_the_names_of_both_ends_are_known(listening, connect):
    host = listening()
    transport, _ = await connect(host.path)
    assert transport.get_extra_info("peername") == str(host.path)
    assert transport.get_extra_info("sockname") == ""
    assert transport.get_extra_info("socket").family == socket.AF_UNIX


async def test_streams_connect(listening):
    host = listening()
    reader, writer = await asyncio.open_unix_connection(host.path)
    host.accept().send(b"line\n")
    assert await reader.readline() == b"line\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.treadle_only  # asyncio takes the full backlog for a connection that is being made
async def test_a_full_backlog_is_waited_for(loop, listening, connect):
    host = listening(backlog=0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(host.path))  # the kernel takes one more than the backlog
        task = loop.create_task(connect(host.path))
        await settle(loop, 20)
        assert not task.done()
        host.accept()
        await task
        assert host.accept()


@pytest.mark.treadle_only
async def test_waiting_for_a_backlog_can_be_cancelled(loop, listening, connect):
    host = listening(backlog=0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(host.path))
        task = loop.create_task(connect(host.path))
        await settle(loop, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# arguments ------------------------------------------------------------------------------------


async def test_a_path_or_a_socket_is_needed(connect):
    with pytest.raises(ValueError, match="no path and sock were specified"):
        await connect()


async def test_a_path_and_a_socket_are_too_much(connect, socket_pair):
    with pytest.raises(ValueError, match="path and sock can not be specified at the same time"):
        await connect("path", sock=socket_pair[0])


@pytest.mark.parametrize(
    ("family", "kind"),
    [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)],
)
async def test_another_kind_of_socket_is_refused(connect, family, kind):
    with socket.socket(family, kind) as sock:
        with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
            await connect(sock=sock)


@pytest.mark.parametrize("path", [1, 1.5, ["a"], object()], ids=repr)
async def test_what_is_no_path_is_refused(connect, path):
    with pytest.raises(TypeError):
        await connect(path)


async def test_tls_needs_a_host_name(connect):
    with pytest.raises(ValueError, match="you have to pass server_hostname when using ssl"):
        await connect("path", ssl=True)


@pytest.mark.parametrize(
    "option", ["server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout"]
)
async def test_options_of_tls_need_tls(connect, option):
    value = "name" if option == "server_hostname" else 1.0
    with pytest.raises(ValueError, match=f"{option} is only meaningful with ssl"):
        await connect("path", **{option: value})


# TLS ------------------------------------------------------------------------------------------


async def test_tls_runs_over_it(loop, tmp_path, connect):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    there = Recorder()
    path = str(tmp_path / "s")
    server = await loop.create_unix_server(lambda: there, path, ssl=context)
    transport, _ = await connect(
        path,
        ssl=ssl.create_default_context(cafile=str(CERTIFICATE)),
        server_hostname="localhost",
    )
    transport.write(b"secret")
    assert await there.gets(6) == b"secret"
    transport.close()
    await there.hears("connection_lost")
    server.close()
    await server.wait_closed()


@pytest.mark.treadle_only
async def test_a_handshake_timeout_that_makes_no_sense_leaves_nothing_open(listening, connect):
    host = listening()
    with pytest.raises(ValueError, match="ssl_handshake_timeout"):
        await connect(host.path, ssl=True, server_hostname="x", ssl_handshake_timeout=-1)


# failures -------------------------------------------------------------------------------------


async def test_a_path_where_nothing_is_is_an_error(tmp_path, connect):
    with pytest.raises(FileNotFoundError):
        await connect(tmp_path / "nothing")


async def test_a_path_where_nobody_listens_any_more_is_an_error(listening, connect):
    host = listening()
    host.sock.close()
    with pytest.raises(ConnectionRefusedError):
        await connect(host.path)


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_path_to_something_else_is_an_error(tmp_path, connect, what):
    path = tmp_path / "a"
    path.mkdir() if what == "directory" else path.write_text("x")
    with pytest.raises(ConnectionRefusedError):
        await connect(path)


async def test_a_path_that_is_too_long_is_an_error(connect):
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        await connect("x" * 200)


async def test_a_datagram_socket_at_the_path_is_an_error(tmp_path, connect):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "a"))
        with pytest.raises(OSError) as info:  # noqa: PT011 - the number is looked at
            await connect(tmp_path / "a")
        assert info.value.errno == errno.EPROTOTYPE


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may do everything")
async def test_a_path_without_permission_is_an_error(listening, connect):
    host = listening()
    host.path.chmod(0)
    with pytest.raises(PermissionError):
        await connect(host.path)


@pytest.mark.treadle_only  # asyncio leaves its socket to the garbage collector
async def test_a_factory_that_raises_leaves_nothing_open(listening, connect):
    def factory():
        raise Trouble

    with pytest.raises(Trouble):
        await connect(listening().path, factory)


async def test_a_factory_that_raises_leaves_the_users_socket_open(connect, socket_pair):
    def factory():
        raise Trouble

    with pytest.raises(Trouble):
        await connect(factory=factory, sock=socket_pair[0])
    assert socket_pair[0].fileno() >= 0


@pytest.mark.parametrize("turns", range(4))
async def test_cancelled_in_any_turn_nothing_is_open(loop, listening, turns):
    made = []

    def factory():
        made.append(Recorder())
        return made[-1]

    task = loop.create_task(loop.create_unix_connection(factory, listening().path))
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        task.result()[0].close()
    await settle(loop)
    assert all(client.calls == ["connection_made", "connection_lost"] for client in made)
