"""Writing more than once in a turn: sent together at its end, and nobody can tell."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

import pytest

import treadle
from tests.net.wire import Recorder, read_all, read_exactly, reset, segments_sent, settle

pytestmark = pytest.mark.every_driver
treadle_only = pytest.mark.treadle_only

KILOBYTE = bytes(1024)
HANDSHAKE = 22  # the first byte of a record with a ClientHello


async def learn(loop, transport, peer):
    """Have a connection write twice per turn, so that it is known for it."""
    for _ in range(2):
        transport.write(b".")
        transport.write(b".")
        await read_exactly(loop, peer, 2)


def arrived(peer):
    """What the peer can receive now."""
    try:
        return peer.recv(65536)
    except BlockingIOError:
        return b""


async def test_a_single_write_is_sent_at_once_in_every_turn(loop, both_sides):
    transport, _, peer = await both_sides()
    for _ in range(3):
        await asyncio.sleep(0)
        transport.write(b"now")
        assert arrived(peer) == b"now"


@treadle_only
async def test_writes_of_a_turn_are_sent_when_it_ends(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"head")
    transport.write(b"body")
    assert arrived(peer) == b""
    await asyncio.sleep(0)
    assert arrived(peer) == b"headbody"


@treadle_only
async def test_writes_of_a_turn_leave_in_one_segment(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    before = segments_sent(transport)
    transport.write(b"head")
    transport.write(b"body")
    await asyncio.sleep(0)
    assert segments_sent(transport) == before + 1


@treadle_only
async def test_writes_of_several_callbacks_of_a_turn_are_sent_together(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    seen = []
    loop.call_soon(transport.write, b"first")
    loop.call_soon(transport.write, b"second")
    loop.call_soon(lambda: seen.append(arrived(peer)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (seen, arrived(peer)) == ([b""], b"firstsecond")


@treadle_only
async def test_who_goes_back_to_single_writes_has_them_sent_at_once_again(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    for _ in range(2):
        transport.write(b"one")
        await asyncio.sleep(0)
        arrived(peer)
    transport.write(b"now")
    assert arrived(peer) == b"now"


@treadle_only
async def test_three_writes_in_every_turn_are_held_from_the_first_one_on(loop, both_sides):
    transport, _, peer = await both_sides()
    for turn in range(4):
        transport.write(b"a")
        early = arrived(peer)
        transport.write(b"b")
        transport.write(b"c")
        await asyncio.sleep(0)
        assert (early, early + arrived(peer)) == (b"" if turn else b"a", b"abc")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_pieces_of_every_kind_keep_their_order(loop, both_sides, kind):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"one ")
    transport.write(kind(b"two "))
    transport.writelines([kind(b"three "), b"four "])
    transport.write(kind(b"five "))
    transport.write(b"six")
    assert await read_exactly(loop, peer, 27) == b"one two three four five six"


async def test_what_is_done_to_a_bytearray_after_a_write_is_not_sent(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    data = bytearray(b"before")
    transport.write(b"as it was ")
    transport.write(data)
    data[:] = b"after!"
    assert await read_exactly(loop, peer, 16) == b"as it was before"


async def test_a_large_piece_follows_a_small_one(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    await learn(loop, transport, peer)
    body = os.urandom(300_000)
    transport.write(b"head")
    transport.write(body)
    transport.write(b"tail")
    assert await read_exactly(loop, peer, 300_008) == b"head" + body + b"tail"


async def test_what_the_kernel_does_not_take_when_the_turn_ends_is_sent_later(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    await learn(loop, transport, peer)
    half = os.urandom(8000)
    transport.write(half)
    transport.write(half)
    assert await read_exactly(loop, peer, 16000) == half + half


async def test_the_protocol_is_paused_by_the_write_that_is_too_much(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.set_write_buffer_limits(high=4096)
    await learn(loop, transport, peer)
    transport.write(KILOBYTE)
    assert "pause_writing" not in protocol.calls
    transport.write(KILOBYTE * 1000)
    assert protocol.calls[-1] == "pause_writing"


async def test_writelines_sends_at_once_with_all_before_it(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"one ")
    transport.writelines([b"two ", b"three"])
    assert arrived(peer) == b"one two three"


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
async def test_what_was_written_before_the_end_is_sent(loop, both_sides, end):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"last ")
    transport.write(b"words")
    getattr(transport, end)()
    assert await read_all(loop, peer) == b"last words"


async def test_what_was_written_before_a_file_is_sent_before_it(loop, both_sides, tmp_path):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    transport.write(b"he")
    transport.write(b"ad ")
    with path.open("rb") as file:
        await loop.sendfile(transport, file)
    assert await read_exactly(loop, peer, 13) == b"head contents"


async def test_what_was_written_before_tls_is_sent_before_it(loop, both_sides):
    transport, protocol, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"go ")
    transport.write(b"on")
    context = ssl.create_default_context()
    task = loop.create_task(
        loop.start_tls(transport, protocol, context, server_hostname="localhost")
    )
    assert await read_exactly(loop, peer, 6) == b"go on" + bytes([HANDSHAKE])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@treadle_only
async def test_what_a_hook_writes_before_the_loop_waits_is_sent(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)

    class Writing(treadle.Hooks):
        def poll_begins(self, *details):
            loop.remove_hooks(self)
            transport.write(b"he")
            transport.write(b"re")

    loop.add_hooks(Writing())
    assert await read_exactly(loop, peer, 4) == b"here"


async def test_what_the_kernel_takes_is_not_counted_as_buffered(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"one")
    transport.write(b"two")
    assert transport.get_write_buffer_size() == 0
    assert arrived(peer) == b"onetwo"


async def test_with_a_high_mark_of_nothing_writes_are_sent_at_once(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.set_write_buffer_limits(high=0)
    await learn(loop, transport, peer)
    transport.write(b"one")
    transport.write(b"two")
    assert arrived(peer) == b"onetwo"
    assert "pause_writing" not in protocol.calls


async def test_new_marks_find_what_the_kernel_takes_sent(loop, both_sides):
    transport, protocol, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"one")
    transport.write(b"two")
    transport.set_write_buffer_limits(high=0)
    assert "pause_writing" not in protocol.calls
    assert await read_exactly(loop, peer, 6) == b"onetwo"


async def test_the_protocol_is_paused_and_resumed_in_turn(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.set_write_buffer_limits(high=8192)
    await learn(loop, transport, peer)
    for _ in range(3):
        asked = protocol.calls.count("pause_writing")
        written = 0
        while protocol.calls.count("pause_writing") == asked:
            transport.write(KILOBYTE)
            written += 1024
        await read_exactly(loop, peer, written)
        await protocol.hears("resume_writing", times=asked + 1)
    flow = [name for name in protocol.calls if name.endswith("_writing")]
    assert flow == ["pause_writing", "resume_writing"] * 3


async def test_a_peer_that_resets_is_heard_once(loop, both_sides, reports):
    transport, protocol, peer = await both_sides()
    await learn(loop, transport, peer)
    reset(peer)
    transport.write(b"one")
    transport.write(b"two")
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert isinstance(protocol.reason, ConnectionError)
    assert reports == []


async def test_what_another_thread_writes_does_not_wait_for_a_turn(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    await asyncio.to_thread(lambda: (transport.write(b"x"), transport.write(b"y")))
    assert arrived(peer) == b"xy"


def test_what_was_written_in_the_last_turn_is_sent_when_the_run_is_over(loop, both_sides):
    async def main():
        transport, _, peer = await both_sides()
        await learn(loop, transport, peer)
        transport.write(b"good")
        transport.write(b"bye")
        return peer

    peer = loop.run_until_complete(main())
    assert arrived(peer) == b"goodbye"


def test_what_was_written_before_an_interrupt_is_sent(loop, both_sides):
    async def prepare():
        transport, _, peer = await both_sides()
        await learn(loop, transport, peer)
        return transport, peer

    def write_and_leave():
        transport.write(b"good")
        transport.write(b"bye")
        raise KeyboardInterrupt

    transport, peer = loop.run_until_complete(prepare())
    loop.call_soon(write_and_leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert arrived(peer) == b"goodbye"


def test_what_is_written_while_the_loop_does_not_run_is_sent_at_once(loop, both_sides):
    async def prepare():
        transport, _, peer = await both_sides()
        await learn(loop, transport, peer)
        return transport, peer

    transport, peer = loop.run_until_complete(prepare())
    transport.write(b"one")
    transport.write(b"two")
    assert arrived(peer) == b"onetwo"


@treadle_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_forked_child_does_not_send_what_the_parent_holds(loop, both_sides):
    transport, _, peer = await both_sides()
    await learn(loop, transport, peer)
    transport.write(b"of the ")
    transport.write(b"parent")
    child = os.fork()
    if child == 0:
        transport.write(b"of the child ")
        os._exit(0)
    os.waitpid(child, 0)
    assert await read_exactly(loop, peer, 26) == b"of the child of the parent"
    await settle(loop)
    assert arrived(peer) == b""


async def test_two_connections_that_write_to_each_other_lose_nothing(loop):
    class Doubled(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if len(self.data) < 4000:
                self.transport.write(data[: len(data) // 2])
                self.transport.write(data[len(data) // 2 :])

    left, right = socket.socketpair()
    one, first = await loop.create_connection(Doubled, sock=left)
    other, second = await loop.create_connection(Doubled, sock=right)
    one.write(b"0123456789")
    await second.gets(4000)
    one.abort()
    other.abort()
    await first.hears("connection_lost")
    await second.hears("connection_lost")
    assert bytes(second.data) == (b"0123456789" * 2000)[: len(second.data)]
