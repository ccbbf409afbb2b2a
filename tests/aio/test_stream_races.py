"""Where asyncio's own streams lose something, and ours do not."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.aio.flowing import LOCAL, STREAMS, ended, failure_of, on_loop, started
from tests.kit import Handler

HAS_SEVERAL = sys.version_info >= (3, 13)


@pytest.fixture(params=["stock", "ours"])
def kind(request):
    """Whose streams they are."""
    return request.param


@pytest.fixture
def streams(kind):
    """The names of a streams module."""
    return STREAMS[kind]


def knows_several(kind):
    return kind == "ours" or HAS_SEVERAL


@on_loop
async def test_several_separators_are_taken_on_every_python(loop, kind, streams):
    reader = streams.StreamReader(loop=loop)
    reader.feed_data(b"one\r\ntwo\n")
    if not knows_several(kind):
        assert isinstance(await failure_of(reader.readuntil((b"\r\n", b"\n"))), TypeError)
        return
    assert await reader.readuntil((b"\r\n", b"\n")) == b"one\r\n"
    assert await reader.readuntil((b"\r\n", b"\n")) == b"two\n"
    assert isinstance(await failure_of(reader.readuntil(())), ValueError)
    assert isinstance(await failure_of(reader.readuntil((b"x", b""))), ValueError)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@on_loop
async def test_the_separator_that_ends_first_counts_however_the_pieces_come(
    loop, kind, streams, size
):
    if not knows_several(kind):
        pytest.skip("asyncio takes several separators from Python 3.13 on")
    data = b"aXYZbZcXYZd"
    reader = streams.StreamReader(loop=loop)
    (task,) = await started(reader.readuntil((b"XYZb", b"Z", b"XYZ")))
    for start in range(0, len(data), size):
        reader.feed_data(data[start : start + size])
        await asyncio.sleep(0)
    assert await task == b"aXYZ"


@on_loop
async def test_the_limit_is_measured_to_the_shortest_separator_that_ends_there(loop, kind, streams):
    if not knows_several(kind):
        pytest.skip("asyncio takes several separators from Python 3.13 on")
    reader = streams.StreamReader(limit=3, loop=loop)
    reader.feed_data(b"abc\r\n")
    exc = await failure_of(reader.readuntil((b"\r\n", b"\n")))
    assert exc.consumed == 4
    assert await reader.readuntil((b"\r\n",)) == b"abc\r\n"


@on_loop
async def test_a_cancelled_read_to_the_end_keeps_what_had_come(loop, kind, streams):
    reader = streams.StreamReader(loop=loop)
    (task,) = await started(reader.read())
    reader.feed_data(b"gone?")
    for _ in range(3):
        await asyncio.sleep(0)
    await ended(task)
    reader.feed_eof()
    assert await reader.read() == (b"" if kind == "stock" else b"gone?")


@on_loop
async def test_a_read_whose_bytes_another_took_is_not_told_of_an_end(loop, kind, streams):
    reader = streams.StreamReader(loop=loop)
    (late,) = await started(reader.read(10))
    reader.feed_data(b"first")
    assert await reader.read(10) == b"first"  # before the one that was woken runs
    await asyncio.sleep(0)
    if kind == "stock":
        assert await late == b""
        return
    reader.feed_data(b"second")
    assert await late == b"second"


@on_loop
async def test_a_transport_that_delivers_when_it_is_resumed_is_not_waited_for(loop, kind, streams):
    class Eager:
        def pause_reading(self):
            pass

        def resume_reading(self):
            reader.feed_data(b"more\n")

    reader = streams.StreamReader(limit=4, loop=loop)
    reader.set_transport(Eager())
    reader.feed_data(b"0123456789")
    (task,) = await started(reader.readexactly(15))
    await asyncio.sleep(0)
    assert task.done() is (kind == "ours")
    if kind == "stock":
        await ended(task)
    else:
        assert await task == b"0123456789more\n"


@on_loop
async def test_who_stops_waiting_for_the_end_stops_nobody_else(loop, kind, streams):
    async def serve(reader, writer):
        await reader.read()
        writer.close()

    handler = Handler(serve)
    server = await streams.start_server(handler, LOCAL, 0)
    reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
    first, second = await started(writer.wait_closed(), writer.wait_closed())
    await ended(first)
    await asyncio.sleep(0)
    assert second.cancelled() is (kind == "stock")
    writer.close()
    if kind == "ours":
        await second
        await writer.wait_closed()
    await reader.read()
    server.close()
    await handler.finished()
    await server.wait_closed()
