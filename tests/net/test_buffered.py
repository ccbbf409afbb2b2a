"""Buffered protocols: receiving into memory that the protocol provides."""

from __future__ import annotations

import array

import pytest

from tests.net.wire import Filler, reset, settle

pytestmark = pytest.mark.every_driver


class Trouble(Exception):
    """Raised by protocols on purpose."""


async def test_data_arrives_in_the_buffer_that_the_protocol_gave(loop, both_sides):
    _, protocol, peer = await both_sides(Filler)
    peer.send(b"filled")
    assert await protocol.gets(6) == b"filled"
    assert protocol.calls == ["connection_made", "buffer_updated"]
    assert protocol.buffer[:6] == b"filled"


async def test_the_size_hint_says_that_any_size_will_do(loop, both_sides):
    class Asks(Filler):
        hints = ()

        def get_buffer(self, sizehint):
            self.hints += (sizehint,)
            return self.buffer

    _, protocol, peer = await both_sides(Asks)
    peer.send(b"x")
    await protocol.gets(1)
    assert set(protocol.hints) == {-1}


async def test_more_data_than_the_buffer_holds_comes_in_pieces(loop, both_sides):
    class Tiny(Filler):
        size = 3

    _, protocol, peer = await both_sides(Tiny)
    peer.send(b"abcdefghij")
    assert await protocol.gets(10) == b"abcdefghij"
    assert protocol.calls.count("buffer_updated") == 4


@pytest.mark.parametrize("make", [bytearray, lambda size: array.array("B", bytes(size))])
async def test_any_writable_buffer_will_do(loop, both_sides, make):
    class Own(Filler):
        def __init__(self):
            super().__init__()
            self.buffer = make(64)

        def buffer_updated(self, nbytes):
            self.data += bytes(memoryview(self.buffer)[:nbytes])
            self.note("buffer_updated")

    _, protocol, peer = await both_sides(Own)
    peer.send(b"any")
    assert await protocol.gets(3) == b"any"


async def test_a_slice_of_a_larger_buffer_will_do(loop, both_sides):
    class Appends(Filler):
        used = 0

        def get_buffer(self, sizehint):
            return memoryview(self.buffer)[self.used :]

        def buffer_updated(self, nbytes):
            self.used += nbytes
            self.data += bytes(nbytes)
            self.note("buffer_updated")

    _, protocol, peer = await both_sides(Appends)
    for number, word in enumerate([b"one ", b"two ", b"three"], 1):
        peer.send(word)
        await protocol.hears("buffer_updated", times=number)
    assert protocol.buffer.startswith(b"one two three\0")


async def test_the_buffer_may_be_resized_when_it_was_updated(loop, both_sides):
    class Grows(Filler):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.buffer.extend(bytes(4096))
            del self.buffer[:nbytes]

    _, protocol, peer = await both_sides(Grows)
    for number in range(1, 4):
        peer.send(b"abcd")
        await protocol.gets(4 * number)


async def test_the_end_of_the_stream_is_heard_as_eof(loop, both_sides):
    _, protocol, peer = await both_sides(Filler)
    peer.send(b"bye")
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.calls == [
        "connection_made",
        "buffer_updated",
        "eof_received",
        "connection_lost",
    ]
    assert protocol.reason is None


async def test_a_reset_is_heard_as_lost(loop, both_sides):
    _, protocol, peer = await both_sides(Filler)
    reset(peer)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ConnectionResetError)


async def test_pausing_in_buffer_updated_holds_and_loses_nothing(loop, both_sides):
    class Sips(Filler):
        size = 1

        def buffer_updated(self, nbytes):
            self.transport.pause_reading()
            super().buffer_updated(nbytes)

    transport, protocol, peer = await both_sides(Sips)
    peer.send(b"abc")
    for wanted in (b"a", b"ab", b"abc"):
        await protocol.gets(len(wanted))
        await settle(loop)
        assert protocol.data == wanted
        transport.resume_reading()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_buffer_updated_stops_receiving(loop, both_sides, how):
    class Curt(Filler):
        size = 1

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            getattr(self.transport, how)()

    _, protocol, peer = await both_sides(Curt)
    peer.send(b"abc")
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "buffer_updated", "connection_lost"]
    assert protocol.reason is None


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_get_buffer_is_heard_once(loop, both_sides, how):
    class Curt(Filler):
        def get_buffer(self, sizehint):
            getattr(self.transport, how)()
            return self.buffer

    _, protocol, peer = await both_sides(Curt)
    peer.send(b"abc")
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert protocol.calls[-1] == "connection_lost"


async def test_an_empty_buffer_ends_the_connection(loop, both_sides, reports):
    class Empty(Filler):
        size = 0

    _, protocol, peer = await both_sides(Empty)
    peer.send(b"x")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, RuntimeError)
    assert "empty buffer" in str(protocol.reason)
    assert [report["exception"] for report in reports] == [protocol.reason]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"read-only", id="read-only"),
        pytest.param([0, 0, 0], id="a list"),
        pytest.param("text", id="text"),
        pytest.param(None, id="None"),
        pytest.param(memoryview(bytearray(8))[::2], id="not contiguous"),
    ],
)
async def test_a_buffer_that_cannot_be_filled_ends_the_connection(loop, both_sides, reports, wrong):
    class Wrong(Filler):
        def get_buffer(self, sizehint):
            return wrong

    _, protocol, peer = await both_sides(Wrong)
    peer.send(b"x")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, (TypeError, BufferError, ValueError))
    assert [report["exception"] for report in reports] == [protocol.reason]


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated", "eof_received"])
async def test_a_failing_method_ends_the_connection_with_its_error(
    loop, both_sides, reports, method
):
    class Fails(Filler):
        pass

    def fail(self, *args):
        raise Trouble(method)

    setattr(Fails, method, fail)
    _, protocol, peer = await both_sides(Fails)
    peer.send(b"x")
    peer.close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, Trouble)
    assert [report["exception"] for report in reports] == [protocol.reason]
    assert method in reports[0]["message"]
    assert protocol.calls.count("connection_lost") == 1


async def test_megabytes_arrive_whole(loop, both_sides):
    class Big(Filler):
        size = 100_000

    data = bytes(range(251)) * 20_000
    _, protocol, peer = await both_sides(Big)
    await loop.sock_sendall(peer, data)
    assert await protocol.gets(len(data)) == data
