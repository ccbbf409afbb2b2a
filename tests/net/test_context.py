"""Context variables: each connection has a context of its own, made where the connection was."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tests.net.wire import Filler, Recorder, read_all

pytestmark = pytest.mark.every_driver

word = contextvars.ContextVar("word", default="none")


class Keeps(Recorder):
    """Sets the variable to what is received, and notes what it was before."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def data_received(self, data):
        self.seen.append(word.get())
        word.set(data.decode())
        super().data_received(data)


async def test_a_variable_set_for_one_connection_is_kept_for_it_and_unseen_by_others(
    loop, both_sides
):
    lines = [await both_sides(Keeps) for _ in range(3)]
    for turn in range(1, 4):
        for number, line in enumerate(lines):
            line.peer.send(f"{number}-{turn}".encode())
            await line.protocol.hears("data_received", times=turn)
    for number, line in enumerate(lines):
        assert line.protocol.seen == ["none", f"{number}-1", f"{number}-2"]
    assert word.get() == "none"


async def test_a_connection_sees_what_was_set_where_it_was_made(loop, both_sides):
    word.set("outside")
    line = await both_sides(Keeps)
    word.set("later")
    line.peer.send(b"x")
    await line.protocol.gets(1)
    assert line.protocol.seen == ["outside"]


async def test_the_factory_of_an_accepted_connection_sees_what_the_server_saw(loop):
    seen = []

    def factory():
        seen.append(word.get())
        return protocol

    protocol = Recorder()
    word.set("at the server")
    server = await loop.create_server(factory, "127.0.0.1", 0)
    word.set("later")
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await protocol.hears("connection_made")
    assert seen == ["at the server"]
    writer.close()
    await protocol.hears("connection_lost")
    server.close()
    await server.wait_closed()


async def test_a_task_made_in_data_received_takes_the_context_along(loop, both_sides):
    class Delegates(Keeps):
        def data_received(self, data):
            super().data_received(data)
            tasks.append(asyncio.ensure_future(self.look()))

        async def look(self):
            return word.get()

    tasks = []
    _, _, peer = line = await both_sides(Delegates)
    peer.send(b"mine")
    await line.protocol.gets(4)
    assert await tasks[0] == "mine"


@pytest.mark.treadle_only
async def test_every_method_runs_in_the_context_of_the_connection(loop, both_sides):
    class Looks(Recorder):
        seen = ()

        def look(self):
            self.seen += (word.get(),)

        def connection_made(self, transport):
            self.look()
            word.set("made")
            super().connection_made(transport)

        def data_received(self, data):
            self.look()
            word.set("received")
            super().data_received(data)

        def resume_writing(self):
            self.look()
            word.set("resumed")
            super().resume_writing()

        def eof_received(self):
            self.look()
            word.set("ended")
            super().eof_received()

        def connection_lost(self, exc):
            self.look()
            super().connection_lost(exc)

    transport, protocol, peer = await both_sides(Looks, small=True)
    peer.send(b"x")
    await protocol.gets(1)
    transport.write(bytes(1_000_000))
    transport.write_eof()
    await read_all(loop, peer)
    await protocol.hears("resume_writing")
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.seen == ("none", "made", "received", "resumed", "ended")


@pytest.mark.treadle_only
async def test_a_buffered_protocol_runs_in_the_context_of_the_connection(loop, both_sides):
    class Looks(Filler):
        seen = ()

        def connection_made(self, transport):
            word.set("made")
            super().connection_made(transport)

        def get_buffer(self, sizehint):
            self.seen += (word.get(),)
            word.set("asked")
            return self.buffer

        def buffer_updated(self, nbytes):
            self.seen += (word.get(),)
            super().buffer_updated(nbytes)

    _, protocol, peer = await both_sides(Looks)
    peer.send(b"x")
    await protocol.gets(1)
    assert protocol.seen == ("made", "asked")


@pytest.mark.treadle_only
async def test_pausing_and_resuming_keeps_the_context(loop, both_sides):
    transport, protocol, peer = await both_sides(Keeps)
    peer.send(b"first")
    await protocol.gets(5)
    transport.pause_reading()
    transport.resume_reading()
    peer.send(b"second")
    await protocol.gets(11)
    assert protocol.seen == ["none", "first"]


async def test_pause_writing_runs_in_the_context_of_who_writes(loop, both_sides):
    class Looks(Recorder):
        seen = ()

        def pause_writing(self):
            self.seen += (word.get(),)
            super().pause_writing()

    transport, protocol, _ = await both_sides(Looks, small=True)
    word.set("the writer's")
    transport.write(bytes(1_000_000))
    assert protocol.seen == ("the writer's",)
    transport.abort()
