"""Serving Unix sockets, and the files that they leave."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.net.wire import Recorder, read_exactly, settle

pytestmark = pytest.mark.every_driver

HAS_CLEANUP = sys.version_info >= (3, 13)
since_cleanup = [] if HAS_CLEANUP else [pytest.mark.treadle_only]  # asyncio has no such argument


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
def serve(loop):
    """Calls create_unix_server, and closes the servers and their connections in the end."""
    servers = []
    protocols = []

    async def call(path=None, factory=Recorder, **options):
        def make():
            protocols.append(factory())
            return protocols[-1]

        server = await loop.create_unix_server(make, path, **options)
        server.protocols = protocols
        servers.append(server)
        return server

    async def close():
        for server in servers:
            server.close()
        await settle(loop)
        for protocol in protocols:
            protocol.transport.abort()
        await settle(loop)

    yield call
    loop.run_until_complete(close())


async def visit(loop, address):
    """Connect to the address, be greeted, and go."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        return await read_exactly(loop, sock, 5)


class Greeter(Recorder):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(b"hello")


# serving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
async def test_a_path_is_served(loop, serve, path, kind):
    server = await serve(kind(path), Greeter)
    assert server.is_serving()
    assert await visit(loop, str(path)) == b"hello"


@pytest.mark.parametrize("kind", [str, os.fsencode], ids=["str", "bytes"])
async def test_an_abstract_name_is_served(loop, serve, kind):
    name = f"\0treadle-test-{os.getpid()}"
    server = await serve(kind(name), Greeter)
    assert await visit(loop, name) == b"hello"
    server.close()
    again = await serve(kind(name), Greeter)
    assert again.sockets[0].getsockname() == os.fsencode(name)


