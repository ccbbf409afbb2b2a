"""Sending files over transports and sockets, and what is left when that ends early."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import re
import socket
import tempfile

import pytest

from tests.net.wire import Filler, Recorder, read_all, read_exactly, reset, settle

pytestmark = pytest.mark.every_driver

DATA = os.urandom(1 << 16) * 24  # more than the kernel holds for a connection


@pytest.fixture
def file():
    """A file with `DATA` in it, at its beginning."""
    with tempfile.TemporaryFile() as opened:
        opened.write(DATA)
        opened.seek(0)
        yield opened


@pytest.fixture(params=["by the kernel", "by reading"])
def either(request, file, monkeypatch):
    """The same file, sent in both ways."""
    if request.param == "by reading":
        monkeypatch.delattr(os, "sendfile")
    return file


@pytest.fixture
def line():
    """Two TCP sockets that are connected and do not block; the first holds little."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            yield ours, theirs


async def started(awaitable):
    """A task that has begun to wait."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# sockets --------------------------------------------------------------------------------------


async def test_a_whole_file_is_sent_over_a_socket(loop, line, either):
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, either))
    assert await read_exactly(loop, theirs, len(DATA)) == DATA
    assert await task == len(DATA)
    assert either.tell() == len(DATA)


async def test_a_part_of_a_file_is_sent_over_a_socket(loop, line, either):
    ours, theirs = line
    assert await loop.sock_sendfile(ours, either, 1000, 500) == 500
    ours.close()
    assert await read_all(loop, theirs) == DATA[1000:1500]
    assert either.tell() == 1500


async def test_a_count_beyond_the_end_sends_up_to_the_end(loop, line, either):
    ours, theirs = line
    assert await loop.sock_sendfile(ours, either, len(DATA) - 10, 1000) == 10
    ours.close()
    assert await read_all(loop, theirs) == DATA[-10:]


async def test_nothing_of_an_empty_file_is_sent(loop, line):
    ours, _ = line
    with tempfile.TemporaryFile() as empty:
        assert await loop.sock_sendfile(ours, empty) == 0
        assert await loop.sock_sendfile(ours, empty, 0, 10) == 0


async def test_a_file_in_memory_is_read_and_sent(loop, line):
    ours, theirs = line
    file = io.BytesIO(DATA)
    task = await started(loop.sock_sendfile(ours, file, 5))
    assert await read_exactly(loop, theirs, len(DATA) - 5) == DATA[5:]
    assert await task == len(DATA) - 5
    assert file.tell() == len(DATA)
    with pytest.raises(asyncio.SendfileNotAvailableError):
        await loop.sock_sendfile(ours, file, fallback=False)


@pytest.mark.treadle_only  # asyncio cannot set the position of a pipe afterwards, and raises
async def test_what_a_pipe_holds_is_read_and_sent(loop, line):
    ours, theirs = line
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert await loop.sock_sendfile(ours, pipe) == 14
    assert await read_exactly(loop, theirs, 14) == b"through a pipe"


@pytest.mark.treadle_only  # asyncio reads on from where the file was read to
async def test_the_offset_counts_from_the_beginning_of_the_file(loop, line, either):
    ours, theirs = line
    either.read(100)
    assert await loop.sock_sendfile(ours, either, 0, 50) == 50
    assert await read_exactly(loop, theirs, 50) == DATA[:50]
    assert either.tell() == 50
    assert either.read(10) == DATA[50:60]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((0, 0), ValueError, "count must be a positive integer"),
        ((0, -1), ValueError, "count must be a positive integer"),
        ((0, 1.5), TypeError, "count must be a positive integer"),
        ((-1, None), ValueError, "offset must be a non-negative integer"),
        (("1", None), TypeError, "offset must be a non-negative integer"),
    ],
)
async def test_useless_numbers_are_refused(loop, dial, line, file, arguments, error, text):
    with pytest.raises(error, match=text):
        await loop.sock_sendfile(line[0], file, *arguments)
    transport, _, _ = await dial()
    with pytest.raises(error, match=text):
        await loop.sendfile(transport, file, *arguments)
    assert transport.is_reading()


async def test_a_text_file_is_refused(loop, dial, line, tmp_path):
    (tmp_path / "text").write_text("text")
    with (tmp_path / "text").open() as text:
        with pytest.raises(ValueError, match="binary mode"):
            await loop.sock_sendfile(line[0], text)
        transport, _, _ = await dial()
        with pytest.raises(ValueError, match="binary mode"):
            await loop.sendfile(transport, text)


async def test_a_datagram_socket_is_refused(loop, file):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with pytest.raises(ValueError, match="only SOCK_STREAM"):
            await loop.sock_sendfile(sock, file)


async def test_in_debug_mode_a_socket_that_blocks_is_refused(loop, line, file):
    loop.set_debug(True)
    line[0].setblocking(True)
    with pytest.raises(ValueError, match="the socket must be non-blocking"):
        await loop.sock_sendfile(line[0], file)


async def test_a_peer_that_vanishes_fails_the_call_and_the_position_tells_how_far_it_got(
    loop, line, either
):
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, either))
    await read_exactly(loop, theirs, 600_000)
    reset(theirs)
    with pytest.raises(ConnectionError):
        await task
    assert 0 < either.tell() < len(DATA)


async def test_a_socket_whose_peer_is_gone_fails_the_call(loop, line, either):
    ours, theirs = line
    reset(theirs)
    await settle(loop)
    with pytest.raises(ConnectionError):
        await loop.sock_sendfile(ours, either)


@pytest.mark.treadle_only  # asyncio sets it when the socket can be written
async def test_a_cancelled_call_leaves_the_position_at_what_was_sent(loop, line, file):
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, file))
    got = bytearray(await read_exactly(loop, theirs, 50_000))
    await cancelled(task)
    position = file.tell()
    ours.close()
    got += await read_all(loop, theirs)
    assert got == DATA[:position]
    assert 50_000 <= position < len(DATA)


async def test_a_cancelled_call_that_reads_leaves_the_position_at_a_whole_block(
    loop, line, monkeypatch, file
):
    monkeypatch.delattr(os, "sendfile")
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, file))
    await read_exactly(loop, theirs, 400_000)
    await cancelled(task)
    await settle(loop)
    assert file.tell() in range(1, len(DATA))
    assert not loop.remove_writer(ours)


@pytest.mark.treadle_only  # asyncio leaves the thread reading, which moves the position
async def test_a_cancelled_call_does_not_leave_a_thread_reading(loop, line):
    class Slow(io.BytesIO):
        position_after_read = None

        def read(self, size=-1):
            asyncio.run_coroutine_threadsafe(entered(), loop).result()
            data = super().read(size)
            self.position_after_read = self.tell()
            return data

    async def entered():
        task.cancel()

    file = Slow(DATA)
    task = await started(loop.sock_sendfile(line[0], file))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert file.position_after_read is not None
    assert file.tell() == 0


async def test_a_file_that_shrinks_is_sent_as_far_as_it_goes(loop, line, file):
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, file))
    await read_exactly(loop, theirs, 10_000)
    file.truncate(1_000_000)
    rest = await read_exactly(loop, theirs, 990_000)
    assert len(rest) == 990_000
    assert await task == 1_000_000


@pytest.mark.treadle_only  # asyncio goes on with whatever file has the number by then
async def test_a_file_that_is_closed_meanwhile_ends_the_call(loop, line, file):
    ours, theirs = line
    task = await started(loop.sock_sendfile(ours, file))
    file.close()
    draining = asyncio.ensure_future(read_all(loop, theirs))
    with pytest.raises(ValueError, match="closed file"):
        await task
    ours.close()
    got = await draining
    assert DATA.startswith(got)


async def test_a_file_that_cannot_be_read_raises(loop, line, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"secret")
    with path.open("wb") as file:
        file.write(b"written")
        file.flush()
        with pytest.raises(io.UnsupportedOperation):
            await loop.sock_sendfile(line[0], file)


@pytest.mark.treadle_only
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_fails_in_the_middle_raises_and_the_position_tells_how_far_it_got(
    loop, line, file, monkeypatch, error
):
    ours, theirs = line
    send = os.sendfile

    def failing(out, source, offset, count):
        if offset >= 1000:
            raise OSError(error, os.strerror(error))
        return send(out, source, offset, min(count, 1000 - offset))

    monkeypatch.setattr(os, "sendfile", failing)
    with pytest.raises(OSError, match=re.escape(os.strerror(error))):
        await loop.sock_sendfile(ours, file)
    assert file.tell() == 1000
    assert await read_exactly(loop, theirs, 1000) == DATA[:1000]


async def test_the_loop_turns_while_a_receiver_keeps_up(loop, line, file):
    ours, theirs = line
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    turns = []

    def count():
        turns.append(1)
        if not task.done():
            loop.call_soon(count)

    task = asyncio.ensure_future(loop.sock_sendfile(ours, file))
    loop.call_soon(count)
    await read_exactly(loop, theirs, len(DATA))
    await task
    assert len(turns) > 1


# transports -----------------------------------------------------------------------------------


@pytest.mark.treadle_only  # asyncio reads into a buffer that its transport has not sent yet
async def test_a_whole_file_is_sent_over_a_transport(loop, both_sides, either):
    transport, _, peer = await both_sides(small=True)
    task = await started(loop.sendfile(transport, either))
    assert await read_exactly(loop, peer, len(DATA)) == DATA
    assert await task == len(DATA)
    assert either.tell() == len(DATA)


@pytest.mark.treadle_only  # asyncio reads into a buffer that its transport has not sent yet
async def test_what_was_written_before_and_after_stays_in_place(loop, dial, either):
    transport, _, peer = await dial(small=True)
    before, after = b"<" * 300_000, b">" * 1000
    transport.write(before)
    task = await started(loop.sendfile(transport, either, 10, 500_000))
    got = await read_exactly(loop, peer, len(before) + 500_000)
    await task
    transport.write(after)
    transport.close()
    got += await read_all(loop, peer)
    assert got == before + DATA[10:500_010] + after


async def test_several_files_are_sent_one_after_the_other(loop, dial, either):
    transport, _, peer = await dial()
    for _ in range(3):
        assert await loop.sendfile(transport, either, 7, 1000) == 1000
    assert await read_exactly(loop, peer, 3000) == DATA[7:1007] * 3


async def test_a_transport_does_not_read_while_it_sends_a_file(loop, dial, either):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, either))
    await settle(loop)
    peer.send(b"meanwhile")
    await settle(loop)
    assert not transport.is_reading()
    assert not protocol.data
    await read_exactly(loop, peer, len(DATA))
    await task
    assert transport.is_reading()
    assert await protocol.gets(9) == b"meanwhile"


async def test_a_transport_that_did_not_read_before_does_not_read_afterwards(loop, dial, either):
    transport, _, _ = await dial()
    transport.pause_reading()
    await loop.sendfile(transport, either, 0, 100)
    assert not transport.is_reading()


async def test_writing_is_refused_while_the_kernel_sends_a_file(loop, dial, file):
    transport, _, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, file))
    with pytest.raises(RuntimeError, match="sendfile is in progress"):
        transport.write(b"x")
    with pytest.raises(RuntimeError, match="sendfile is in progress"):
        transport.writelines([b"x"])
    await read_exactly(loop, peer, len(DATA))
    await task
    transport.write(b"x")
    assert await read_exactly(loop, peer, 1) == b"x"


@pytest.mark.treadle_only  # asyncio loses track of the first one and waits for ever
async def test_a_second_file_at_the_same_time_is_refused(loop, dial, file):
    transport, _, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, file))
    with pytest.raises(RuntimeError, match="already set"):
        await loop.sendfile(transport, file)
    assert await read_exactly(loop, peer, len(DATA)) == DATA
    await task
    assert transport.is_reading()


async def test_a_closing_transport_is_refused(loop, dial, file):
    transport, protocol, _ = await dial()
    transport.close()
    with pytest.raises(RuntimeError, match="Transport is closing"):
        await loop.sendfile(transport, file)
    await protocol.hears("connection_lost")


async def test_an_object_that_is_no_transport_of_ours_is_refused(loop, file):
    class Other(asyncio.Transport):
        def is_closing(self):
            return False

    with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
        await loop.sendfile(Other(), file)


async def test_without_the_other_way_a_file_in_memory_is_refused(loop, dial):
    transport, _, peer = await dial()
    with pytest.raises(asyncio.SendfileNotAvailableError):
        await loop.sendfile(transport, io.BytesIO(b"x"), fallback=False)
    assert transport.is_reading()
    transport.write(b"still usable")
    assert await read_exactly(loop, peer, 12) == b"still usable"


@pytest.mark.treadle_only  # asyncio reads into a buffer that its transport has not sent yet
async def test_a_file_in_memory_is_sent_over_a_transport(loop, dial):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, io.BytesIO(DATA), 3))
    assert await read_exactly(loop, peer, len(DATA) - 3) == DATA[3:]
    assert await task == len(DATA) - 3
    assert transport.get_protocol() is protocol


@pytest.mark.treadle_only  # asyncio leaves out a pause, or resumes one that goes on
async def test_the_protocol_hears_pauses_and_resumptions_in_turn(loop, dial):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, io.BytesIO(DATA)))
    while not task.done():
        with contextlib.suppress(BlockingIOError):
            peer.recv(4096)
        await asyncio.sleep(0)
    draining = asyncio.ensure_future(read_all(loop, peer))
    transport.close()
    await protocol.hears("connection_lost")
    await draining
    turns = [call for call in protocol.calls if call.endswith("writing")]
    assert turns[::2] == ["pause_writing"] * len(turns[::2])
    assert turns[1::2] == ["resume_writing"] * len(turns[1::2])
    assert turns, "what is left in the buffer is above the mark"


async def test_a_paused_protocol_is_resumed_when_the_buffer_is_empty_afterwards(loop, dial):
    transport, protocol, peer = await dial(small=True)
    transport.write(bytes(3_000_000))
    await protocol.hears("pause_writing")
    task = await started(loop.sendfile(transport, io.BytesIO(b"the end")))
    got = await read_exactly(loop, peer, 3_000_007)
    await task
    assert got.endswith(b"\0the end")
    await settle(loop)
    assert protocol.calls.count("resume_writing") == 1


async def test_a_buffered_protocol_gets_its_place_back(loop, dial):
    transport, protocol, peer = await dial(Filler)
    await loop.sendfile(transport, io.BytesIO(b"x" * 10))
    await read_exactly(loop, peer, 10)
    peer.send(b"answer")
    assert await protocol.gets(6) == b"answer"


# transports that are lost ---------------------------------------------------------------------


@pytest.fixture(params=["by the kernel", "by reading"])
def source(request, file):
    """A file that is sent by the kernel, and one that is read."""
    return file if request.param == "by the kernel" else io.BytesIO(DATA)


async def test_a_peer_that_vanishes_ends_the_connection(loop, dial, source):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, source))
    await read_exactly(loop, peer, 50_000)
    reset(peer)
    with pytest.raises(ConnectionError):
        await task
    await protocol.hears("connection_lost")
    assert protocol.calls.count("connection_lost") == 1
    assert 0 < source.tell() < len(DATA)


@pytest.mark.treadle_only  # asyncio waits for ever
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_transport_that_is_ended_meanwhile_fails_the_call(loop, dial, source, end):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, source))
    await read_exactly(loop, peer, 50_000)
    getattr(transport, end)()
    draining = asyncio.ensure_future(drain(loop, peer))
    with pytest.raises(ConnectionError):
        await task
    await protocol.hears("connection_lost")
    assert protocol.calls.count("connection_lost") == 1
    await draining


async def drain(loop, sock):
    with contextlib.suppress(ConnectionError):
        await read_all(loop, sock)


async def test_a_transport_that_is_ended_before_its_buffer_is_sent_fails_the_call(loop, dial, file):
    transport, protocol, _ = await dial(small=True)
    transport.write(bytes(3_000_000))
    task = await started(loop.sendfile(transport, file))
    transport.abort()
    with pytest.raises(ConnectionError):
        await task
    await protocol.hears("connection_lost")
    assert file.tell() == 0


@pytest.mark.treadle_only  # asyncio reads into a buffer that its transport has not sent yet
async def test_a_cancelled_call_leaves_a_transport_that_reads_and_writes(loop, dial, source):
    transport, protocol, peer = await dial(small=True)
    task = await started(loop.sendfile(transport, source))
    got = bytearray(await read_exactly(loop, peer, 50_000))
    await cancelled(task)
    assert transport.get_protocol() is protocol
    transport.write(b"the end")
    transport.close()
    got += await read_all(loop, peer)
    assert got == DATA[: len(got) - 7] + b"the end"


@pytest.mark.treadle_only  # asyncio's transport neither reads nor writes from then on
async def test_a_call_cancelled_before_the_buffer_is_sent_leaves_a_usable_transport(
    loop, dial, file
):
    transport, protocol, peer = await dial(small=True)
    transport.write(bytes(3_000_000))
    await cancelled(await started(loop.sendfile(transport, file)))
    assert transport.is_reading()
    transport.write(b"the end")
    assert (await read_exactly(loop, peer, 3_000_007)).endswith(b"\0the end")
    peer.send(b"answer")
    assert await protocol.gets(6) == b"answer"


async def test_a_transport_over_a_unix_socket_sends_files(loop, socket_pair, file):
    ours, theirs = socket_pair
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    task = await started(loop.sendfile(transport, file, fallback=False))
    assert await read_exactly(loop, theirs, len(DATA)) == DATA
    assert await task == len(DATA)
    transport.close()
    await protocol.hears("connection_lost")
