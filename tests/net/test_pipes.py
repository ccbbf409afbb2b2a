"""Pipe transports: `connect_read_pipe` and `connect_write_pipe` on pipes, sockets and terminals."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import sys
import tty
import warnings

import pytest

import treadle
from tests.net.wire import MEGABYTE, Diary, Recorder, drop, listening, settle

pytestmark = pytest.mark.every_driver
treadle_only = pytest.mark.treadle_only


class Writer(Diary, asyncio.BaseProtocol):
    """Notes what the protocol of a writing end hears."""


@pytest.fixture
def pipe():
    """The two ends of a pipe, as unbuffered file objects."""
    receiver, sender = os.pipe()
    with open(receiver, "rb", 0) as reading, open(sender, "wb", 0) as writing:
        yield reading, writing


@pytest.fixture
def terminal():
    """Master and slave end of a terminal that passes bytes as they are."""
    master, slave = os.openpty()
    tty.setraw(slave)
    with open(master, "r+b", 0) as ours, open(slave, "r+b", 0) as theirs:
        yield ours, theirs


def is_old_asyncio(loop):
    """Say whether the loop is asyncio's own, of a Python before 3.12."""
    return sys.version_info < (3, 12) and isinstance(loop, asyncio.BaseEventLoop)


async def drain(loop, file, size):
    """Read so many bytes from the other end, without blocking the loop."""
    os.set_blocking(file.fileno(), False)
    data = bytearray()
    while len(data) < size:
        ready = asyncio.Event()
        loop.add_reader(file, ready.set)
        await ready.wait()
        loop.remove_reader(file)
        part = file.read(MEGABYTE)
        assert part, f"the stream ended after {len(data)} of {size} bytes"
        data += part
    return bytes(data)


# reading -------------------------------------------------------------------------------------


async def test_what_is_written_arrives_and_then_the_end(loop, pipe):
    reading, writing = pipe
    transport, protocol = await loop.connect_read_pipe(Recorder, reading)
    assert protocol.calls == ["connection_made"]
    assert protocol.transport is transport
    writing.write(b"hello ")
    await protocol.gets(6)
    writing.write(b"world")
    writing.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert bytes(protocol.data) == b"hello world"
    assert protocol.calls[-2:] == ["eof_received", "connection_lost"]
    assert protocol.reason is None
    assert reading.closed


async def test_reading_begins_only_when_the_connection_is_made(loop, pipe):
    reading, writing = pipe
    writing.write(b"early")
    _, protocol = await loop.connect_read_pipe(Recorder, reading)
    await protocol.gets(5)
    assert protocol.calls == ["connection_made", "data_received"]
    protocol.transport.close()
    await protocol.hears("connection_lost")


async def test_a_paused_pipe_reads_nothing_and_does_not_hear_the_end(loop, pipe):
    if is_old_asyncio(loop):
        pytest.skip("a pipe's transport has no is_reading in the asyncio of Python 3.11")
    reading, writing = pipe
    transport, protocol = await loop.connect_read_pipe(Recorder, reading)
    assert transport.is_reading()
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    writing.write(b"later")
    writing.close()
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert bytes(protocol.data) == b"later"


async def test_reading_may_be_paused_by_connection_made(loop, pipe):
    if is_old_asyncio(loop):
        pytest.skip("asyncio of Python 3.11 starts to read all the same")
    reading, writing = pipe

    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    writing.write(b"x")
    transport, protocol = await loop.connect_read_pipe(Shy, reading)
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    await protocol.gets(1)
    transport.close()
    await protocol.hears("connection_lost")


async def test_closing_a_reader_ends_it_once_and_closes_the_file(loop, pipe):
    if is_old_asyncio(loop):
        pytest.skip("a pipe's transport has no is_reading in the asyncio of Python 3.11")
    reading, writing = pipe
    transport, protocol = await loop.connect_read_pipe(Recorder, reading)
    writing.write(b"never read")
    transport.close()
    transport.close()
    assert transport.is_closing()
    assert not transport.is_reading()
    transport.pause_reading()
    transport.resume_reading()
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert reading.closed
    with pytest.raises(BrokenPipeError):
        writing.write(b"x")