async def test_a_bound_socket_is_served(loop, serve, path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    server = await serve(sock=sock, factory=Greeter)
    assert await visit(loop, str(path)) == b"hello"
    assert server.sockets[0].getsockname() == str(path)
    assert sock.gettimeout() == 0


async def test_it_serves_later_if_asked_to(loop, serve, path):
    server = await serve(path, Greeter, start_serving=False)
    assert not server.is_serving()
    with pytest.raises(ConnectionRefusedError):
        await visit(loop, str(path))
    await server.start_serving()
    assert await visit(loop, str(path)) == b"hello"


async def test_an_accepted_connection_knows_its_names(loop, serve, path):
    server = await serve(path, Greeter)
    await visit(loop, str(path))
    transport = server.protocols[0].transport
    assert transport.get_extra_info("sockname") == str(path)
    assert transport.get_extra_info("peername") == ""


async def test_streams_serve(path):
    async def shout(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_unix_server(shout, path)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"hello\n")
    assert await reader.read() == b"HELLO\n"
    writer.close()
    await writer.wait_closed()
    await done.wait()
    server.close()
    await server.wait_closed()


async def test_many_connections_are_kept_apart(loop, path):
    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    server = await loop.create_unix_server(Echo, path)
    ends = [await loop.create_unix_connection(Recorder, path) for _ in range(50)]
    for i, (transport, _) in enumerate(ends):
        transport.write(b"%03d" % i)
    for i, (transport, protocol) in enumerate(ends):
        assert await protocol.gets(3) == b"%03d" % i
        transport.close()
    for _, protocol in ends:
        await protocol.hears("connection_lost")
    server.close()
    await server.wait_closed()
    await settle(loop)


# the file -------------------------------------------------------------------------------------


async def test_a_stale_socket_is_removed(loop, serve, path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    await serve(path, Greeter)
    assert await visit(loop, str(path)) == b"hello"


@pytest.mark.parametrize("kind", [str, os.fsencode], ids=["str", "bytes"])
async def test_a_file_in_its_place_stays_and_is_an_error(serve, path, kind):
    path.write_text("precious")
    with pytest.raises(OSError, match="is already in use") as info:
        await serve(kind(path))
    assert info.value.errno == errno.EADDRINUSE
    assert str(info.value).endswith(f"Address {kind(path)!r} is already in use")
    assert path.read_text() == "precious"


async def test_a_directory_in_its_place_stays_and_is_an_error(serve, path):
    path.mkdir()
    with pytest.raises(OSError, match="is already in use"):
        await serve(path)
    assert path.is_dir()


async def test_close_does_to_the_file_what_this_pythons_asyncio_does(serve, path):
    server = await serve(path)
    server.close()
    assert path.exists() is not HAS_CLEANUP


@pytest.mark.parametrize("given", ["path", "sock"])
@pytest.mark.parametrize("cleanup", [True, False])
async def test_close_removes_the_file_if_asked_to(
    request, loop_factory, serve, path, given, cleanup
):
    if not HAS_CLEANUP and loop_factory is asyncio.SelectorEventLoop:
        pytest.skip("this asyncio has no such argument")
    where = {"path": path}
    if given == "sock":
        where = {"sock": socket.socket(socket.AF_UNIX)}
        where["sock"].bind(str(path))
    server = await serve(**where, cleanup_socket=cleanup)
    server.close()
    assert path.exists() is not cleanup


class TestCleaningUp:
    pytestmark = since_cleanup

    async def test_a_file_that_is_gone_already_is_no_error(self, serve, path):
        server = await serve(path, cleanup_socket=True)
        path.unlink()
        server.close()

    async def test_another_file_in_its_place_stays(self, serve, path):
        server = await serve(path, cleanup_socket=True)
        path.rename(path.with_name("old"))
        path.write_text("precious")
        server.close()
        assert path.read_text() == "precious"

    async def test_another_servers_socket_in_its_place_stays(self, loop, serve, path):
        old = await serve(path, cleanup_socket=True)
        path.rename(path.with_name("old"))  # its inode number cannot come up again
        await serve(path, Greeter, cleanup_socket=True)
        old.close()
        assert await visit(loop, str(path)) == b"hello"

    async def test_a_directory_that_is_gone_is_no_error(self, serve, path):
        path.parent.joinpath("below").mkdir()
        below = path.parent / "below" / "s"
        server = await serve(below, cleanup_socket=True)
        below.unlink()
        below.parent.rmdir()
        server.close()

    @pytest.mark.treadle_only  # asyncio raises IndexError
    async def test_a_socket_that_is_not_bound_has_no_file(self, serve):
        sock = socket.socket(socket.AF_UNIX)
        server = await serve(sock=sock, cleanup_socket=True, start_serving=False)
        server.close()
        assert sock.fileno() == -1

    async def test_a_server_that_never_served_removes_its_file_too(self, serve, path):
        server = await serve(path, start_serving=False, cleanup_socket=True)
        server.close()
        assert not path.exists()


# arguments and failures -----------------------------------------------------------------------


async def test_a_path_or_a_socket_is_needed(serve):
    with pytest.raises(ValueError, match="path was not specified, and no sock specified"):
        await serve()


async def test_a_path_and_a_socket_are_too_much(serve, socket_pair):
    with pytest.raises(ValueError, match="path and sock can not be specified at the same time"):
        await serve("path", sock=socket_pair[0])


@pytest.mark.parametrize(
    ("family", "kind"),
    [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)],
)
async def test_another_kind_of_socket_is_refused(serve, family, kind):
    with socket.socket(family, kind) as sock:
        with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
            await serve(sock=sock)


async def test_ssl_is_a_context(serve, path):
    with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
        await serve(path, ssl=True)
    assert not path.exists()


@pytest.mark.parametrize("option", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
async def test_options_of_tls_need_tls(serve, path, option):
    with pytest.raises(ValueError, match=f"{option} is only meaningful with ssl"):
        await serve(path, **{option: 1.0})
    assert not path.exists()


async def test_a_path_that_is_too_long_is_an_error(serve):
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        await serve("x" * 200)


async def test_a_directory_that_is_not_there_is_an_error(serve, path):
    with pytest.raises(FileNotFoundError):
        await serve(path / "deeper")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may do everything")
async def test_a_directory_without_permission_is_an_error(serve, path):
    path.parent.chmod(0o500)
    with pytest.raises(PermissionError):
        await serve(path)


@pytest.mark.treadle_only  # asyncio leaves its socket to the garbage collector
async def test_a_path_with_a_zero_byte_inside_is_an_error(serve, path):
    with pytest.raises((ValueError, OSError)):
        await serve(f"{path}\0x")


@pytest.mark.treadle_only  # asyncio leaves its socket to the garbage collector
async def test_if_serving_fails_nothing_is_left(serve, path):
    with pytest.raises(TypeError):
        await serve(path, backlog="many", cleanup_socket=True)
    assert not path.exists()


async def test_if_serving_fails_the_users_socket_stays_open(serve, path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        with pytest.raises(TypeError):
            await serve(sock=sock, backlog="many")
        assert sock.fileno() >= 0


async def test_cancelled_while_it_starts_the_server_is_closed_or_returned(loop, serve, path):
    if isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("asyncio leaves its server open")
    task = loop.create_task(serve(path))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match=r"refused|No such file"):
        await visit(loop, str(path))
