"""TLS on the wire: a peer that says exactly what a test wants, and lines with TLS on our side."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.net.wire import Exchange, Filler, Line, Recorder, listening, settle

CERTIFICATES = Path(__file__).parent / "certs"  # signed by themselves, valid for a hundred years
LOCALHOST = CERTIFICATES / "localhost.crt"
OTHER = CERTIFICATES / "other.crt"
LOCAL = "127.0.0.1"


def server_context(certificate: Path = LOCALHOST) -> ssl.SSLContext:
    """What a server needs to be `certificate`'s owner."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def client_context(certificate: Path = LOCALHOST) -> ssl.SSLContext:
    """What a client needs to trust the owner of `certificate`."""
    return ssl.create_default_context(cafile=str(certificate))


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """The same context, for one version of TLS."""
    context.minimum_version = context.maximum_version = version
    return context


async def reading_stops(loop: Any, transport: Any) -> None:
    """Wait until a transport of treadle's takes nothing more from the peer."""
    while "read=polling" in repr(transport):
        await settle(loop, 1)


class Views(Filler):
    """A filler that gives a view: asyncio would fill a slice of the array, which is a copy."""

    def get_buffer(self, sizehint: int) -> Any:
        return memoryview(self.buffer)


class TlsPeer:
    """The other end: a socket and a session that this test drives step by step."""

    def __init__(self, loop: Any, sock: socket.socket, context: Any, *, server: bool) -> None:
        self.loop = loop
        self.sock = sock
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no waiting for each other
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server,
            server_hostname=None if server else "localhost",
        )

    async def shake(self) -> None:
        """Go through the handshake."""
        await self._until(self.session.do_handshake)

    async def send(self, data: bytes) -> None:
        """Encrypt and send."""
        await self.send_raw(self.seal(data))

    def seal(self, *messages: bytes) -> bytes:
        """Encrypt, each message in records of its own; return the records."""
        for data in messages:
            assert self.session.write(data) == len(data)
        return self.outgoing.read()

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.loop.sock_sendall(self.sock, data)

    async def gets(self, size: int) -> bytes:
        """Receive so many bytes."""
        data = b""
        while len(data) < size:
            part = await self.gets_some()
            assert part, f"the stream ended after {len(data)} of {size} bytes"
            data += part
        return data

    async def reads_all(self) -> bytes:
        """Receive until the farewell of the other side."""
        data = b""
        while part := await self.gets_some():
            data += part
        return data

    async def gets_some(self) -> bytes:
        """Receive some bytes; none after the farewell of the other side."""
        return await self._until(lambda: self.session.read(65536))

    def take_tickets(self) -> None:
        """Take what the server has sent behind its handshake; unread, it would make a reset."""
        try:
            self.incoming.write(self.sock.recv(65536))
        except BlockingIOError:
            pass  # TLS 1.2 has none

    def farewell(self) -> bytes:
        """Return the record of our close_notify."""
        try:
            self.session.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def close(self) -> None:
        self.sock.close()

    async def _until(self, step: Callable[[], Any]) -> Any:
        """Take a step as often as it wants to read more."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.loop.sock_recv(self.sock, 65536)
                if not data:
                    raise ConnectionResetError("the other side closed without farewell") from None
                self.incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if data := self.outgoing.read():
            await self.loop.sock_sendall(self.sock, data)


class TlsExchange(Exchange):
    """Makes lines whose transport speaks TLS and whose peer is a `TlsPeer`."""

    async def __call__(
        self,
        factory: Callable[[], Any] = Recorder,
        *,
        small: bool = False,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        **keywords: Any,
    ) -> Line:
        """`keywords` are those of create_connection, or of create_server."""
        make = self._connect_tls if self.side == "connected" else self._accept_tls
        line = await make(factory, small, version, keywords)
        self.lines.append(line)
        return line

    async def _connect_tls(
        self, factory: Any, small: bool, version: ssl.TLSVersion, keywords: Any
    ) -> Line:
        with listening(small) as listener:
            sock = socket.socket(proto=socket.IPPROTO_TCP)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.connect(listener.getsockname())
            accepted, _ = listener.accept()
        accepted.setblocking(False)
        peer = TlsPeer(self.loop, accepted, only(server_context(), version), server=True)
        shaking = asyncio.ensure_future(peer.shake())
        transport, protocol = await self.loop.create_connection(
            factory,
            sock=sock,
            ssl=only(client_context(), version),
            server_hostname="localhost",
            **keywords,
        )
        await shaking
        return Line(transport, protocol, peer)

    async def _accept_tls(
        self, factory: Any, small: bool, version: ssl.TLSVersion, keywords: Any
    ) -> Line:
        made: list[Any] = []
        server = await self.loop.create_server(
            lambda: made.append(factory()) or made[0],
            LOCAL,
            0,
            ssl=only(server_context(), version),
            **keywords,
        )
        self.servers.append(server)
        if small:
            server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock = socket.socket()
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await self.loop.sock_connect(sock, server.sockets[0].getsockname())
        peer = TlsPeer(self.loop, sock, only(client_context(), version), server=False)
        await peer.shake()
        while not (made and made[0].transport):
            await asyncio.sleep(0)
        server.close()
        await settle(self.loop)
        peer.take_tickets()
        return Line(made[0].transport, made[0], peer)
