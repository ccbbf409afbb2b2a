"""Writing: what is sent, in which order, and when the protocol is asked to pause."""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import random
import socket

import pytest

import treadle
from tests.net.wire import (
    MEGABYTE,
    Recorder,
    read_all,
    read_exactly,
    reset,
    segments_sent,
    settle,
)

pytestmark = pytest.mark.every_driver

BIG = bytes(range(251)) * 4000  # more than the kernel holds of a small line


class Trouble(Exception):
    """Raised by protocols on purpose."""


class Derived(bytes):
    """Bytes of a derived class."""


# what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Derived])
async def test_every_kind_of_bytes_is_sent(loop, both_sides, kind):
    transport, _, peer = await both_sides()
    transport.write(kind(b"pay"))
    transport.writelines([kind(b"lo"), kind(b"ad")])
    assert await read_exactly(loop, peer, 7) == b"payload"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Derived])
async def test_every_kind_of_bytes_is_sent_when_it_has_to_wait(loop, both_sides, kind):
    transport, _, peer = await both_sides(small=True)
    transport.write(kind(BIG))
    transport.write(kind(b"tail"))
    assert transport.get_write_buffer_size() > 0
    assert await read_exactly(loop, peer, len(BIG) + 4) == BIG + b"tail"


async def test_a_view_of_wider_items_is_sent_whole(loop, both_sides):
    transport, _, peer = await both_sides()
    items = array.array("I", range(100))
    transport.write(memoryview(items))
    assert await read_exactly(loop, peer, 400) == items.tobytes()


