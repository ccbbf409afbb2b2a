"""Names and addresses: literals are read as asyncio reads them; families take turns as there."""

from __future__ import annotations

import socket
from asyncio import base_events

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle._net.connect import interleave
from treadle._net.resolve import literal, resolve

FAMILIES = [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]
TYPES = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW]
PROTOCOLS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP]
HOSTS = [
    *["127.0.0.1", "1.2.3.4", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1", "::ffff:1.2.3"],
    *["fe80::1%lo", "::1%1", "localhost", "example.com", "", "1.2.3", "1.2.3.4.5", "256.0.0.1"],
    *["01.2.3.4", "0x7f.1", "2130706433", "1::2::3", "[::1]", " 127.0.0.1", "127.0.0.1\n"],
    *[b"127.0.0.1", b"::1", b"localhost", None],
]
PORTS = [0, 80, 65535, "80", b"80", "", b"", None, "http", b"http", "8 0"]


@given(
    st.sampled_from(HOSTS),
    st.sampled_from(PORTS),
    st.sampled_from(FAMILIES),
    st.sampled_from(TYPES),
    st.sampled_from(PROTOCOLS),
)
def test_a_literal_is_read_as_asyncio_reads_it(host, port, family, kind, proto):
    wanted = base_events._ipaddr_info(host, port, family, kind, proto)
    assert literal(host, port, family, kind, proto) == wanted


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_is_a_literal(address, port):
    found = literal(str(address), port, 0, socket.SOCK_STREAM, 0)
    assert found[0] == (socket.AF_INET if address.version == 4 else socket.AF_INET6)
    assert found[4][:2] == (str(address), port)


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 80)])
def test_a_literal_is_what_getaddrinfo_finds(address):
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, kind, proto, _, sockaddr = found[0]
    assert literal(*address, 0, socket.SOCK_STREAM, 0) == (family, kind, proto, "", sockaddr)


def test_flow_and_scope_of_an_address_are_kept():
    found = literal("fe80::1", 80, 0, socket.SOCK_STREAM, 0, 5, 7)
    assert found[4] == ("fe80::1", 80, 5, 7)


async def test_a_name_is_looked_up_in_a_thread_that_is_kept_for_names(loop):
    found = await resolve(loop, ("localhost", 80), type=socket.SOCK_STREAM)
    assert {info[1] for info in found} == {socket.SOCK_STREAM}
    assert {info[4][1] for info in found} == {80}


async def test_the_loop_looks_names_up_as_the_socket_module_does(loop):
    for keywords in ({}, {"type": socket.SOCK_STREAM}, {"family": socket.AF_INET}):
        assert await loop.getaddrinfo("localhost", 80, **keywords) == socket.getaddrinfo(
            "localhost", 80, **keywords
        )
    address = ("127.0.0.1", 80)
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert await loop.getnameinfo(address, numeric) == ("127.0.0.1", "80")


@pytest.mark.treadle_only
async def test_a_busy_default_executor_does_not_hold_names_up(loop):
    import threading
    from concurrent.futures import ThreadPoolExecutor

    release = threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, release.wait)
    try:
        assert await loop.getaddrinfo("localhost", 80)
        assert not busy.done()
    finally:
        release.set()
        await busy


addresses = st.lists(
    st.tuples(st.sampled_from([socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]), st.integers())
)


@given(addresses.filter(len), st.integers(1, 6))
def test_addresses_are_interleaved_as_asyncio_does_it(infos, count):
    assert interleave(infos, count) == base_events._interleave_addrinfos(infos, count)


@given(addresses.filter(len), st.integers(1, 6))
def test_interleaving_loses_no_address_and_keeps_the_order_within_a_family(infos, count):
    mixed = interleave(infos, count)
    for family in {info[0] for info in infos}:
        assert [i for i in mixed if i[0] == family] == [i for i in infos if i[0] == family]
    assert len(mixed) == len(infos)
