"""What a transport tells about itself: addresses, its socket, its kind, its words."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
import warnings
import weakref

import pytest

from tests.net.wire import Recorder, listening, settle

pytestmark = pytest.mark.every_driver


async def test_a_transport_is_one_of_asyncio(loop, both_sides):
    transport, _, _ = await both_sides()
    assert isinstance(transport, asyncio.Transport)
    assert isinstance(transport, asyncio.WriteTransport)
    assert isinstance(transport, asyncio.BaseTransport)
    assert not isinstance(transport, asyncio.DatagramTransport)


async def test_the_addresses_are_those_of_the_socket(loop, both_sides):
    transport, _, peer = await both_sides()
    assert transport.get_extra_info("peername") == peer.getsockname()
    assert transport.get_extra_info("sockname") == peer.getpeername()


async def test_the_socket_is_a_transport_socket(loop, both_sides):
    transport, _, peer = await both_sides()
    sock = transport.get_extra_info("socket")
    assert isinstance(sock, asyncio.trsock.TransportSocket)
    assert sock.getsockname() == peer.getpeername()
    assert sock.getpeername() == peer.getsockname()
    assert sock.family == socket.AF_INET
    assert sock.type == socket.SOCK_STREAM
    assert sock.gettimeout() == 0


async def test_asking_for_the_socket_twice_gives_the_same_one(loop, both_sides):
    transport, _, _ = await both_sides()
    assert transport.get_extra_info("socket") is transport.get_extra_info("socket")


async def test_the_nagle_algorithm_is_off(loop, both_sides):
    transport, _, _ = await both_sides()
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_descriptor_is_not_inherited_and_does_not_block(loop, both_sides):
    transport, _, _ = await both_sides()
    fd = transport.get_extra_info("socket").fileno()
    assert not os.get_inheritable(fd)
    assert not os.get_blocking(fd)


async def test_what_is_unknown_is_the_default(loop, both_sides):
    transport, _, _ = await both_sides()
    assert transport.get_extra_info("colour") is None
    assert transport.get_extra_info("colour", "red") == "red"
    assert transport.get_extra_info("sslcontext") is None


async def test_what_was_asked_before_closing_is_known_afterwards(loop, both_sides):
    transport, protocol, _ = await both_sides()
    names = ("sockname", "peername", "socket")
    before = {name: transport.get_extra_info(name) for name in names}
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert {name: transport.get_extra_info(name) for name in names} == before
    assert before["socket"].fileno() == -1


async def test_addresses_are_known_in_connection_lost(loop, both_sides):
    class Asks(Recorder):
        def connection_lost(self, exc):
            self.names = [self.transport.get_extra_info(n) for n in ("sockname", "peername")]
            super().connection_lost(exc)

    transport, protocol, peer = await both_sides(Asks)
    wanted = [peer.getpeername(), peer.getsockname()]
    transport.abort()
    await protocol.hears("connection_lost")
    assert protocol.names == wanted


async def test_the_peers_address_is_known_after_closing(loop, both_sides):
    transport, protocol, peer = await both_sides()
    wanted = peer.getsockname()
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert transport.get_extra_info("peername") == wanted


async def test_ipv6_addresses_have_four_parts(loop):
    protocol = Recorder()
    try:
        server = await loop.create_server(lambda: protocol, "::1", 0)
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")
    address = server.sockets[0].getsockname()
    transport, client = await loop.create_connection(Recorder, *address[:2])
    await protocol.hears("connection_made")
    assert protocol.transport.get_extra_info("sockname") == address
    assert transport.get_extra_info("peername") == address
    assert protocol.transport.get_extra_info("peername") == transport.get_extra_info("sockname")
    assert len(address) == 4
    transport.close()
    await client.hears("connection_lost")
    await protocol.hears("connection_lost")
    server.close()
    await server.wait_closed()


async def test_a_socket_pair_has_empty_addresses(loop):
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        assert transport.get_extra_info("peername") == ""
        assert transport.get_extra_info("sockname") == ""
        theirs.send(b"unix")
        assert await protocol.gets(4) == b"unix"
        transport.close()
        await protocol.hears("connection_lost")


async def test_a_connection_that_the_peer_reset_at_once_has_an_address_or_none(loop):
    """connect_accepted_socket may be given a socket that has no peer any more."""
    with listening() as listener:
        client = socket.create_connection(listener.getsockname())
        sock, address = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    transport, protocol = await loop.connect_accepted_socket(Recorder, sock)
    assert transport.get_extra_info("peername") in (None, address)
    await protocol.hears("connection_lost")


async def test_attributes_can_be_set(loop, both_sides):
    transport, _, _ = await both_sides()
    written = []
    transport.write = written.append
    transport.write(b"caught")
    assert written == [b"caught"]
    transport.purpose = "test"
    assert transport.purpose == "test"


async def test_a_transport_can_be_weakly_referenced_and_hashed(loop, both_sides):
    transport, _, _ = await both_sides()
    assert weakref.ref(transport)() is transport
    assert transport in {transport}
    assert transport == transport
    other, _, _ = await both_sides()
    assert transport != other


async def test_the_words_for_a_transport_follow_its_life(loop, both_sides):
    transport, protocol, _ = await both_sides(small=True)
    fd = transport.get_extra_info("socket").fileno()
    await settle(loop)
    assert re.fullmatch(rf"<\w+ fd={fd} read=polling write=<idle, bufsize=0>>", repr(transport))
    transport.pause_reading()
    transport.write(bytes(1_000_000))
    size = transport.get_write_buffer_size()
    assert f"fd={fd} read=idle write=<polling, bufsize={size}>" in repr(transport)
    transport.close()
    assert " closing " in repr(transport)
    transport.abort()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert " closed " in repr(transport)


def warnings_from(drop):
    """What is warned of when the last reference to something is dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop()
        gc.collect()
    assert {warning.category for warning in caught} <= {ResourceWarning}
    return [str(warning.message) for warning in caught]


def test_a_transport_that_is_dropped_with_its_loop_warns_and_closes_its_descriptor(
    no_descriptor_left, loop_factory
):
    with listening() as listener, socket.socket() as peer:
        peer.connect(listener.getsockname())
        kept = list(listener.accept()[:1])
        fd = kept[0].fileno()
        loop = loop_factory()
        kept += loop.run_until_complete(loop.connect_accepted_socket(Recorder, kept[0]))
        loop.close()
        said = warnings_from(kept.clear)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        assert [text for text in said if re.match(rf"unclosed transport <.*fd={fd}", text)]


def test_an_accepted_transport_that_is_dropped_with_its_loop_warns_and_closes_its_descriptor(
    no_descriptor_left, loop_factory
):
    loop = loop_factory()
    kept = [Recorder()]

    async def accept_one():
        server = await loop.create_server(lambda: kept[0], "127.0.0.1", 0)
        peer.connect(server.sockets[0].getsockname())
        await kept[0].hears("connection_made")
        server.close()

    with socket.socket() as peer:
        loop.run_until_complete(accept_one())
        loop.close()
        said = warnings_from(kept.clear)
        peer.settimeout(0)
        assert [text for text in said if text.startswith("unclosed transport")]
        assert peer.recv(1) == b""


def test_a_transport_that_is_dropped_after_it_was_closed_does_not_warn(loop_factory):
    loop = loop_factory()
    ours, theirs = socket.socketpair()

    async def use():
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        transport.close()
        await protocol.hears("connection_lost")

    with theirs, warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run_until_complete(use())
        loop.close()
        gc.collect()