@pytest.mark.treadle_only
async def test_a_view_of_wider_items_is_sent_whole_when_it_has_to_wait(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    items = array.array("I", range(250_000))
    transport.write(memoryview(items))
    assert await read_exactly(loop, peer, 1_000_000) == items.tobytes()


@pytest.mark.treadle_only
@pytest.mark.parametrize("size", [100, MEGABYTE])
async def test_a_view_with_gaps_is_sent_without_them(loop, both_sides, size):
    transport, _, peer = await both_sides(small=True)
    data = random.Random(size).randbytes(2 * size)
    transport.write(memoryview(data)[::2])
    assert await read_exactly(loop, peer, size) == data[::2]


@pytest.mark.treadle_only
async def test_a_view_of_two_dimensions_is_sent_row_by_row(loop, both_sides):
    transport, _, peer = await both_sides()
    data = bytes(range(24))
    transport.write(memoryview(data).cast("B", (4, 6)))
    transport.writelines([memoryview(data).cast("B", (6, 4))])
    assert await read_exactly(loop, peer, 48) == data + data


@pytest.mark.treadle_only
@pytest.mark.parametrize("method", ["write", "writelines"])
async def test_what_is_sent_is_what_was_there_when_write_was_called(loop, both_sides, method):
    """asyncio keeps a view since Python 3.12, and sends what is in it later."""
    transport, _, peer = await both_sides(small=True)
    data = bytearray(BIG)
    if method == "write":
        transport.write(data)
        transport.write(data)
    else:
        transport.writelines([data, data])
    data[:] = bytes(len(data))
    data.clear()  # and it can be resized
    assert await read_exactly(loop, peer, 2 * len(BIG)) == BIG + BIG


async def test_empty_writes_send_nothing(loop, both_sides):
    transport, _, peer = await both_sides()
    transport.write(b"")
    transport.write(bytearray())
    transport.write(memoryview(b""))
    transport.writelines([])
    transport.writelines([b"", bytearray()])
    transport.write(b"x")
    transport.write(b"")
    transport.write_eof()
    assert await read_all(loop, peer) == b"x"
    assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize(
    "wrong", ["text", None, 1, [b"x"], array.array("B", b"x"), object()], ids=repr
)
async def test_what_is_no_bytes_is_a_type_error(loop, both_sides, wrong):
    transport, _, peer = await both_sides()
    with pytest.raises(TypeError, match="data argument must be a bytes-like object"):
        transport.write(wrong)
    transport.write(b"fine")
    assert await read_exactly(loop, peer, 4) == b"fine"


# several pieces at once -----------------------------------------------------------------------


async def test_pieces_are_sent_in_order(loop, both_sides):
    transport, _, peer = await both_sides()
    transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three"), b"", b"!"])
    assert await read_exactly(loop, peer, 14) == b"one two three!"


async def test_pieces_may_come_from_a_generator(loop, both_sides):
    transport, _, peer = await both_sides()
    transport.writelines(b"%d," % number for number in range(5))
    assert await read_exactly(loop, peer, 10) == b"0,1,2,3,4,"


@pytest.mark.parametrize("wrong", [[b"good", "text"], [b"good", 1], [None], 5])
async def test_pieces_that_are_no_bytes_are_a_type_error(loop, both_sides, wrong):
    transport, _, _ = await both_sides()
    with pytest.raises(TypeError):
        transport.writelines(wrong)


@pytest.mark.treadle_only
async def test_after_wrong_pieces_none_of_them_is_sent_and_the_connection_goes_on(loop, both_sides):
    transport, _, peer = await both_sides()
    with pytest.raises(TypeError):
        transport.writelines([b"good", "text"])
    transport.write(b"next")
    assert await read_exactly(loop, peer, 4) == b"next"


@pytest.mark.parametrize("count", [65, 1023, 1024, 1025, 3000])
async def test_more_pieces_than_one_system_call_takes_are_all_sent(loop, both_sides, count):
    transport, _, peer = await both_sides()
    pieces = [b"%06d" % number for number in range(count)]
    transport.writelines(pieces)
    assert await read_exactly(loop, peer, 6 * count) == b"".join(pieces)


async def test_small_pieces_leave_in_one_segment(loop, both_sides):
    transport, _, peer = await both_sides()
    transport.write(b"first")
    before = segments_sent(transport)
    transport.writelines([b"x"] * 50)
    assert segments_sent(transport) == before + 1
    assert len(await read_exactly(loop, peer, 55)) == 55


async def test_a_write_is_not_held_back_by_the_kernel_until_there_is_more(loop, both_sides):
    transport, _, peer = await both_sides()
    before = segments_sent(transport)
    for number in range(1, 4):
        await asyncio.sleep(0)
        transport.write(b"x")
        assert segments_sent(transport) == before + number
    assert await read_exactly(loop, peer, 3) == b"xxx"


def test_pieces_are_one_system_call_of_the_plain_driver(no_descriptor_left, monkeypatch):
    calls = []
    for name, real in (("write", os.write), ("writev", os.writev)):

        def counted(fd, data, real=real, name=name):
            calls.append(name)
            return real(fd, data)

        monkeypatch.setattr(os, name, counted)

    async def write():
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        transport.writelines([b"a"] * 100)
        assert calls == ["writev"]
        transport.writelines([b"only one"])
        assert len(calls) == 2
        transport.close()
        await protocol.hears("connection_lost")

    ours, theirs = socket.socketpair()
    with theirs, contextlib.closing(treadle.Loop(driver="selector")) as loop:
        loop.run_until_complete(write())
        assert theirs.recv(1000) == b"a" * 100 + b"only one"


# order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_keep_their_order_whatever_the_kernel_takes(loop, both_sides, seed):
    chance = random.Random(seed)
    transport, protocol, peer = await both_sides(small=True)
    sent = bytearray()
    got = bytearray()

    def piece():
        size = chance.choice([0, 1, 7, 100, 3000, 40_000])
        data = chance.randbytes(size)
        sent.extend(data)
        return chance.choice([bytes, bytearray, memoryview])(data)

    for _ in range(150):
        if chance.random() < 0.5:
            transport.write(piece())
        else:
            transport.writelines([piece() for _ in range(chance.randrange(5))])
        while len(sent) - len(got) > 400_000 or (chance.random() < 0.3 and len(got) < len(sent)):
            got += await loop.sock_recv(peer, chance.choice([1, 500, 20_000]))
    transport.close()
    got += await read_all(loop, peer)
    assert got == sent
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_bytes_written_in_resume_writing_come_after_what_was_buffered(loop, both_sides):
    class Refills(Recorder):
        left = 5

        def resume_writing(self):
            super().resume_writing()
            if self.left:
                self.left -= 1
                self.transport.write(b"%d" % self.left * 200_000)
            else:
                self.transport.close()

    transport, protocol, peer = await both_sides(Refills, small=True)
    transport.write(b"5" * 200_000)
    data = await read_all(loop, peer)
    assert data == b"".join(b"%d" % number * 200_000 for number in (5, 4, 3, 2, 1, 0))
    await protocol.hears("connection_lost")
    assert protocol.calls.count("pause_writing") == protocol.calls.count("resume_writing") == 6


# high and low water ---------------------------------------------------------------------------


async def test_the_marks_are_asyncios(loop, both_sides):
    transport, _, _ = await both_sides()
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    transport.set_write_buffer_limits(high=400)
    assert transport.get_write_buffer_limits() == (100, 400)
    transport.set_write_buffer_limits(low=100)
    assert transport.get_write_buffer_limits() == (100, 400)
    transport.set_write_buffer_limits(high=400, low=300)
    assert transport.get_write_buffer_limits() == (300, 400)
    transport.set_write_buffer_limits(high=0)
    assert transport.get_write_buffer_limits() == (0, 0)


@pytest.mark.parametrize(
    ("high", "low"), [(1, 2), (-1, None), (None, -1), (0, 1), (-1, -2), (10, -1)]
)
async def test_impossible_marks_are_a_value_error(loop, both_sides, high, low):
    transport, _, _ = await both_sides()
    with pytest.raises(ValueError, match="must be >= 0"):
        transport.set_write_buffer_limits(high=high, low=low)
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)


