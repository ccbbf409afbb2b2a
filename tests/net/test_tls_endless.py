"""Peers that go on sending after we have closed TLS: what they get, and when they are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.net.tls_wire import reading_stops
from tests.net.wire import MEGABYTE, Recorder, reset, settle
from treadle._net.tls import LINGER

pytestmark = pytest.mark.every_driver

MUCH = 500_000  # bytes; more than a small line holds


async def send_too_much(loop, transport, peer):
    """Send until the transport takes nothing more, and go on: return the task that does.

    It is less than what the transport drops when its own bytes are sent.
    """
    await peer.send(bytes(LINGER))
    await reading_stops(loop, transport)
    return asyncio.ensure_future(peer.send(bytes(LINGER // 2)))


@pytest.mark.parametrize("paused", [False, True])
async def test_an_endless_peer_is_cut_off(loop, tls, paused):
    """What it could send after our farewell is limited, and no time need pass."""
    transport, protocol, peer = await tls()
    if paused:
        transport.pause_reading()
    transport.close()
    sent = 0
    try:
        while sent < 64 * MEGABYTE:
            await peer.send(bytes(65536))
            sent += 65536
    except OSError:
        pass
    assert sent < 16 * MEGABYTE
    await protocol.hears("connection_lost")
    assert protocol.data == b""


@pytest.mark.treadle_only  # asyncio hands the error of the shutdown to connection_lost
async def test_being_cut_off_is_no_error_on_our_side(loop, tls):
    transport, protocol, peer = await tls()
    transport.close()
    wire = peer.seal(*[bytes(16_000)] * 40)
    try:
        await peer.send_raw(wire)
    except OSError:
        pass
    await protocol.hears("connection_lost")
    assert protocol.reason is None


@pytest.mark.treadle_only  # asyncio breaks off with an error
@pytest.mark.parametrize("size", [40_000, MUCH])  # less than the high mark, and more
@pytest.mark.parametrize("slowly", [False, True])
async def test_a_peer_that_sends_much_still_gets_what_was_buffered(loop, tls, size, slowly):
    transport, protocol, peer = await tls(small=True)
    data = bytes(i % 251 for i in range(size))
    transport.write(data)
    transport.close()
    pushing = await send_too_much(loop, transport, peer)
    received = b""
    while part := await peer.gets_some():
        received += part
        if slowly:
            await settle(loop, 1)
    assert received == data  # and then our farewell
    await pushing
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert protocol.data == b""


@pytest.mark.treadle_only  # asyncio breaks off with an error
@pytest.mark.parametrize("size", [40_000, MUCH])
async def test_who_closed_is_not_asked_to_pause_and_is_asked_to_resume(loop, tls, size):
    transport, protocol, peer = await tls(small=True)
    transport.write(bytes(size))
    paused = protocol.calls.count("pause_writing")
    transport.close()
    pushing = await send_too_much(loop, transport, peer)
    await peer.gets(size)
    await pushing
    await peer.send_raw(peer.farewell())
    await protocol.hears("connection_lost")
    assert protocol.calls.count("pause_writing") == paused == (size == MUCH)
    assert protocol.calls.count("resume_writing") == paused


@pytest.mark.treadle_only  # asyncio breaks off with an error
async def test_a_peer_that_does_not_read_cannot_fill_the_line_for_nothing(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.write(bytes(MUCH))
    transport.close()
    sent = 0

    async def push():
        nonlocal sent
        while sent < 64 * MEGABYTE:
            await peer.send(bytes(65536))
            sent += 65536

    pushing = asyncio.ensure_future(push())
    await reading_stops(loop, transport)
    await settle(loop, 20)
    assert sent < 16 * MEGABYTE  # most of it lies in the kernel
    assert "connection_lost" not in protocol.calls
    transport.abort()
    await protocol.hears("connection_lost")
    with pytest.raises(ConnectionError):
        await pushing


@pytest.mark.treadle_only  # asyncio breaks off with an error
async def test_an_endless_peer_is_cut_off_when_it_has_what_was_buffered(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.write(bytes(MUCH))
    transport.close()

    async def push():
        while True:
            await peer.send(bytes(65536))

    async def read():
        while await peer.gets_some():
            pass

    pushing = asyncio.ensure_future(push())
    await reading_stops(loop, transport)
    reading = asyncio.ensure_future(read())
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert transport.get_write_buffer_size() == 0
    for task in (pushing, reading):
        with contextlib.suppress(OSError):
            await task
    assert pushing.exception() is not None


@pytest.mark.treadle_only  # asyncio breaks off with an error
async def test_a_peer_that_sends_much_and_resets_is_heard(loop, tls):
    transport, protocol, peer = await tls(small=True)
    transport.write(bytes(MUCH))
    transport.close()
    pushing = asyncio.ensure_future(peer.send(bytes(MUCH)))
    await reading_stops(loop, transport)
    pushing.cancel()
    await asyncio.wait([pushing])
    reset(peer.sock)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, OSError)


@pytest.mark.treadle_only  # asyncio breaks off with an error
async def test_a_peer_that_sends_much_and_hangs_up_is_heard(loop, tls):
    transport, protocol, peer = await tls(small=True)
    data = bytes(MUCH)
    transport.write(data)
    transport.close()
    pushing = await send_too_much(loop, transport, peer)
    assert await peer.reads_all() == data
    await pushing
    peer.sock.shutdown(socket.SHUT_WR)
    await protocol.hears("connection_lost")
    assert protocol.reason is None


@pytest.mark.treadle_only  # asyncio goes on as if nothing had happened
async def test_aborting_when_asked_to_resume_ends_it_at_once(loop, tls):
    class Aborts(Recorder):
        def resume_writing(self):
            super().resume_writing()
            self.transport.abort()

    transport, protocol, peer = await tls(Aborts, small=True)
    transport.write(bytes(MUCH))
    transport.close()
    pushing = asyncio.ensure_future(peer.send(bytes(MUCH)))
    await reading_stops(loop, transport)
    reading = asyncio.ensure_future(peer.reads_all())
    await protocol.hears("connection_lost")
    assert protocol.calls[-2:] == ["resume_writing", "connection_lost"]
    for task in (pushing, reading):
        with contextlib.suppress(OSError):
            await task


async def test_a_peer_that_sends_on_and_does_not_read_is_given_up(loop, tls):
    if loop.__class__.__module__.startswith("asyncio"):
        pytest.skip("asyncio breaks off with an error")
    transport, protocol, peer = await tls(small=True, ssl_shutdown_timeout=0.01)
    transport.write(bytes(MUCH))
    transport.close()
    pushing = asyncio.ensure_future(peer.send(bytes(MUCH)))
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, TimeoutError)
    await asyncio.wait([pushing])
    pushing.exception()