async def test_a_reader_that_closes_itself_hears_no_more(loop, pipe):
    reading, writing = pipe

    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    _, protocol = await loop.connect_read_pipe(Once, reading)
    writing.write(b"once")
    await protocol.hears("data_received")
    with_rest = writing.write(b"twice")
    assert with_rest == 5
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "data_received", "connection_lost"]


async def test_data_received_that_raises_is_reported_and_the_pipe_stays_open(loop, pipe, reports):
    reading, writing = pipe

    class Clumsy(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if len(self.data) == 1:
                raise ValueError("dropped it")

    transport, protocol = await loop.connect_read_pipe(Clumsy, reading)
    writing.write(b"1")
    await protocol.gets(1)
    writing.write(b"2")
    await protocol.gets(2)
    assert [str(report["exception"]) for report in reports] == ["dropped it"]
    transport.close()
    await protocol.hears("connection_lost")


async def test_eof_received_that_raises_does_not_keep_the_pipe_open(loop, pipe, reports):
    reading, writing = pipe

    class Clumsy(Recorder):
        def eof_received(self):
            raise ValueError("not the end")

    _, protocol = await loop.connect_read_pipe(Clumsy, reading)
    writing.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert [str(report["exception"]) for report in reports] == ["not the end"]
    assert reading.closed


async def test_eof_received_cannot_keep_the_pipe_open(loop, pipe):
    reading, writing = pipe

    class Hopeful(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    _, protocol = await loop.connect_read_pipe(Hopeful, reading)
    writing.close()
    await protocol.hears("connection_lost")


async def test_a_protocol_may_be_replaced(loop, pipe):
    reading, writing = pipe
    transport, first = await loop.connect_read_pipe(Recorder, reading)
    second = Recorder()
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    writing.write(b"x")
    await second.gets(1)
    assert first.data == b""
    transport.close()
    await second.hears("connection_lost")
    assert first.calls == ["connection_made"]


async def test_a_stream_reader_reads_lines_of_a_pipe(loop, pipe):
    reading, writing = pipe
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), reading
    )
    writing.write(b"one\ntwo\n")
    assert await reader.readline() == b"one\n"
    assert await reader.readline() == b"two\n"
    writing.close()
    assert await reader.read() == b""
    transport.close()
    await settle(loop)


# terminals and sockets -----------------------------------------------------------------------


async def test_a_terminal_that_nobody_has_open_ends_with_eio(loop, terminal):
    master, slave = terminal
    _, protocol = await loop.connect_read_pipe(Recorder, master)
    slave.write(b"last words")
    await protocol.gets(10)
    slave.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.reason.errno == errno.EIO
    assert protocol.calls.count("connection_lost") == 1
    assert "eof_received" not in protocol.calls
    assert master.closed


async def test_a_terminal_is_written_to(loop, terminal):
    master, slave = terminal
    transport, protocol = await loop.connect_write_pipe(Writer, slave)
    transport.write(b"echo")
    assert await drain(loop, master, 4) == b"echo"
    transport.close()
    await protocol.hears("connection_lost")


@treadle_only  # asyncio closes the descriptor for both transports with the first
async def test_one_terminal_can_be_read_and_written_by_two_transports(loop, terminal):
    master, slave = terminal
    reader, hearing = await loop.connect_read_pipe(Recorder, master)
    writer, speaking = await loop.connect_write_pipe(Writer, master)
    writer.write(b"to the slave")
    assert await drain(loop, slave, 12) == b"to the slave"
    reader.close()
    await hearing.hears("connection_lost")
    await settle(loop)
    writer.write(b"still there")
    assert await drain(loop, slave, 11) == b"still there"
    writer.close()
    await speaking.hears("connection_lost")


