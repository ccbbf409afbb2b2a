"""Programs that get something done, each with another part of treadle, whatever fails on the way.

A program takes a `World`, in which it notes what it sees, and returns when all that it started has
ended, well or badly. What a fault may raise to it is an OSError; it lets everything else through.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.faults.world import (
    SIZE,
    BufferedEchoEnd,
    BufferedTalkEnd,
    DatagramEnd,
    EchoEnd,
    PipeEnd,
    TalkEnd,
    World,
    listener,
    message,
)

CERTIFICATE = Path(__file__).parents[1] / "net" / "certs" / "localhost.crt"
LACK = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LONG = 120_000  # bytes: more than the kernel takes at once, and more than the high-water mark


async def talk(
    world: World, port: int, options: Any, kind: Any, sizes: tuple[int, ...], ending: str
) -> None:
    """Be a client, from connecting to the end of the connection."""
    end = kind(world, sizes, ending)
    connecting = world.loop.create_connection(lambda: end, "127.0.0.1", port, **options)
    made = await world.attempt(connecting)
    if made is not None or end.made:
        await end.closed


async def served(
    world: World,
    factory: Any,
    talks: Any,
    *,
    small: bool = False,
    server_side: Any = MappingProxyType({}),
    client_side: Any = MappingProxyType({}),
) -> None:
    """Run clients against a server, until all connections are gone."""
    loop = world.loop
    serving = loop.create_server(lambda: factory(world), "127.0.0.1", 0, **server_side)
    server = await world.attempt(serving)
    if server is None:
        return
    try:
        sock = server.sockets[0]
        port = sock._sock.getsockname()[1]
        if small:
            sock._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    except OSError as exc:
        world.errors.append(exc)
    else:
        await asyncio.gather(*[talk(world, port, client_side, *one) for one in talks])
    server.close()
    await server.wait_closed()
    while server._clients:  # which it does not wait for on 3.11
        await asyncio.sleep(0)
    for end in world.ends:
        await end.closed


async def conversations(world: World) -> None:
    """Protocols, one of them buffered, that talk in short messages and end in each way."""
    talks = [
        (TalkEnd, (SIZE, SIZE, SIZE), "close"),
        (TalkEnd, (SIZE,), "write_eof"),
        (BufferedTalkEnd, (SIZE, SIZE), "abort"),
    ]
    await served(world, EchoEnd, talks)


async def long_messages(world: World) -> None:
    """Messages that fill the kernel's buffers, pause and resume."""
    talks = [(TalkEnd, (LONG,), "write_eof"), (BufferedTalkEnd, (SIZE, LONG, SIZE), "close")]
    await served(world, BufferedEchoEnd, talks, small=True)


async def burst(world: World) -> None:
    """Many that connect at once, while the server accepts in batches."""
    await served(world, EchoEnd, [(TalkEnd, (SIZE,), "close")] * 8)


async def streams(world: World) -> None:
    """Streams of asyncio at both ends: readexactly, readline, drain."""

    async def serve(reader: Any, writer: Any) -> None:
        received = b""
        try:
            while data := await reader.read(100):
                received += data
                world.check_at_server(received)
                writer.write(data)
                await writer.drain()
            world.bind(received)
        except OSError as exc:
            world.errors.append(exc)
        finally:
            writer.close()
            await world.attempt(writer.wait_closed())

    async def call(port: int) -> None:
        token = world.new_token()
        pair = await world.attempt(asyncio.open_connection("127.0.0.1", port))
        if pair is None:
            return
        reader, writer = pair
        received = b""
        try:
            for ordinal in range(3):
                data = message(token, ordinal, SIZE - 1) + b"\n"
                world.sent[token] += data
                writer.write(data)
                await writer.drain()
                received += await (reader.readline() if ordinal else reader.readexactly(SIZE))
                world.check_at_client(token, received)
            writer.write_eof()
            received += await reader.read()
            world.finished += received == world.sent[token]
        except (OSError, EOFError) as exc:
            world.errors.append(exc)
        finally:
            writer.close()
            await world.attempt(writer.wait_closed())

    tasks: list[asyncio.Task[None]] = []

    def start(reader: Any, writer: Any) -> None:
        tasks.append(world.loop.create_task(serve(reader, writer)))

    server = await world.attempt(asyncio.start_server(start, "127.0.0.1", 0))
    if server is None:
        return
    try:
        port = server.sockets[0].getsockname()[1]
    except OSError as exc:
        world.errors.append(exc)
    else:
        await asyncio.gather(call(port), call(port))
    server.close()
    await server.wait_closed()
    await asyncio.gather(*tasks)


