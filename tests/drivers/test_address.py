"""Socket addresses as accept(2) writes them."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle._drivers.address import AddressBook, decode_address, encode_address

ports = st.integers(0, 65535)


def inet(host, port):
    packed = socket.inet_pton(socket.AF_INET, host)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + packed + bytes(8)


def inet6(host, port, flow, scope):
    packed = socket.inet_pton(socket.AF_INET6, host)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, flow)
    return head + packed + struct.pack("=I", scope)


def unix(path):
    return struct.pack("=H", socket.AF_UNIX) + path


@given(st.ip_addresses(v=4), ports)
def test_ipv4(host, port):
    assert decode_address(inet(str(host), port)) == (str(host), port)


@given(st.ip_addresses(v=6), ports, st.integers(0, 2**20 - 1), st.integers(0, 2**32 - 1))
def test_ipv6(host, port, flow, scope):
    decoded = decode_address(inet6(str(host), port, flow, scope))
    assert decoded[1:] == (port, flow, scope)
    assert socket.inet_pton(socket.AF_INET6, decoded[0]) == host.packed


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", ""),
        (b"/run/door\0", "/run/door"),
        (b"/run/door", "/run/door"),
        (b"/run/door\0left over", "/run/door"),
        (b"\0abstract", b"\0abstract"),
        (b"\0abs\0tract", b"\0abs\0tract"),
        (b"/run/\xff\0", "/run/\udcff"),
    ],
)
def test_unix(raw, name):
    assert decode_address(unix(raw)) == name


def test_a_family_that_nobody_knows_stays_as_it_is():
    raw = struct.pack("=H", 4242) + b"whatever"
    assert decode_address(raw) == raw


def test_the_sender_of_a_datagram_may_have_no_name():
    assert decode_address(b"") is None


# the other way round --------------------------------------------------------------------------


@given(st.ip_addresses(v=4), ports)
def test_ipv4_is_encoded_as_the_kernel_writes_it(host, port):
    assert encode_address(socket.AF_INET, (str(host), port)) == inet(str(host), port)


@given(st.ip_addresses(v=6), ports, st.integers(0, 2**20 - 1), st.integers(0, 2**32 - 1))
def test_ipv6_is_encoded_as_the_kernel_writes_it(host, port, flow, scope):
    numbers = (port, flow, scope)
    for count in (1, 2, 3):
        known = numbers[:count] + (0, 0, 0)[count:]
        raw = encode_address(socket.AF_INET6, (str(host), *numbers[:count]))
        assert raw == inet6(str(host), *known)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, -1])
@pytest.mark.parametrize(
    "address",
    [
        None,
        "127.0.0.1",
        (),
        ("127.0.0.1",),
        ("127.0.0.1", 80, 0),
        ("::1", 80, 0, 0, 0),
        ("localhost", 80),
        ("", 80),
        ("<broadcast>", 80),
        ("127.1", 80),
        ("fe80::1%lo", 80),
        ("127.0.0.1\0", 80),
        ("127.0.0.\N{SUPERSCRIPT ONE}", 80),
        ("\udc80", 80),
        (b"127.0.0.1", 80),
        ("127.0.0.1", "80"),
        ("127.0.0.1", 80.0),
        ("127.0.0.1", True),
        ("127.0.0.1", -1),
        ("127.0.0.1", 65536),
        ("127.0.0.1", 2**70),
        ("::1", 80, 2**20),
        ("::1", 80, -1),
        ("::1", 80, 0, 2**32),
        ["127.0.0.1", 80],
        (["127.0.0.1"], 80),
    ],
    ids=ascii,
)
def test_everything_else_is_left_to_the_socket_module(family, address):
    assert encode_address(family, address) is None


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 80)])
def test_an_address_of_the_other_family_is_left_to_it_as_well(address):
    found = [encode_address(family, address) for family in (socket.AF_INET, socket.AF_INET6)]
    assert found.count(None) == 1


# remembering ----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.ip_addresses(v=4), ports), max_size=20))
def test_an_address_book_decodes_alike(peers):
    book = AddressBook()
    for host, port in peers * 2:
        assert book.name_of(inet(str(host), port)) == (str(host), port)


def test_an_address_book_gives_out_one_object_for_one_peer():
    book = AddressBook()
    assert book.name_of(inet("127.0.0.1", 80)) is book.name_of(inet("127.0.0.1", 80))


def test_an_address_book_forgets():
    book = AddressBook()
    first = book.name_of(inet("127.0.0.1", 0))
    for port in range(1, 5000):
        book.name_of(inet("127.0.0.1", port))
    assert book.name_of(inet("127.0.0.1", 0)) is not first