async def test_a_socket_is_read_like_a_pipe(loop, socket_pair):
    ours, theirs = socket_pair
    _, protocol = await loop.connect_read_pipe(Recorder, ours)
    theirs.send(b"hello")
    await protocol.gets(5)
    theirs.close()
    await protocol.hears("eof_received", "connection_lost")


@pytest.mark.parametrize("half", [True, False])
async def test_a_socket_whose_peer_has_closed_ends_the_writer(loop, half):
    with listening() as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    transport, protocol = await loop.connect_write_pipe(Writer, ours)
    transport.write(b"hello")
    assert theirs.recv(5) == b"hello"
    if half:
        theirs.shutdown(socket.SHUT_WR)
    else:
        theirs.close()
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    theirs.close()


@treadle_only  # asyncio takes data for the end
async def test_what_the_peer_of_a_writer_sends_is_not_taken_for_its_end(loop, socket_pair):
    ours, theirs = socket_pair
    transport, protocol = await loop.connect_write_pipe(Writer, ours)
    theirs.send(b"nobody reads this")
    await settle(loop)
    assert not transport.is_closing()
    transport.write(b"hello")
    assert theirs.recv(5) == b"hello"
    transport.close()
    await protocol.hears("connection_lost")


@treadle_only  # asyncio takes its own data for the end
async def test_a_fifo_open_in_both_directions_is_written_to(loop, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with open(path, "r+b", 0) as fifo:
        transport, protocol = await loop.connect_write_pipe(Writer, fifo)
        transport.write(b"hello")
        await settle(loop)
        assert not transport.is_closing()
        transport.close()
        await protocol.hears("connection_lost")


# what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_a_regular_file_is_refused_and_stays_the_callers(loop, tmp_path, method):
    with open(tmp_path / "file", "w+b") as file:
        with pytest.raises(ValueError, match="Pipe transport is"):
            await getattr(loop, method)(asyncio.Protocol, file)
        assert not file.closed
        assert os.get_blocking(file.fileno())


@treadle_only  # asyncio's half-made transport fails when it is dropped
@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_what_has_no_descriptor_is_refused(loop, method):
    with pytest.raises(AttributeError):
        await getattr(loop, method)(asyncio.Protocol, object())


@treadle_only  # asyncio's half-made transport fails when it is dropped
@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_a_closed_file_is_refused(loop, method, pipe):
    for file in pipe:
        file.close()
    with pytest.raises(ValueError, match="closed file"):
        await getattr(loop, method)(asyncio.Protocol, pipe[0])


@treadle_only  # asyncio reports it, and the transport never reads
async def test_a_device_that_the_kernel_cannot_watch_is_refused(loop):
    heard = []

    def factory():
        heard.append(Recorder())
        return heard[0]

    with open("/dev/null", "rb", 0) as null:
        with pytest.raises(PermissionError):
            await loop.connect_read_pipe(factory, null)
        await heard[0].hears("connection_lost")
        await settle(loop)
        assert isinstance(heard[0].reason, PermissionError)
        assert null.closed


async def test_a_device_that_takes_everything_is_written_to(loop):
    with open("/dev/null", "wb", 0) as null:
        transport, protocol = await loop.connect_write_pipe(Writer, null)
        transport.write(b"x" * MEGABYTE)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.hears("connection_lost")


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_a_cancelled_connect_closes_the_pipe(loop, pipe, method):
    end = pipe[method == "connect_write_pipe"]
    task = loop.create_task(getattr(loop, method)(Recorder, end))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(loop)
    assert end.closed


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_connection_made_that_raises_is_reported(loop, pipe, reports, method):
    class Clumsy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ValueError("no")

    transport, protocol = await getattr(loop, method)(Clumsy, pipe[method == "connect_write_pipe"])
    assert [str(report["exception"]) for report in reports] == ["no"]
    transport.close()
    await protocol.hears("connection_lost")


# what transports are -------------------------------------------------------------------------


async def test_a_reader_is_a_read_transport(loop, pipe):
    transport, protocol = await loop.connect_read_pipe(Recorder, pipe[0])
    assert isinstance(transport, asyncio.ReadTransport)
    assert not isinstance(transport, asyncio.WriteTransport)
    assert transport.get_extra_info("pipe") is pipe[0]
    assert transport.get_extra_info("peername") is None
    assert transport.get_extra_info("peername", "nobody") == "nobody"
    assert f"fd={pipe[0].fileno()}" in repr(transport)
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert transport.get_extra_info("pipe") is pipe[0]
    assert "closed" in repr(transport)


async def test_a_writer_is_a_write_transport(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    assert isinstance(transport, asyncio.WriteTransport)
    assert isinstance(transport, asyncio.Transport)  # a quirk of asyncio's
    assert transport.get_extra_info("pipe") is pipe[1]
    assert transport.can_write_eof()
    assert f"fd={pipe[1].fileno()}" in repr(transport)
    transport.mine = "attributes can be set"
    transport.close()
    await protocol.hears("connection_lost")


async def test_a_pipe_is_made_non_blocking(loop, pipe):
    transport, protocol = await loop.connect_read_pipe(Recorder, pipe[0])
    assert not os.get_blocking(pipe[0].fileno())
    transport.close()
    await protocol.hears("connection_lost")


@treadle_only  # asyncio's transport has no descriptor of its own
async def test_a_file_closed_behind_our_back_harms_nobody(loop, pipe):
    """Its number comes up again, and what arrives there does not reach the transport."""
    reading, writing = pipe
    number = reading.fileno()
    transport, protocol = await loop.connect_read_pipe(Recorder, reading)
    reading.close()
    again, theirs = os.pipe()
    if again != number:
        os.dup2(again, number, inheritable=False)
    os.write(theirs, b"not for the transport")
    writing.write(b"for the transport")
    await protocol.gets(17)
    await settle(loop)
    assert bytes(protocol.data) == b"for the transport"
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert stat.S_ISFIFO(os.fstat(number).st_mode)
    for fd in {again, theirs, number}:
        os.close(fd)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_a_transport_that_is_dropped_warns_and_closes(loop_factory, pipe, method):
    loop = loop_factory()
    end = pipe[method == "connect_write_pipe"]
    transport, protocol = loop.run_until_complete(getattr(loop, method)(Recorder, end))
    loop.close()
    left = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        drop(left)
    assert end.closed


# writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_what_is_written_comes_out(loop, pipe, kind):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(kind(b"hello"))
    transport.write(kind(b""))
    assert pipe[0].read(100) == b"hello"
    transport.close()
    await protocol.hears("connection_lost")
    assert pipe[0].read(100) == b""


async def test_the_callers_buffered_file_may_be_used(loop, pipe):
    with open(os.dup(pipe[1].fileno()), "wb", 1024) as file:
        transport, protocol = await loop.connect_write_pipe(Writer, file)
        transport.write(b"hello")
        assert pipe[0].read(100) == b"hello"
        transport.close()
        await protocol.hears("connection_lost")


async def test_more_than_the_kernel_takes_is_sent_in_order(loop, pipe):
    data = os.urandom(3 * MEGABYTE)
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    for start in range(0, len(data), 100_000):
        transport.write(data[start : start + 100_000])
    assert await drain(loop, pipe[0], len(data)) == data
    transport.close()
    await protocol.hears("connection_lost")


async def test_several_pieces_are_sent_in_order(loop, pipe):
    pieces = [os.urandom(size) for size in (1, 0, 70_000, 3, 200_000)]
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.writelines(pieces)
    transport.writelines([bytearray(b"and"), memoryview(b"more")])
    transport.writelines([])
    expected = b"".join(pieces) + b"andmore"
    assert await drain(loop, pipe[0], len(expected)) == expected
    transport.close()
    await protocol.hears("connection_lost")


async def test_a_full_buffer_pauses_the_protocol_and_an_empty_one_resumes_it(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.set_write_buffer_limits(high=10_000, low=0)
    assert transport.get_write_buffer_limits() == (0, 10_000)
    transport.write(b"x" * MEGABYTE)
    assert protocol.calls == ["connection_made", "pause_writing"]
    left = transport.get_write_buffer_size()
    assert left > 10_000
    transport.write(b"x")
    assert transport.get_write_buffer_size() == left + 1
    await drain(loop, pipe[0], MEGABYTE + 1)
    await protocol.hears("resume_writing")
    assert protocol.calls == ["connection_made", "pause_writing", "resume_writing"]
    assert transport.get_write_buffer_size() == 0
    transport.close()
    await protocol.hears("connection_lost")


async def test_what_resume_writing_writes_is_sent(loop, pipe):
    class Eager(Writer):
        def resume_writing(self):
            super().resume_writing()
            if self.calls.count("resume_writing") == 1:
                self.transport.write(b"y" * MEGABYTE)

    transport, protocol = await loop.connect_write_pipe(Eager, pipe[1])
    transport.write(b"x" * MEGABYTE)
    data = await drain(loop, pipe[0], 2 * MEGABYTE)
    assert data == b"x" * MEGABYTE + b"y" * MEGABYTE
    transport.close()
    await protocol.hears("connection_lost")


@pytest.mark.parametrize("ending", ["close", "write_eof"])
async def test_closing_sends_what_is_buffered_first(loop, pipe, ending):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(b"x" * MEGABYTE)
    getattr(transport, ending)()
    getattr(transport, ending)()
    assert transport.is_closing()
    transport.write(b"too late")
    transport.writelines([b"too", b"late"])
    assert await drain(loop, pipe[0], MEGABYTE) == b"x" * MEGABYTE
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.reason is None
    assert protocol.calls.count("connection_lost") == 1
    assert pipe[0].read(100) == b""


async def test_aborting_drops_what_is_buffered(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(b"x" * MEGABYTE)
    left = transport.get_write_buffer_size()
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert len(await drain(loop, pipe[0], MEGABYTE - left)) == MEGABYTE - left


@treadle_only  # asyncio calls connection_lost twice
async def test_aborting_twice_ends_the_writer_once(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.abort()
    transport.abort()
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_a_reader_that_goes_ends_an_idle_writer(loop, pipe):
    _, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    pipe[0].close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.reason is None
    assert pipe[1].closed


async def test_a_reader_that_goes_ends_a_busy_writer_with_broken_pipe(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(b"x" * MEGABYTE)
    pipe[0].close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, BrokenPipeError)
    assert transport.get_write_buffer_size() == 0


async def test_a_reader_that_goes_ends_a_writer_that_is_closing(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(b"x" * MEGABYTE)
    transport.close()
    pipe[0].close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, BrokenPipeError)


async def test_writing_where_nobody_reads_ends_the_writer(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    pipe[0].close()
    transport.write(b"x")
    assert transport.is_closing()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, BrokenPipeError)


@treadle_only  # asyncio joins the pieces and writes once
async def test_writing_pieces_where_nobody_reads_ends_the_writer(loop, pipe):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    pipe[0].close()
    transport.writelines([b"x", b"y"])
    assert transport.is_closing()
    assert transport.get_write_buffer_size() == 0
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, BrokenPipeError)


async def test_writing_on_and_on_to_a_lost_pipe_is_logged(loop, pipe, caplog):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    pipe[0].close()
    for _ in range(10):
        transport.write(b"x")
    assert "pipe closed by peer" in caplog.text
    await protocol.hears("connection_lost")


@treadle_only  # asyncio asserts
@pytest.mark.parametrize("data", ["text", None, 3])
async def test_only_bytes_can_be_written(loop, pipe, data):
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    with pytest.raises(TypeError, match="bytes-like"):
        transport.write(data)
    transport.close()
    await protocol.hears("connection_lost")


def test_short_and_interrupted_calls_lose_nothing(pipe, monkeypatch):
    """The selector driver makes its calls through `os`."""
    data = os.urandom(100_000)
    calls = []

    def trouble(name, shorten):
        real = getattr(os, name)

        def call(fd, what):
            calls.append(name)
            if len(calls) % 3 == 1:
                raise BlockingIOError(errno.EAGAIN, "not now")
            if len(calls) % 3 == 2:
                raise InterruptedError(errno.EINTR, "a signal came")
            return real(fd, shorten(what))

        monkeypatch.setattr(os, name, call)

    async def main():
        loop = asyncio.get_running_loop()
        _, hearing = await loop.connect_read_pipe(Recorder, pipe[0])
        transport, speaking = await loop.connect_write_pipe(Writer, pipe[1])
        for start in range(0, len(data), 10_000):
            transport.write(data[start : start + 10_000])
        transport.close()
        await hearing.hears("connection_lost")
        await speaking.hears("connection_lost")
        return bytes(hearing.data)

    trouble("read", lambda size: min(size, 777))
    trouble("write", lambda data: bytes(data)[:999])
    trouble("writev", lambda pieces: [bytes(pieces[0])[:999]])
    with asyncio.Runner(loop_factory=lambda: treadle.Loop(driver="selector")) as runner:
        assert runner.run(main()) == data
    assert set(calls) == {"read", "write", "writev"}


async def test_a_stream_writer_drains_into_a_pipe(loop, pipe):
    def factory():
        return asyncio.streams.FlowControlMixin(loop)

    transport, protocol = await loop.connect_write_pipe(factory, pipe[1])
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    reading = loop.create_task(drain(loop, pipe[0], 5 * MEGABYTE))
    for _ in range(5):
        writer.write(b"x" * MEGABYTE)
        await writer.drain()
    assert len(await reading) == 5 * MEGABYTE
    transport.close()
    await settle(loop)


@treadle_only
async def test_hooks_hear_of_a_writer_that_waits(loop, pipe):
    class Waits(treadle.Hooks):
        def __init__(self):
            self.heard = []

        def resource_waits(self, resource, waiting):
            self.heard.append((resource, waiting))

    hooks = Waits()
    loop.add_hooks(hooks)
    transport, protocol = await loop.connect_write_pipe(Writer, pipe[1])
    transport.write(b"x" * MEGABYTE)
    await drain(loop, pipe[0], MEGABYTE)
    await protocol.hears("resume_writing")
    assert hooks.heard == [(transport, True), (transport, False)]
    transport.close()
    await protocol.hears("connection_lost")
    loop.remove_hooks(hooks)


async def test_both_ends_of_one_pipe_may_belong_to_the_loop(loop, pipe):
    _, hearing = await loop.connect_read_pipe(Recorder, pipe[0])
    transport, speaking = await loop.connect_write_pipe(Writer, pipe[1])
    data = os.urandom(MEGABYTE)
    transport.write(data)
    assert await hearing.gets(MEGABYTE) == data
    transport.close()
    await hearing.hears("connection_lost")
    await speaking.hears("connection_lost")


@treadle_only  # asyncio's transport cannot be closed any more
def test_a_connect_that_is_dropped_with_its_loop_closes_the_pipe(loop_factory, pipe):
    loop = loop_factory()
    connect = loop.connect_read_pipe(Recorder, pipe[0])
    connect.send(None)
    loop.close()
    connect.close()
    assert pipe[0].closed


def test_a_closed_loop_lets_go_of_the_file_without_a_word(loop_factory, pipe):
    """The transport warns when it is dropped; until then the file stays open."""
    loop = loop_factory()
    left = list(loop.run_until_complete(loop.connect_read_pipe(Recorder, pipe[0])))
    loop.close()
    assert not pipe[0].closed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        drop(left)
    assert pipe[0].closed
