"""asyncio's streams on the loop's transports."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.kit import Handler
from tests.net.wire import reset

pytestmark = pytest.mark.every_driver

LOCAL = "127.0.0.1"


@pytest.fixture
def echo(loop):
    """A server that sends every line back; its port."""

    async def answer(reader, writer):
        async for line in reader:
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    handler = Handler(answer)
    server = loop.run_until_complete(asyncio.start_server(handler, LOCAL, 0))
    yield server.sockets[0].getsockname()[1]
    server.close()
    loop.run_until_complete(handler.finished())
    loop.run_until_complete(server.wait_closed())


async def test_a_line_goes_there_and_back(loop, echo):
    reader, writer = await asyncio.open_connection(LOCAL, echo)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    await writer.wait_closed()


async def test_many_talk_at_once_and_each_hears_its_own_words(loop, echo):
    async def talk(name):
        reader, writer = await asyncio.open_connection(LOCAL, echo)
        for number in range(20):
            line = b"%d says %d\n" % (name, number)
            writer.write(line)
            assert await reader.readline() == line
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*[talk(name) for name in range(50)])


async def test_half_closing_ends_the_other_sides_reading(loop, echo):
    reader, writer = await asyncio.open_connection(LOCAL, echo)
    writer.write(b"one\ntwo\n")
    writer.write_eof()
    assert await reader.read() == b"one\ntwo\n"
    writer.close()
    await writer.wait_closed()


async def test_drain_waits_until_the_peer_has_read(loop):
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    _, other = end = await asyncio.open_connection(sock=theirs)
    writer.write(bytes(2_000_000))
    draining = asyncio.ensure_future(writer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    assert len(await end[0].readexactly(2_000_000)) == 2_000_000
    await draining
    for each in (writer, other):
        each.close()
        await each.wait_closed()
    assert await reader.read() == b""


async def test_a_reader_that_is_full_holds_the_peer_back(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=1000)
    sending = asyncio.ensure_future(loop.sock_sendall(theirs, bytes(5_000_000)))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not sending.done()
    assert len(await reader.readexactly(5_000_000)) == 5_000_000
    await sending
    theirs.close()
    writer.close()
    await writer.wait_closed()


async def test_a_reset_is_raised_by_the_reader(loop):
    with socket.create_server((LOCAL, 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        peer, _ = listener.accept()
    reset(peer)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()
