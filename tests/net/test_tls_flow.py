"""Flow control through TLS: pausing what comes, and holding what goes."""

from __future__ import annotations

import asyncio

import pytest

from tests.net.tls_wire import Views
from tests.net.wire import Filler, Recorder, settle

pytestmark = pytest.mark.every_driver

MUCH = 700_000  # bytes; more than a small line and the high mark of any loop hold


class Trouble(Exception):
    """Raised by protocols on purpose."""


class Tiny(Views):
    size = 3


def end_it(transport, how):
    getattr(transport, how)()


# reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [Recorder, Filler])
async def test_a_paused_transport_delivers_nothing_and_loses_nothing(loop, tls, factory):
    transport, protocol, peer = await tls(factory)
    assert transport.is_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    await peer.send(b"held")
    await settle(loop)
    assert protocol.data == b""
    transport.resume_reading()
    assert transport.is_reading()
    assert await protocol.gets(4) == b"held"


@pytest.mark.parametrize("factory", [Recorder, Tiny])
async def test_pausing_while_data_is_handed_over_holds_from_that_moment(loop, tls, factory):
    class Pauses(factory):
        def note(self, name):
            super().note(name)
            if name in ("data_received", "buffer_updated"):
                self.transport.pause_reading()

    transport, protocol, peer = await tls(Pauses)
    for data in (b"one", b"two"):
        await peer.send(data)
        await settle(loop)
    assert protocol.data == b"one"
    transport.resume_reading()
    await protocol.gets(6)
    assert protocol.data == b"onetwo"


async def test_a_paused_buffered_protocol_gets_the_rest_of_the_record_later(loop, tls):
    class Pauses(Tiny):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    transport, protocol, peer = await tls(Pauses)
    await peer.send(b"abcdefgh")
    for size in (3, 6, 8):
        await protocol.gets(size)
        await settle(loop)
        assert len(protocol.data) == size
        transport.resume_reading()
    assert protocol.data == b"abcdefgh"


async def test_pausing_and_resuming_may_be_repeated(loop, tls):
    transport, protocol, peer = await tls()
    for _ in range(3):
        transport.pause_reading()
    await peer.send(b"x")
    for _ in range(3):
        transport.resume_reading()
    transport.pause_reading()
    transport.resume_reading()
    assert await protocol.gets(1) == b"x"


@pytest.mark.treadle_only  # asyncio tells of an end that it happens to have read
async def test_the_end_is_not_heard_while_reading_is_paused(loop, tls):
    transport, protocol, peer = await tls()
    transport.pause_reading()
    await peer.send_raw(peer.seal(b"last words") + peer.farewell())
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert protocol.data == b"last words"
    assert protocol.calls[1:] == ["data_received", "eof_received", "connection_lost"]


