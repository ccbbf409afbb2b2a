"""Socket addresses as accept(2) writes them."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle._drivers.address import decode_address

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
