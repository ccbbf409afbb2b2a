"""Streams on connections: writers, servers, and the protocol between."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import weakref

import pytest

from tests.aio.flowing import LOCAL, STREAMS, ended, failure_of, on_loop, started
from tests.kit import Handler
from tests.net.tls_wire import client_context, server_context
from treadle.aio.streams import StreamReader, StreamReaderProtocol, StreamWriter, start_server

pytestmark = pytest.mark.every_driver
STOCK = STREAMS["stock"]


@pytest.fixture(params=["stock", "ours"])
def streams(request):
    """The names of a streams module."""
    return STREAMS[request.param]


@pytest.fixture
def our():
    """Ours alone, where asyncio of an older Python does otherwise."""
    return STREAMS["ours"]


class Connection:
    """A server's and a client's streams that are connected."""

    def __init__(self, streams, **options):
        self.streams = streams
        self.options = options

    async def __aenter__(self):
        met = asyncio.get_running_loop().create_future()
        self.server = await self.streams.start_server(
            lambda *pair: met.set_result(pair), LOCAL, 0, **self.options
        )
        address = self.server.sockets[0].getsockname()
        self.reader, self.writer = await self.streams.open_connection(*address)
        self.remote_reader, self.remote_writer = await met
        return self

    async def __aexit__(self, *_):
        for writer in (self.writer, self.remote_writer):
            writer.transport.abort()
        for writer in (self.writer, self.remote_writer):
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass
        self.server.close()
        await self.server.wait_closed()


@on_loop
async def test_what_is_written_is_read_at_the_other_end(loop, streams):
    async with Connection(streams) as line:
        line.writer.write(b"one\n")
        line.writer.writelines([b"two", b"\n"])
        await line.writer.drain()
        assert await line.remote_reader.readline() == b"one\n"
        assert await line.remote_reader.readline() == b"two\n"


@on_loop
async def test_half_closing_ends_the_reading_of_the_other_end_only(loop, streams):
    async with Connection(streams) as line:
        assert line.writer.can_write_eof()
        line.writer.write_eof()
        assert await line.remote_reader.read() == b""
        line.remote_writer.write(b"still here")
        assert await line.reader.readexactly(10) == b"still here"


@on_loop
async def test_drain_waits_while_the_buffer_is_full(loop, our):
    async with Connection(our, limit=1024) as line:
        line.writer.write(bytes(32 << 20))
        draining, other = await started(line.writer.drain(), line.writer.drain())
        await ended(other)
        assert not draining.done()
        while not draining.done():
            await line.remote_reader.read(1 << 20)
        await draining


@on_loop
async def test_drain_tells_of_a_lost_connection(loop, streams):
    async with Connection(streams) as line:
        line.writer.close()
        await line.writer.wait_closed()
        assert isinstance(await failure_of(line.writer.drain()), ConnectionResetError)


@on_loop
async def test_who_drains_when_the_connection_is_lost_is_woken(loop, our):
    async with Connection(our, limit=1024) as line:
        line.writer.write(bytes(32 << 20))
        (draining,) = await started(line.writer.drain())
        line.writer.transport.abort()
        await asyncio.wait([draining])
        await line.writer.wait_closed()


@on_loop
async def test_drain_on_a_closing_connection_gives_way_to_the_loop(loop, streams):
    async with Connection(streams) as line:
        line.writer.close()
        turns = []
        loop.call_soon(turns.append, "turn")
        await asyncio.gather(line.writer.drain(), return_exceptions=True)
        assert turns == ["turn"]


@on_loop
async def test_the_reader_s_failure_is_raised_by_drain(loop, streams):
    async with Connection(streams) as line:
        line.reader.set_exception(OSError("no more"))
        assert isinstance(await failure_of(line.writer.drain()), OSError)


@on_loop
async def test_a_forgotten_writer_is_closed_with_a_warning(loop, our):
    async with Connection(our) as line:
        transport = line.writer.transport
        with pytest.warns(ResourceWarning, match="unclosed <StreamWriter"):
            line.writer = None
        assert transport.is_closing()
        assert await line.remote_reader.read() == b""
        line.writer = line.remote_writer


@on_loop
async def test_what_a_transport_knows_is_asked_through_the_writer(loop, streams):
    async with Connection(streams) as line:
        name = line.writer.get_extra_info("peername")
        assert name == line.server.sockets[0].getsockname()
        assert line.writer.get_extra_info("nothing", 7) == 7
        assert line.remote_writer.transport.get_extra_info("peername")


@on_loop
async def test_a_failing_handler_is_reported_and_its_connection_closed(loop, streams):
    if streams is STOCK and sys.version_info < (3, 11, 7):
        pytest.skip("asyncio of some Python 3.11 neither reports it nor closes")
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def fail(reader, writer):
        raise ZeroDivisionError

    server = await streams.start_server(fail, LOCAL, 0)
    reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    (report,) = reports
    assert report["message"] == "Unhandled exception in client_connected_cb"
    assert isinstance(report["exception"], ZeroDivisionError)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    reports.clear()
    loop.set_exception_handler(None)


@on_loop
async def test_a_cancelled_handler_closes_its_connection(loop, our):
    async def give_up(reader, writer):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async with await our.start_server(give_up, LOCAL, 0) as server:
        reader, writer = await our.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@on_loop
async def test_a_handler_that_nobody_holds_lives_on(loop, streams):
    async def wait(reader, writer):
        future = loop.create_future()
        futures.append(weakref.ref(future))
        await reader.readline()
        writer.write(b"alive\n")
        writer.close()

    futures = []
    handler = Handler(wait)
    async with await streams.start_server(handler, LOCAL, 0) as server:
        reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
        await asyncio.sleep(0)
        gc.collect()
        writer.write(b"are you\n")
        assert await reader.readline() == b"alive\n"
        writer.close()
        await writer.wait_closed()
        await handler.finished()


@pytest.mark.treadle_only  # asyncio's servers have it from Python 3.13 on
@on_loop
async def test_a_server_closes_its_clients(loop, our):
    async def wait(reader, writer):
        with_end.append(await reader.read())
        writer.close()

    with_end = []
    server = await our.start_server(wait, LOCAL, 0)
    reader, writer = await our.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    await writer.drain()
    while not server._clients:
        await asyncio.sleep(0)
    server.close_clients()
    assert (await asyncio.gather(reader.read(), return_exceptions=True))[0] is not None
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    server.close()
    await server.wait_closed()


@on_loop
async def test_both_ends_go_on_in_tls(loop, our):
    async with Connection(our) as line:
        line.writer.write(b"starttls\n")
        assert await line.remote_reader.readline() == b"starttls\n"
        await asyncio.gather(
            line.remote_writer.start_tls(server_context()),
            line.writer.start_tls(client_context(), server_hostname="localhost"),
        )
        line.writer.write(b"in secret\n")
        assert await line.remote_reader.readline() == b"in secret\n"
        assert line.writer.get_extra_info("cipher")
        assert line.reader._transport is line.writer.transport


@on_loop
async def test_a_foreign_protocol_takes_our_reader_and_our_writer(loop):
    class Foreign(asyncio.StreamReaderProtocol):
        pass

    ours, theirs = socket.socketpair()
    reader = StreamReader(loop=loop)
    protocol = Foreign(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    writer = StreamWriter(transport, protocol, reader, loop)
    theirs.send(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.write(b"answer")
    await writer.drain()
    assert theirs.recv(6) == b"answer"
    writer.close()
    await writer.wait_closed()
    theirs.close()


@on_loop
async def test_our_protocol_takes_a_foreign_reader_and_writer(loop):
    ours, theirs = socket.socketpair()
    reader = asyncio.StreamReader(loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    writer = STOCK.StreamWriter(transport, protocol, reader, loop)
    theirs.send(b"hello\n")
    assert await reader.readline() == b"hello\n"
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    theirs.close()


@on_loop
async def test_a_protocol_that_sees_its_data_first_sees_it(loop):
    class Counting(StreamReaderProtocol):
        def data_received(self, data):
            seen.append(data)
            super().data_received(data.upper())

    seen = []
    ours, theirs = socket.socketpair()
    reader = StreamReader(loop=loop)
    protocol = Counting(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    theirs.send(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    assert seen == [b"hello\n"]
    transport.close()
    await asyncio.sleep(0)
    theirs.close()


@on_loop
async def test_a_reader_that_sees_its_data_first_sees_it(loop):
    class Counting(StreamReader):
        def feed_data(self, data):
            super().feed_data(data.upper())

    ours, theirs = socket.socketpair()
    reader = Counting(loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    theirs.send(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    transport.close()
    await asyncio.sleep(0)
    theirs.close()


@on_loop
async def test_they_are_streams_of_asyncio(loop, our):
    async with Connection(our) as line:
        assert isinstance(line.reader, asyncio.StreamReader)
        assert isinstance(line.writer, asyncio.StreamWriter)
        protocol = line.writer.transport.get_protocol()
        assert isinstance(protocol, asyncio.StreamReaderProtocol)
        assert protocol._stream_reader is line.reader
        assert line.writer._transport is line.writer.transport


@on_loop
async def test_a_plain_function_may_take_connections(loop):
    met = loop.create_future()
    server = await start_server(lambda reader, writer: met.set_result(writer), LOCAL, 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        writer = await met
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
