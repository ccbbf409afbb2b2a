"""dnspython asks a name server on the loop: over UDP, over TCP when an answer is cut, over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.servers import client_context, free_ports, server_context
from tests.kit import Handler

dns = pytest.importorskip("dns")
query = pytest.importorskip("dns.asyncquery")
resolver = pytest.importorskip("dns.asyncresolver")
message = pytest.importorskip("dns.message")
rrset = pytest.importorskip("dns.rrset")
flags = pytest.importorskip("dns.flags")

pytestmark = pytest.mark.every_driver


def answer(wire: bytes, room: int) -> bytes:
    """``nX.test`` is 10.0.0.X; ``big.test`` has too many addresses for a datagram."""
    asked = message.from_wire(wire)
    reply = message.make_response(asked)
    name = asked.question[0].name
    first = name.labels[0].decode()
    if first == "big":
        reply.answer.append(rrset.from_text_list(name, 60, "IN", "A", addresses()))
    elif first.startswith("n"):
        reply.answer.append(rrset.from_text(name, 60, "IN", "A", f"10.0.0.{first[1:]}"))
    if len(reply.to_wire()) > room:
        reply.answer.clear()
        reply.flags |= flags.TC
    return bytes(reply.to_wire())


def addresses() -> list[str]:
    return [f"10.1.{n // 250}.{n % 250}" for n in range(300)]


class Datagrams(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        if b"silent" not in data:
            self.transport.sendto(answer(data, 512), peer)


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            reply = answer(await reader.readexactly(size), 65535)
            writer.write(struct.pack("!H", len(reply)) + reply)
    writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, int]]:
    """A name server: the port of UDP and TCP, and that of TLS."""
    loop = asyncio.get_running_loop()
    plain, secure = Handler(stream), Handler(stream)
    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tls = await asyncio.start_server(secure, "127.0.0.1", 0, ssl=server_context())
    transport, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", port))
    try:
        async with server, tls:
            yield port, tls.sockets[0].getsockname()[1]
            await plain.finished()
            await secure.finished()
    finally:
        transport.close()


def resolving(port: int) -> Any:
    made = resolver.Resolver(configure=False)
    made.nameservers = ["127.0.0.1"]
    made.port = port
    made.lifetime = 60
    return made


async def test_names_resolved_at_once_each_get_their_own_address() -> None:
    async with serving() as (port, _):
        asks = resolving(port)
        found = await asyncio.gather(*[asks.resolve(f"n{n}.test") for n in range(100)])
    assert [one[0].address for one in found] == [f"10.0.0.{n}" for n in range(100)]


async def test_an_answer_that_was_cut_is_asked_for_over_tcp() -> None:
    async with serving() as (port, _):
        asked = message.make_query("big.test", "A")
        reply, over_tcp = await query.udp_with_fallback(asked, "127.0.0.1", 60, port)
    assert over_tcp
    assert {item.address for item in reply.answer[0]} == set(addresses())


async def test_a_server_over_tls_is_asked() -> None:
    async with serving() as (_, port):
        asked = message.make_query("big.test", "A")
        reply = await query.tls(
            asked, "127.0.0.1", 60, port, ssl_context=client_context(), server_hostname="localhost"
        )
    assert len(reply.answer[0]) == 300


async def test_a_silent_server_is_a_timeout() -> None:
    async with serving() as (port, _):
        with pytest.raises(dns.exception.Timeout):
            await query.udp(message.make_query("silent.test", "A"), "127.0.0.1", 0.01, port)


async def test_a_port_where_nobody_answers_is_an_error_or_a_timeout() -> None:
    port = free_ports(1)[0]
    with pytest.raises((OSError, dns.exception.Timeout)):
        await query.udp(message.make_query("n1.test", "A"), "127.0.0.1", 0.05, port)