async def both(*coroutines: Any) -> None:
    """Await all; when one fails, cancel the others, wait for them, and raise what it raised."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, OSError):
            raise result


async def raw_sockets(world: World) -> None:
    """The user's own sockets: sock_accept, _connect, _recv, _recv_into, _sendall."""
    loop = world.loop

    async def serve(conn: socket.socket) -> None:
        received = b""
        try:
            with conn:
                while data := await loop.sock_recv(conn, 20_000):
                    received += data
                    world.check_at_server(received)
                    await loop.sock_sendall(conn, data)
        except OSError as exc:
            world.errors.append(exc)
        world.bind(received)

    async def accept(sock: socket.socket, tasks: list[asyncio.Task[None]]) -> None:
        while True:
            try:
                conn, _ = await loop.sock_accept(sock)
            except OSError as exc:
                world.errors.append(exc)
                await asyncio.sleep(1 if exc.errno in LACK else 0)
            else:
                tasks.append(loop.create_task(serve(conn)))

    async def call(port: int, sizes: tuple[int, ...]) -> None:
        token = world.new_token()
        try:
            sock = socket.socket()
        except OSError as exc:
            world.errors.append(exc)
            return
        with sock:
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", port))
                await converse(token, sock, sizes)
                world.finished += 1
            except OSError as exc:
                world.errors.append(exc)

    async def converse(token: bytes, sock: socket.socket, sizes: tuple[int, ...]) -> None:
        received = bytearray()
        for ordinal, size in enumerate(sizes):
            data = message(token, ordinal, size)
            world.sent[token] += data
            await both(loop.sock_sendall(sock, data), receive(token, sock, received))

    async def receive(token: bytes, sock: socket.socket, received: bytearray) -> None:
        buffer = bytearray(5_000)
        while len(received) < len(world.sent[token]):
            count = await loop.sock_recv_into(sock, buffer)
            if count == 0:
                raise ConnectionError("the server has closed")
            received += buffer[:count]
            world.check_at_client(token, received)

    try:
        sock = listener()
    except OSError as exc:
        world.errors.append(exc)
        return
    tasks: list[asyncio.Task[None]] = []
    with sock:
        accepting = loop.create_task(accept(sock, tasks))
        try:
            port = sock.getsockname()[1]
        except OSError as exc:
            world.errors.append(exc)
        else:
            await asyncio.gather(call(port, (SIZE, LONG)), call(port, (SIZE, SIZE)))
        accepting.cancel()
        await asyncio.wait([accepting])
    await asyncio.gather(*tasks)


async def raw_datagrams(world: World) -> None:
    """The user's own datagram sockets: sock_sendto, sock_recvfrom, sock_recvfrom_into."""
    loop = world.loop

    async def echo(sock: socket.socket) -> None:
        while True:
            try:
                data, address = await loop.sock_recvfrom(sock, 1000)
                world.check_datagram(b"", data)
                await loop.sock_sendto(sock, data, address)
            except OSError as exc:
                world.errors.append(exc)
                await asyncio.sleep(0)

    async def ask(sock: socket.socket, token: bytes, address: Any) -> None:
        buffer = bytearray(1000)
        for ordinal in range(3):
            data = message(token, ordinal, SIZE)
            world.datagrams.add(data)
            for _ in range(20):
                try:
                    async with asyncio.timeout(1):
                        await loop.sock_sendto(sock, data, address)
                        count, _ = await loop.sock_recvfrom_into(sock, buffer)
                except OSError as exc:  # TimeoutError is one: then it is sent again
                    world.errors.append(exc)
                    continue
                world.check_datagram(token, bytes(buffer[:count]))
                if buffer[:count] == data:
                    break
            else:
                return
        world.finished += 1

    try:
        with socket.socket(type=socket.SOCK_DGRAM) as there:
            there.setblocking(False)
            there.bind(("127.0.0.1", 0))
            address = there.getsockname()
            token = world.new_token()
            with socket.socket(type=socket.SOCK_DGRAM) as here:
                here.setblocking(False)
                echoing = loop.create_task(echo(there))
                await ask(here, token, address)
                echoing.cancel()
                await asyncio.wait([echoing])
    except OSError as exc:
        world.errors.append(exc)


async def watches(world: World) -> None:
    """add_reader and add_writer on a pair of sockets, of which one end echoes."""
    token = world.new_token()
    try:
        ours, theirs = socket.socketpair()
    except OSError as exc:
        world.errors.append(exc)
        return
    with ours, theirs:
        done = world.loop.create_future()
        talker, echo = Watched(world, ours, done), Watched(world, theirs, done)
        expected = b"".join(message(token, ordinal, SIZE) for ordinal in range(3))

        def heard_at_talker() -> None:
            world.check_at_client(token, talker.received)
            if talker.received == expected and not done.done():
                world.finished += 1
                done.set_result(None)

        def heard_at_echo() -> None:
            world.check_at_server(echo.received)
            echo.write(echo.received[echo.written :])

        talker.on_data, echo.on_data = heard_at_talker, heard_at_echo
        world.sent[token] += expected
        talker.begin()
        echo.begin()
        talker.write(expected)
        await done
        for one in (talker, echo):
            one.guarded(world.loop.remove_reader, one.sock)
            one.guarded(world.loop.remove_writer, one.sock)


