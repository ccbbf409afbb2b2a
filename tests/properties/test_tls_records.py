"""A TLS session against the simplest model there is: what goes in comes out, cut as you like."""

from __future__ import annotations

import bisect
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.net.tls_wire import client_context, only, server_context
from treadle._net.scratch import INBOX_SIZE, Scratch
from treadle._net.tls_session import TlsSession

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SIZES = st.integers(1, 60) | st.sampled_from([16_383, 16_384, 16_385])
CUTS = st.integers(3, 60) | st.integers(1, 20_000) | st.just(INBOX_SIZE)


class Pair:
    """A session under test and a plain one at the other end, handshake done."""

    def __init__(self, version):
        self.scratch = Scratch()
        self.session = TlsSession(only(client_context(), version), False, "localhost", self.scratch)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.peer = only(server_context(), version).wrap_bio(
            self.incoming, self.outgoing, server_side=True
        )
        done = False
        while not done or not self.is_peer_done():
            done = self.session.handshake()
            self.incoming.write(self.session.outgoing.read())
            self.is_peer_done()
            for data in [self.outgoing.read()]:
                if data:
                    self.put(data)
                    self.session.feed(len(data))
        assert self.session.read() == 0  # tickets

    def is_peer_done(self):
        try:
            self.peer.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def put(self, data):
        assert self.scratch.load(data, 0) == len(data)

    def seal(self, size):
        """Records of the peer with data of this size."""
        data = bytes(i % 251 for i in range(size))
        assert self.peer.write(data) == size or size > 16_384
        return data, self.outgoing.read()


def ends_of(wire):
    """Where the records end that a stream of bytes consists of."""
    ends = [0]
    while ends[-1] < len(wire):
        start = ends[-1]
        ends.append(start + 5 + int.from_bytes(wire[start + 3 : start + 5], "big"))
    return ends


@pytest.mark.parametrize("version", VERSIONS)
@given(sizes=st.lists(SIZES, min_size=1, max_size=12), cuts=st.lists(CUTS, min_size=1))
def test_what_is_sealed_comes_out_whatever_pieces_it_comes_in(version, sizes, cuts):
    pair = Pair(version)
    wire = b""
    sent = b""
    for size in sizes:
        offset = 0
        data = bytes(i % 251 for i in range(size))
        while offset < size:
            offset += pair.peer.write(data[offset:])
        wire += pair.outgoing.read()
        sent += data
    ends = ends_of(wire)
    got = b""
    at = 0
    i = 0
    while at < len(wire):
        piece = wire[at : at + cuts[i % len(cuts)]]
        at += len(piece)
        i += 1
        pair.put(piece)
        got += pair.scratch.take(pair.session.receive(len(piece)))
        while pair.session.more:
            got += pair.scratch.take(pair.session.read())
        assert pair.session.tail == at - ends[bisect.bisect_right(ends, at) - 1]
        assert pair.session.incoming.pending == pair.session.tail
    assert got == sent
    assert pair.session._framed
    assert pair.session.failure is None


@pytest.mark.parametrize("version", VERSIONS)
@given(sizes=st.lists(SIZES, min_size=1, max_size=6), cuts=st.lists(CUTS, min_size=1))
def test_a_buffer_is_filled_with_the_same(version, sizes, cuts):
    pair = Pair(version)
    wire = b""
    sent = b""
    for size in sizes:
        data = bytes(i % 251 for i in range(size))
        offset = 0
        while offset < size:
            offset += pair.peer.write(data[offset:])
        wire += pair.outgoing.read()
        sent += data
    got = b""
    buffer = bytearray(1000)
    at = 0
    i = 0
    while at < len(wire):
        piece = wire[at : at + cuts[i % len(cuts)]]
        at += len(piece)
        i += 1
        pair.put(piece)
        pair.session.feed(len(piece))
        while pair.session.more:
            got += buffer[: pair.session.fill(buffer)]
    assert got == sent


@given(garbage=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(1, 50), min_size=1))
def test_garbage_fails_or_waits_and_never_is_data(garbage, cuts):
    pair = Pair(ssl.TLSVersion.TLSv1_3)
    at = 0
    i = 0
    while at < len(garbage) and pair.session.failure is None and not pair.session.ended:
        piece = garbage[at : at + cuts[i % len(cuts)]]
        at += len(piece)
        i += 1
        pair.put(piece)
        assert pair.session.receive(len(piece)) == 0


def test_a_message_of_one_record_is_quiet_and_a_farewell_is_not():
    pair = Pair(ssl.TLSVersion.TLSv1_3)
    _, wire = pair.seal(1000)
    pair.put(wire)
    assert pair.session.receive(len(wire)) == 1000
    assert pair.session.quiet
    with pytest.raises(ssl.SSLWantReadError):
        pair.peer.unwrap()
    farewell = pair.outgoing.read()
    pair.put(farewell)
    assert pair.session.receive(len(farewell)) == 0
    assert pair.session.ended
    assert not pair.session.quiet
    assert pair.session.goodbye()


def test_the_bios_stay_small():
    pair = Pair(ssl.TLSVersion.TLSv1_3)
    wire = b"".join(pair.seal(16_384)[1] for _ in range(10))
    seen = []
    for at in range(0, len(wire), 50_000):
        piece = wire[at : at + 50_000]
        pair.put(piece)
        pair.session.receive(len(piece))
        seen.append(pair.session.incoming.pending)
    assert max(seen) < 17_000
