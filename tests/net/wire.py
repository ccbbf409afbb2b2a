"""Two ends of a wire: protocols that write down what they hear, and a plain socket as the peer."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

MEGABYTE = 1024 * 1024


class Diary:
    """What a protocol heard, in order; a test can wait until something has been heard."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.reason: Any = "still connected"  # what connection_lost was given
        self._waiters: list[asyncio.Future[None]] = []

    async def hears(self, *names: str, times: int = 1) -> None:
        """Wait until each of the calls has been made so many times."""
        while any(self.calls.count(name) < times for name in names):
            await self._next_call()

    async def gets(self, size: int) -> bytes:
        """Wait until `size` bytes have come; return all that came."""
        while len(self.data) < size:
            await self._next_call()
        return bytes(self.data)

    def note(self, name: str) -> None:
        self.calls.append(name)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _next_call(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("connection_made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.reason = exc
        self.note("connection_lost")

    def eof_received(self) -> Any:
        self.note("eof_received")

    def pause_writing(self) -> None:
        self.note("pause_writing")

    def resume_writing(self) -> None:
        self.note("resume_writing")


class Recorder(Diary, asyncio.Protocol):
    """Notes every call and keeps the data."""

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data_received")


class Filler(Diary, asyncio.BufferedProtocol):
    """The same with a buffer of its own, `size` bytes long."""

    size = 4096

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray(self.size)

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]
        self.note("buffer_updated")


class Letterbox(Diary, asyncio.DatagramProtocol):
    """Notes every call and keeps the datagrams, their senders and the errors."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.letters.append((data, addr))
        self.note("datagram_received")

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.note("error_received")

    async def brings(self, count: int) -> list[bytes]:
        """Wait until so many datagrams have come; return what was in all that came."""
        await self.hears("datagram_received", times=count)
        return [data for data, _ in self.letters]


class Line(NamedTuple):
    """A transport, its protocol, and the socket at the other end."""

    transport: Any
    protocol: Any
    peer: socket.socket


class Exchange:
    """Makes lines, and cuts them all in the end.

    ``connected``: the transport comes from create_connection, ``accepted``: from create_server.
    """

    def __init__(self, loop: Any, side: str) -> None:
        self.loop = loop
        self.side = side
        self.lines: list[Line] = []
        self.servers: list[Any] = []

    async def __call__(self, factory: Callable[[], Any] = Recorder, *, small: bool = False) -> Line:
        """Make a line; `small`: the kernel holds only some kilobytes of it."""
        make = self._connect if self.side == "connected" else self._accept
        line = await make(factory, small)
        self.lines.append(line)
        return line

    async def _connect(self, factory: Callable[[], Any], small: bool) -> Line:
        with listening(small) as listener:
            sock = socket.socket(proto=socket.IPPROTO_TCP)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.connect(listener.getsockname())
            peer, _ = listener.accept()
        peer.setblocking(False)
        return Line(*await self.loop.create_connection(factory, sock=sock), peer)

    async def _accept(self, factory: Callable[[], Any], small: bool) -> Line:
        made: list[Any] = []
        server = await self.loop.create_server(
            lambda: made.append(factory()) or made[0], "127.0.0.1", 0
        )
        self.servers.append(server)
        if small:
            server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer = socket.socket()
        if small:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await self.loop.sock_connect(peer, server.sockets[0].getsockname())
        while not (made and made[0].transport):
            await asyncio.sleep(0)
        server.close()
        return Line(made[0].transport, made[0], peer)

    async def hang_up(self) -> None:
        for server in self.servers:
            server.close()
        for transport, _, peer in self.lines:
            peer.close()
            if not transport.is_closing():
                transport.abort()
        await settle(self.loop)


def listening(small: bool = False) -> socket.socket:
    """A listening socket on a port that the kernel chose."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def reset(sock: socket.socket) -> None:
    """Close a TCP socket so that the other end hears ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_descriptors() -> dict[int, str]:
    """The descriptors that this process has open, and what each is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # the one of listdir itself
    return found


def drop(left: list[Any]) -> None:
    """Let go of everything in the list, also where it holds on to itself."""
    left.clear()
    gc.collect()


async def settle(loop: Any, turns: int = 3) -> None:
    """Return when everything that the kernel had ready by now has been dispatched."""
    for _ in range(turns):
        receiver, sender = socket.socketpair()
        with receiver, sender:
            polled = asyncio.Event()
            loop.add_reader(receiver, polled.set)
            sender.send(b"x")
            await polled.wait()
            loop.remove_reader(receiver)


async def read_all(loop: Any, sock: socket.socket) -> bytes:
    """Receive until the end of the stream."""
    parts = []
    while part := await loop.sock_recv(sock, 65536):
        parts.append(part)
    return b"".join(parts)


async def read_exactly(loop: Any, sock: socket.socket, size: int) -> bytes:
    """Receive so many bytes."""
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(sock, size - len(data))
        assert part, f"the stream ended after {len(data)} of {size} bytes"
        data += part
    return data


def segments_sent(transport: Any) -> int:
    """How many segments with data the kernel sent: the tcpi_data_segs_out of tcp(7)."""
    sock = transport.get_extra_info("socket")
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    if len(info) < 160:
        pytest.skip("this kernel does not count segments")
    count: int = struct.unpack_from("I", info, 156)[0]
    return count