class Watched:
    """A socket that is read and written by watching it; `done` is set when it fails."""

    def __init__(self, world: World, sock: socket.socket, done: asyncio.Future[None]) -> None:
        self.world = world
        self.sock = sock
        self.done = done
        self.received = bytearray()
        self.pending = bytearray()
        self.written = 0  # bytes that were given to `write`
        self.on_data: Callable[[], None] = int

    def begin(self) -> None:
        self.guarded(self.sock.setblocking, False)
        self.guarded(self.world.loop.add_reader, self.sock, self.guarded, self.read)

    def write(self, data: bytes | bytearray) -> None:
        self.pending += data
        self.written += len(data)
        self.guarded(self.world.loop.add_writer, self.sock, self.guarded, self.send)

    def read(self) -> None:
        data = self.sock.recv(100)
        if not data:
            raise ConnectionError("the other end is closed")
        self.received += data
        self.on_data()

    def send(self) -> None:
        del self.pending[: self.sock.send(self.pending)]
        if not self.pending:
            self.world.loop.remove_writer(self.sock)

    def guarded(self, call: Callable[..., object], *args: Any) -> None:
        try:
            call(*args)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self.world.errors.append(exc)
            if not self.done.done():
                self.done.set_result(None)


async def tls(world: World) -> None:
    """Conversations through TLS, whose handshake can be cut short as well."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    client = ssl.create_default_context(cafile=str(CERTIFICATE))
    client.check_hostname = False
    talks = [(TalkEnd, (SIZE, SIZE), "close"), (BufferedTalkEnd, (SIZE, 20_000), "abort")]
    await served(world, EchoEnd, talks, server_side={"ssl": server}, client_side={"ssl": client})


async def unix_sockets(world: World) -> None:
    """Conversations over a Unix socket."""
    path = os.path.join(tempfile.gettempdir(), f"treadle-{os.getpid()}-{id(world)}")
    server = await world.attempt(world.loop.create_unix_server(lambda: EchoEnd(world), path))
    if server is not None:
        talks = [(TalkEnd, (SIZE, SIZE), "close"), (BufferedTalkEnd, (SIZE,), "write_eof")]
        await asyncio.gather(*[talk_locally(world, path, *one) for one in talks])
        server.close()
        await server.wait_closed()
    for end in world.ends:
        await end.closed
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


async def talk_locally(
    world: World, path: str, kind: Any, sizes: tuple[int, ...], ending: str
) -> None:
    end = kind(world, sizes, ending)
    made = await world.attempt(world.loop.create_unix_connection(lambda: end, path))
    if made is not None or end.made:
        await end.closed


async def datagrams(world: World) -> None:
    """Datagrams that are sent again until they come back, between endpoints of each kind."""

    def echo(end: DatagramEnd, data: bytes, address: Any) -> None:
        world.check_datagram(b"", data)
        end.transport.sendto(data, address)

    server = DatagramEnd(world, echo)
    local = {"local_addr": ("127.0.0.1", 0)}
    made = await world.attempt(world.loop.create_datagram_endpoint(lambda: server, **local))
    if made is None:
        return
    address = made[0].get_extra_info("sockname")
    if address is not None:
        connected = query(world, None, {"remote_addr": address})
        await asyncio.gather(connected, query(world, address, local))
    made[0].close()
    await server.closed


async def pipes(world: World) -> None:
    """Messages of every length through a pipe, both ends of it transports."""
    token = world.new_token()
    reading, writing = os.pipe()
    source, target = os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)
    reader, writer = PipeEnd(world, token), PipeEnd(world, token)
    try:
        made = await world.attempt(world.loop.connect_read_pipe(lambda: reader, source))
        if made is not None:
            made = await world.attempt(world.loop.connect_write_pipe(lambda: writer, target))
        if made is not None:
            for ordinal, size in enumerate((SIZE, LONG, SIZE)):
                data = message(token, ordinal, size)
                world.sent[token] += data
                made[0].write(data)
            made[0].close()
        elif reader.transport is not None:
            reader.transport.close()
        for end in (reader, writer):
            if end.made:
                await end.closed
    finally:
        for file in (source, target):
            file.close()
    world.finished += reader.received == world.sent[token]


async def query(world: World, address: Any, options: Any) -> None:
    """Send one datagram at a time, again after a second without its echo; give up in the end."""
    token = world.new_token()
    came = asyncio.Event()
    expected = b""

    def heard(end: DatagramEnd, data: bytes, sender: Any) -> None:
        world.check_datagram(token, data)
        if data == expected:
            came.set()

    end = DatagramEnd(world, heard)
    made = await world.attempt(world.loop.create_datagram_endpoint(lambda: end, **options))
    if made is None:
        return
    for ordinal in range(3):
        expected = message(token, ordinal, SIZE)
        world.datagrams.add(expected)
        came.clear()
        for _ in range(20):
            made[0].sendto(expected, address)
            try:
                await asyncio.wait_for(came.wait(), 1)
                break
            except TimeoutError:
                continue
        if made[0].is_closing():
            break
    world.finished += came.is_set()
    made[0].close()
    await end.closed


ALL = (
    conversations,
    long_messages,
    burst,
    streams,
    raw_sockets,
    raw_datagrams,
    watches,
    tls,
    unix_sockets,
    datagrams,
    pipes,
)
PROGRAMS = {program.__name__: program for program in ALL}