async def test_the_protocol_pauses_above_the_high_mark_and_resumes_at_the_low_one(loop, both_sides):
    class Weighs(Recorder):
        sizes = ()

        def pause_writing(self):
            self.sizes += (self.transport.get_write_buffer_size(),)
            super().pause_writing()

        def resume_writing(self):
            self.sizes += (self.transport.get_write_buffer_size(),)
            super().resume_writing()

    transport, protocol, peer = await both_sides(Weighs, small=True)
    transport.set_write_buffer_limits(high=50_000, low=10_000)
    transport.write(bytes(500_000))
    assert protocol.calls == ["connection_made", "pause_writing"]
    transport.write(bytes(1000))
    assert protocol.calls == ["connection_made", "pause_writing"]
    await read_exactly(loop, peer, 501_000)
    await protocol.hears("resume_writing")
    assert protocol.sizes[0] > 50_000
    assert protocol.sizes[1] <= 10_000
    assert protocol.calls == ["connection_made", "pause_writing", "resume_writing"]


async def test_a_buffer_at_the_high_mark_does_not_pause(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(bytes(100_000))
    size = transport.get_write_buffer_size()
    calls = list(protocol.calls)
    transport.set_write_buffer_limits(high=size + 10, low=0)
    transport.write(bytes(10))
    assert protocol.calls == calls  # paused already, by the first write
    await read_exactly(loop, peer, 100_010)
    await protocol.hears("resume_writing")


async def test_with_marks_of_zero_every_byte_that_waits_pauses(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.set_write_buffer_limits(high=0)
    transport.write(b"taken at once")
    assert "pause_writing" not in protocol.calls
    transport.write(BIG)
    assert protocol.calls == ["connection_made", "pause_writing"]
    await read_exactly(loop, peer, len(BIG) + 13)
    await protocol.hears("resume_writing")
    assert transport.get_write_buffer_size() == 0


async def test_lower_marks_take_hold_at_once(loop, both_sides):
    transport, protocol, _ = await both_sides(small=True)
    transport.set_write_buffer_limits(high=10 * MEGABYTE)
    transport.write(BIG)
    assert "pause_writing" not in protocol.calls
    transport.set_write_buffer_limits(high=1000)
    assert protocol.calls.count("pause_writing") == 1
    transport.abort()


async def test_pauses_and_resumes_alternate(loop, both_sides):
    chance = random.Random(5)
    transport, protocol, peer = await both_sides(small=True)
    transport.set_write_buffer_limits(high=20_000, low=5000)
    for turn in range(1, 9):
        sent = 0
        while protocol.calls.count("pause_writing") < turn:
            size = chance.randrange(50_000)
            transport.write(bytes(size))
            sent += size
        await read_exactly(loop, peer, sent)
        await protocol.hears("resume_writing", times=turn)
    assert protocol.calls == ["connection_made", *["pause_writing", "resume_writing"] * 8]


async def test_the_size_of_the_buffer_is_what_the_kernel_did_not_take(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    assert transport.get_write_buffer_size() == 0
    transport.write(BIG)
    size = transport.get_write_buffer_size()
    assert 0 < size < len(BIG)
    transport.writelines([b"ab", b"cde"])
    assert transport.get_write_buffer_size() <= size + 5
    await read_exactly(loop, peer, len(BIG) + 5)
    await settle(loop)
    assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
async def test_a_failing_flow_method_is_reported_and_the_connection_goes_on(
    loop, both_sides, reports, method
):
    class Fails(Recorder):
        pass

    def fail(self):
        self.note(method)
        raise Trouble

    setattr(Fails, method, fail)
    transport, protocol, peer = await both_sides(Fails, small=True)
    transport.write(BIG)
    assert await read_exactly(loop, peer, len(BIG)) == BIG
    await protocol.hears("resume_writing")
    peer.send(b"alive")
    assert await protocol.gets(5) == b"alive"
    assert [type(report["exception"]) for report in reports] == [Trouble]
    assert method in reports[0]["message"]
    assert reports[0]["transport"] is transport
    assert reports[0]["protocol"] is protocol


@pytest.mark.parametrize("how", ["close", "abort", "write_eof"])
async def test_ending_it_in_pause_writing_is_heard_once(loop, both_sides, how):
    class Gives(Recorder):
        def pause_writing(self):
            super().pause_writing()
            getattr(self.transport, how)()

    transport, protocol, peer = await both_sides(Gives, small=True)
    transport.write(BIG)
    got = await read_all(loop, peer)
    assert got == BIG if how != "abort" else BIG.startswith(got)
    peer.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert protocol.calls.count("pause_writing") == 1


@pytest.mark.treadle_only  # asyncio calls connection_lost twice after an abort
@pytest.mark.parametrize("how", ["close", "abort", "write_eof"])
async def test_ending_it_in_resume_writing_is_heard_once(loop, both_sides, how):
    class Gives(Recorder):
        def resume_writing(self):
            super().resume_writing()
            getattr(self.transport, how)()

    transport, protocol, peer = await both_sides(Gives, small=True)
    transport.set_write_buffer_limits(high=100_000, low=50_000)
    transport.write(BIG)
    got = await read_all(loop, peer)
    assert got == BIG if how != "abort" else BIG.startswith(got)
    peer.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1
    assert protocol.calls.count("resume_writing") == 1


# the end --------------------------------------------------------------------------------------


async def test_close_sends_what_is_buffered(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(BIG)
    transport.close()
    assert transport.is_closing()
    await settle(loop)
    assert "connection_lost" not in protocol.calls
    assert await read_all(loop, peer) == BIG
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_what_is_written_while_closing_is_sent_too(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(BIG)
    transport.close()
    transport.write(b"postscript")
    assert await read_all(loop, peer) == BIG + b"postscript"
    await protocol.hears("connection_lost")


async def test_abort_drops_what_is_buffered(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(BIG)
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert len(await read_all(loop, peer)) < len(BIG)
    assert "resume_writing" not in protocol.calls


async def test_abort_after_close_drops_what_is_buffered(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(BIG)
    transport.close()
    transport.abort()
    await protocol.hears("connection_lost")
    assert len(await read_all(loop, peer)) < len(BIG)
    assert protocol.calls.count("connection_lost") == 1


@pytest.mark.parametrize("closing", [False, True])
async def test_a_reset_while_bytes_wait_is_heard_with_the_error(loop, both_sides, closing):
    transport, protocol, peer = await both_sides(small=True)
    transport.write(BIG)
    if closing:
        transport.close()
    reset(peer)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, (ConnectionResetError, BrokenPipeError))
    assert protocol.calls.count("connection_lost") == 1
    assert transport.get_write_buffer_size() == 0


async def test_writing_to_a_peer_that_is_gone_does_not_raise(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.pause_reading()
    reset(peer)
    await settle(loop)
    transport.write(b"anyone?")
    transport.write(b"anyone?")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, (ConnectionResetError, BrokenPipeError))


async def test_writelines_to_a_peer_that_is_gone_does_not_raise(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.pause_reading()
    reset(peer)
    await settle(loop)
    transport.writelines([b"any", b"one?"])
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, (ConnectionResetError, BrokenPipeError))
    assert transport.get_write_buffer_size() == 0


def warnings_in(caplog):
    return [record for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("when", ["closing", "lost"])
async def test_the_fifth_write_after_the_end_and_all_later_ones_are_warned_of(
    loop, both_sides, caplog, when
):
    transport, protocol, _ = await both_sides()
    transport.abort()
    if when == "lost":
        await protocol.hears("connection_lost")
        await settle(loop)
    for _ in range(4):
        transport.write(b"lost")
    assert warnings_in(caplog) == []
    for number in range(1, 4):
        transport.write(b"lost")
        assert len(warnings_in(caplog)) == number
    assert {record.getMessage() for record in warnings_in(caplog)} == {
        "socket.send() raised exception."
    }
    assert {record.name for record in warnings_in(caplog)} == {"asyncio"}
    caplog.clear()
    await protocol.hears("connection_lost")


async def test_empty_writes_after_the_end_are_not_counted(loop, both_sides, caplog):
    transport, protocol, _ = await both_sides()
    transport.abort()
    for _ in range(20):
        transport.write(b"")
    assert warnings_in(caplog) == []
    await protocol.hears("connection_lost")


async def test_writing_after_write_eof_is_an_error(loop, both_sides):
    transport, protocol, _ = await both_sides()
    transport.write_eof()
    with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
        transport.write(b"x")
    with pytest.raises(RuntimeError, match=r"after write_eof\(\)"):
        transport.writelines([b"x"])
    transport.abort()
    await protocol.hears("connection_lost")
    with pytest.raises(RuntimeError, match=r"after write_eof\(\)"):
        transport.write(b"x")


@pytest.mark.treadle_only
async def test_writelines_after_the_end_does_nothing(loop, both_sides):
    transport, protocol, _ = await both_sides()
    transport.close()
    transport.writelines([b"a", b"b"])
    await protocol.hears("connection_lost")
    await settle(loop)
    transport.writelines([b"a", b"b"])
    assert transport.get_write_buffer_size() == 0


async def test_wrong_types_are_errors_after_the_end_as_well(loop, both_sides):
    transport, protocol, _ = await both_sides()
    transport.abort()
    with pytest.raises(TypeError):
        transport.write("text")
    await protocol.hears("connection_lost")
    with pytest.raises(TypeError):
        transport.write("text")