@pytest.mark.treadle_only  # asyncio tells of the end although it was asked to wait
async def test_the_end_is_not_heard_when_it_comes_with_data_that_makes_us_pause(loop, tls):
    class Pauses(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    transport, protocol, peer = await tls(Pauses)
    await peer.send_raw(peer.seal(b"last words") + peer.farewell())
    await protocol.gets(10)
    await settle(loop)
    assert protocol.calls == ["connection_made", "data_received"]
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_a_paused_transport_still_sends(loop, tls):
    transport, _, peer = await tls()
    transport.pause_reading()
    transport.write(b"x")
    assert await peer.gets(1) == b"x"


@pytest.mark.treadle_only  # asyncio reads up to 256 KiB ahead
async def test_a_paused_transport_holds_the_peer_back(loop, tls):
    transport, _, peer = await tls(small=True)
    transport.pause_reading()
    sending = asyncio.ensure_future(peer.send(bytes(16 * MUCH)))
    await settle(loop)
    assert not sending.done()
    transport.abort()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await sending


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_resuming_after_the_end_does_nothing(loop, tls, how):
    transport, protocol, peer = await tls()
    transport.pause_reading()
    await peer.send(b"never read")
    end_it(transport, how)
    transport.resume_reading()
    peer.close()
    await protocol.hears("connection_lost")
    transport.resume_reading()
    transport.pause_reading()
    await settle(loop)
    if loop.__class__.__module__.startswith("treadle"):
        assert protocol.data == b""


# writing --------------------------------------------------------------------------------------


async def test_the_protocol_pauses_above_the_high_mark_and_resumes_at_the_low_one(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.set_write_buffer_limits(high=100_000, low=10_000)
    size = 0
    while "pause_writing" not in protocol.calls:
        transport.write(bytes(20_000))
        size += 20_000
    assert transport.get_write_buffer_size() > 100_000
    await peer.gets(size)
    await protocol.hears("resume_writing")
    assert protocol.calls.count("pause_writing") == 1
    assert transport.get_write_buffer_size() <= 10_000


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
async def test_pauses_and_resumes_alternate(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.set_write_buffer_limits(high=50_000)
    for _ in range(3):
        transport.write(bytes(MUCH))
        await peer.gets(MUCH)
        await settle(loop)
    heard = [name for name in protocol.calls if name.endswith("_writing")]
    assert heard[::2] == ["pause_writing"] * 3
    assert heard[1::2] == ["resume_writing"] * 3


async def test_the_marks_can_be_read_and_set(loop, tls):
    transport, _, _ = await tls()
    low, high = transport.get_write_buffer_limits()
    assert 0 < low < high
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    transport.set_write_buffer_limits(low=1000)
    assert transport.get_write_buffer_limits() == (1000, 4000)
    with pytest.raises(ValueError, match="must be >= low"):
        transport.set_write_buffer_limits(high=1, low=2)


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
async def test_bytes_written_in_pause_writing_come_after_what_made_it_pause(loop, tls):
    class Writes(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.write(b"after")

    transport, _, peer = await tls(Writes, small=True)
    data = bytes(MUCH)
    transport.write(data)
    assert await peer.gets(len(data) + 5) == data + b"after"


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
async def test_bytes_written_in_resume_writing_come_after_what_was_buffered(loop, tls):
    class Writes(Recorder):
        def resume_writing(self):
            super().resume_writing()
            if self.calls.count("resume_writing") == 1:
                self.transport.write(b"after")

    transport, _, peer = await tls(Writes, small=True)
    data = bytes(MUCH)
    transport.write(data)
    assert await peer.gets(len(data) + 5) == data + b"after"


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_pause_writing_is_heard_once(loop, tls, how):
    class Ends(Recorder):
        def pause_writing(self):
            super().pause_writing()
            end_it(self.transport, how)

    transport, protocol, peer = await tls(Ends, small=True)
    data = bytes(MUCH)
    transport.write(data)
    if how == "close":
        assert await peer.reads_all() == data
        await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert protocol.reason is None


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_resume_writing_is_heard_once(loop, tls, how):
    class Ends(Recorder):
        def resume_writing(self):
            super().resume_writing()
            end_it(self.transport, how)

    transport, protocol, peer = await tls(Ends, small=True)
    transport.write(bytes(MUCH))
    reading = asyncio.ensure_future(peer.reads_all())
    await protocol.hears("resume_writing")
    reading.cancel()
    await asyncio.wait([reading])
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.calls.count("connection_lost") == 1


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
async def test_a_failing_flow_method_is_reported_and_the_connection_goes_on(
    loop, tls, reports, method
):
    trouble = Trouble()

    class Fails(Recorder):
        def note(self, name):
            super().note(name)
            if name == method:
                raise trouble

    transport, protocol, peer = await tls(Fails, small=True)
    transport.write(bytes(MUCH))
    await peer.gets(MUCH)
    await protocol.hears("pause_writing", "resume_writing")
    assert [report["exception"] for report in reports] == [trouble]
    transport.write(b"on")
    assert await peer.gets(2) == b"on"


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
async def test_what_is_buffered_is_counted(loop, tls):
    transport, _, peer = await tls(small=True)
    assert transport.get_write_buffer_size() == 0
    transport.write(bytes(MUCH))
    assert transport.get_write_buffer_size() > 0
    await peer.gets(MUCH)
    await settle(loop)
    assert transport.get_write_buffer_size() == 0


@pytest.mark.treadle_only  # asyncio does not count what waits in the socket's own buffer
async def test_drain_waits_until_the_peer_reads(loop, tls):
    class Streams(asyncio.StreamReaderProtocol):
        def __init__(self):
            super().__init__(asyncio.StreamReader())
            self.transport = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self.transport = transport

    transport, protocol, peer = await tls(Streams, small=True)
    writer = asyncio.StreamWriter(transport, protocol, protocol._stream_reader, loop)
    writer.write(bytes(MUCH))
    draining = asyncio.ensure_future(writer.drain())
    await settle(loop)
    assert not draining.done()
    await peer.gets(MUCH)
    await draining
    writer.close()
