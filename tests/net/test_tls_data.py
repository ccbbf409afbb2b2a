"""Data through TLS: whole, in order, whatever pieces it comes in, and whoever it is for."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import random
import re
import shutil
import ssl
import subprocess

import pytest

from tests.net.tls_wire import LOCAL, LOCALHOST, Views, client_context, only, server_context
from tests.net.wire import MEGABYTE, Filler, Recorder, settle

pytestmark = pytest.mark.every_driver

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
RECORD = 16 * 1024

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the program openssl"
)


class Trouble(Exception):
    """Raised by protocols on purpose."""


class Page(Views):
    size = 4096


class Tiny(Page):
    size = 3


class Huge(Page):
    size = 200_000


def pattern(size):
    """Bytes in which no part looks like another."""
    return random.Random(size).randbytes(size)


async def sent(peer, data):
    """Send; tickets before it may have made the protocol end the connection already."""
    try:
        await peer.send(data)
    except OSError:
        pass


# receiving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("factory", [Recorder, Tiny, Page, Huge])
@pytest.mark.parametrize("size", [1, 1024, RECORD - 1, RECORD, RECORD + 1, 100 * 1024])
async def test_data_arrives_whole(loop, tls, version, factory, size):
    if factory is Tiny:
        size = min(size, 2000)
    _, protocol, peer = await tls(factory, version=version)
    data = pattern(size)
    await peer.send(data)
    assert await protocol.gets(size) == data


@pytest.mark.parametrize("factory", [Recorder, Page])
async def test_megabytes_arrive_whole(loop, tls, factory):
    _, protocol, peer = await tls(factory)
    data = pattern(3 * MEGABYTE)
    await peer.send(data)
    assert await protocol.gets(len(data)) == data


@pytest.mark.parametrize("factory", [Recorder, Tiny])
async def test_a_record_that_comes_byte_by_byte_is_one_call(loop, tls, factory):
    _, protocol, peer = await tls(factory)
    for byte in peer.seal(b"abc"):
        await peer.send_raw(bytes([byte]))
        await settle(loop, 1)
    assert await protocol.gets(3) == b"abc"
    assert protocol.calls.count("data_received") + protocol.calls.count("buffer_updated") == 1


@pytest.mark.parametrize("factory", [Recorder, Tiny, Page])
@pytest.mark.parametrize("seed", range(4))
async def test_records_may_be_cut_anywhere(loop, tls, factory, seed):
    chance = random.Random(seed)
    _, protocol, peer = await tls(factory, version=VERSIONS[seed % 2])
    longest = 40 if factory is Tiny else 40_000
    messages = [chance.randbytes(chance.choice([1, 5, 100, longest])) for _ in range(20)]
    wire = peer.seal(*messages)
    while wire:
        cut = chance.choice([1, 4, 5, 6, 50, 16_000, 16_406, 50_000])
        await peer.send_raw(wire[:cut])
        wire = wire[cut:]
        await settle(loop, 1)
    data = b"".join(messages)
    assert await protocol.gets(len(data)) == data


async def test_what_comes_in_one_piece_is_one_call(loop, tls):
    _, protocol, peer = await tls()
    await peer.send_raw(peer.seal(*[b"%d " % i for i in range(100)]))
    await protocol.gets(290)
    assert protocol.calls.count("data_received") == 1


async def test_each_record_of_one_byte_counts(loop, tls):
    _, protocol, peer = await tls()
    data = pattern(3000)
    await peer.send_raw(peer.seal(*[bytes([byte]) for byte in data]))
    assert await protocol.gets(len(data)) == data


async def test_the_data_is_the_protocols_to_keep(loop, tls):
    class Keeps(Recorder):
        def data_received(self, data):
            kept.append(data)
            super().data_received(data)

    kept = []
    _, protocol, peer = await tls(Keeps)
    for i in range(5):
        await peer.send(b"message %d" % i)
        await protocol.gets(9 * (i + 1))
    assert b"".join(kept) == b"".join(b"message %d" % i for i in range(5))
    assert all(type(data) is bytes for data in kept)


async def test_connections_that_share_memory_do_not_share_data(loop, tls):
    lines = [await tls(Recorder if i % 2 else Page) for i in range(6)]
    sent = [pattern(50_000 + i) for i in range(6)]
    wires = [line.peer.seal(data) for line, data in zip(lines, sent, strict=True)]
    for start in range(0, 60_000, 7001):
        for line, wire in zip(lines, wires, strict=True):
            await line.peer.send_raw(wire[start : start + 7001])
    for line, data in zip(lines, sent, strict=True):
        assert await line.protocol.gets(len(data)) == data


async def test_a_call_may_make_others_send_and_close(loop, tls):
    """Each of the lines ends another one and writes on a third, from data_received."""

    class Meddles(Recorder):
        def data_received(self, data):
            super().data_received(data)
            others = [line for line in lines if line.protocol is not self]
            others[0].transport.write(b"from another: " + data[:10])
            others[-1].transport.abort()

    lines = [await tls(Meddles) for _ in range(3)]
    for line in lines:
        await line.peer.send(pattern(40_000))
    await lines[2].protocol.hears("connection_lost")
    await settle(loop)
    assert len({id(line.transport) for line in lines}) == 3


@pytest.mark.parametrize("factory", [Recorder, Page])
async def test_a_message_that_was_tampered_with_ends_the_connection(loop, tls, factory):
    _, protocol, peer = await tls(factory)
    whole = peer.seal(b"good")
    spoiled = bytearray(peer.seal(b"evil"))
    spoiled[-1] ^= 1
    await peer.send_raw(whole)
    await protocol.gets(4)
    await peer.send_raw(spoiled)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ssl.SSLError)
    assert protocol.data == b"good"


@pytest.mark.treadle_only  # asyncio drops what came before in the same piece
async def test_what_came_whole_before_a_spoiled_message_is_delivered(loop, tls):
    _, protocol, peer = await tls()
    spoiled = bytearray(peer.seal(b"good", b"evil"))
    spoiled[-1] ^= 1
    await peer.send_raw(spoiled)
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ssl.SSLError)
    assert protocol.data == b"good"


async def test_bytes_that_are_no_tls_end_the_connection(loop, tls):
    _, protocol, peer = await tls()
    await peer.send_raw(b"this is no record")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ssl.SSLError)


@pytest.mark.treadle_only  # asyncio waits until something else arrives
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("factory", [Recorder, Tiny])
def test_an_interrupt_leaves_the_loop_and_no_data_is_lost(loop, tls, kind, factory):
    class Interrupted(factory):
        def note(self, name):
            super().note(name)
            if name in ("data_received", "buffer_updated") and self.calls.count(name) == 1:
                raise kind

    line = loop.run_until_complete(tls(Interrupted))

    async def send():
        await line.peer.send_raw(line.peer.seal(b"first ", b"second") + line.peer.farewell())
        await line.protocol.hears("connection_lost")

    with pytest.raises(kind):
        loop.run_until_complete(send())

    async def go_on():
        await line.protocol.hears("connection_lost")

    loop.run_until_complete(go_on())
    assert line.protocol.data == b"first second"


@pytest.mark.parametrize("make", [bytearray, lambda size: array.array("i", bytes(4 * size))])
async def test_any_writable_buffer_will_do(loop, tls, make):
    class Own(Filler):
        def __init__(self):
            super().__init__()
            self.buffer = make(64)

        def buffer_updated(self, nbytes):
            self.data += bytes(memoryview(self.buffer).cast("B")[:nbytes])
            self.note("buffer_updated")

    if make is not bytearray and loop.__class__.__module__.startswith("asyncio"):
        pytest.skip("asyncio counts items, not bytes")
    _, protocol, peer = await tls(Own)
    data = pattern(1000)
    await peer.send(data)
    assert await protocol.gets(1000) == data


@pytest.mark.treadle_only  # asyncio reads into the empty buffer for ever
async def test_an_empty_buffer_ends_the_connection(loop, tls, reports):
    class Empty(Filler):
        size = 0

    _, protocol, peer = await tls(Empty)
    await sent(peer, b"x")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, RuntimeError)
    assert len(reports) == 1


@pytest.mark.treadle_only  # asyncio reports it more than once
@pytest.mark.parametrize("wrong", [None, b"read-only", 7])
async def test_a_buffer_that_cannot_be_filled_ends_the_connection(loop, tls, reports, wrong):
    class Wrong(Filler):
        def get_buffer(self, sizehint):
            return wrong

    _, protocol, peer = await tls(Wrong)
    await sent(peer, b"x")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, (TypeError, BufferError))
    assert len(reports) == 1


@pytest.mark.parametrize(
    ("factory", "method"),
    [(Recorder, "data_received"), (Page, "get_buffer"), (Page, "buffer_updated")],
)
async def test_a_failing_method_ends_the_connection_with_its_error(
    loop, tls, reports, factory, method
):
    trouble = Trouble()

    def fail(*_):
        raise trouble

    _, protocol, peer = await tls(factory)
    setattr(protocol, method, fail)
    protocol.transport.set_protocol(protocol)
    await peer.send(b"x")
    await protocol.hears("connection_lost")
    assert protocol.reason is trouble
    assert [report["exception"] for report in reports] == [trouble]


async def test_a_protocol_set_in_data_received_gets_what_comes_next(loop, tls):
    class Hands(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(after)

    for after in (Recorder(), Page()):
        transport, before, peer = await tls(Hands)
        await peer.send(b"before")
        await before.gets(6)
        assert transport.get_protocol() is after
        await peer.send(b"after")
        assert await after.gets(5) == b"after"
        assert before.data == b"before"
        transport.abort()
        await after.hears("connection_lost")


# sending --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 1024, RECORD - 1, RECORD, RECORD + 1, 100 * 1024, MEGABYTE])
async def test_what_is_written_arrives_whole(loop, tls, version, size):
    transport, _, peer = await tls(version=version)
    data = pattern(size)
    transport.write(data)
    assert await peer.gets(size) == data


class Derived(bytes):
    """Bytes of a derived class."""


@pytest.mark.parametrize(
    "kind",
    [
        bytes,
        bytearray,
        memoryview,
        Derived,
        lambda data: memoryview(array.array("H", data)),
        lambda data: memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2],
    ],
)
@pytest.mark.parametrize("size", [10, 50_000])
async def test_every_kind_of_bytes_is_sent(loop, tls, kind, size):
    if loop.__class__.__module__.startswith("asyncio"):
        probe = memoryview(kind(b"xx"))
        if not (probe.c_contiguous and probe.itemsize == 1):
            pytest.skip("asyncio counts items, and wants them side by side")
    transport, _, peer = await tls()
    data = pattern(size)
    transport.write(kind(data))
    transport.writelines([kind(data), kind(data)])
    assert await peer.gets(3 * size) == 3 * data


async def test_what_is_sent_is_what_was_there_when_write_was_called(loop, tls):
    transport, _, peer = await tls()
    data = bytearray(b"before")
    transport.write(data)
    data[:] = b"after!"
    assert await peer.gets(6) == b"before"


async def test_empty_writes_send_nothing(loop, tls):
    transport, _, peer = await tls()
    transport.write(b"")
    transport.write(bytearray())
    transport.writelines([])
    transport.writelines([b"", b""])
    transport.write(b"x")
    assert await peer.gets(1) == b"x"
    assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("wrong", [None, "text", 7, [b"x"]])
async def test_what_is_no_bytes_is_a_type_error(loop, tls, wrong):
    transport, _, peer = await tls()
    with pytest.raises(TypeError):
        transport.write(wrong)
    transport.write(b"x")
    assert await peer.gets(1) == b"x"


async def test_pieces_are_sent_in_order(loop, tls):
    transport, _, peer = await tls()
    pieces = [pattern(size) for size in (1, 0, 100, 20_000, 3, RECORD, 5, 16_380, 7, 40_000)]
    transport.writelines(iter(pieces))
    data = b"".join(pieces)
    assert await peer.gets(len(data)) == data


@pytest.mark.treadle_only  # asyncio makes a record of each piece
async def test_small_pieces_share_a_record(loop, tls):
    transport, _, peer = await tls()
    transport.writelines([b"%d," % i for i in range(100)])
    wire = await loop.sock_recv(peer.sock, 65536)
    assert int.from_bytes(wire[3:5], "big") + 5 == len(wire)


async def test_data_goes_both_ways_at_once(loop, tls):
    transport, protocol, peer = await tls()
    size = 4 * MEGABYTE
    there, back = pattern(size), pattern(size + 1)
    transport.write(there)
    sending = asyncio.ensure_future(peer.send(back))
    assert await peer.gets(size) == there
    await sending
    assert await protocol.gets(size + 1) == back


async def test_streams_carry_megabytes_both_ways(loop):
    data = pattern(2 * MEGABYTE)
    served = loop.create_future()

    async def echo(reader, writer):
        got = await reader.readexactly(len(data))
        writer.write(got)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set_result(None)

    server = await asyncio.start_server(echo, LOCAL, 0, ssl=server_context())
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        LOCAL, port, ssl=client_context(), server_hostname="localhost"
    )
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    assert await reader.read() == b""
    await served
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


# what OpenSSL has to say by itself ------------------------------------------------------------


class Echo(Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


@contextlib.contextmanager
def openssl(*arguments):
    """The program of OpenSSL, killed in the end, with its input and output."""
    with subprocess.Popen(
        ["openssl", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def until(loop, pipe, text):
    """Read from a pipe until `text` has come."""
    data = b""
    while text not in data:
        part = await loop.run_in_executor(None, os.read, pipe.fileno(), 65536)
        assert part, data
        data += part
    return data


@needs_openssl
@pytest.mark.parametrize("command", [b"k", b"K"], ids=["key update", "key update of both"])
async def test_new_keys_are_taken_up(loop, command):
    """`openssl s_client` sends a key update when it reads that letter alone on a line."""
    served = Echo()
    server = await loop.create_server(lambda: served, LOCAL, 0, ssl=server_context())
    host = "{}:{}".format(*server.sockets[0].getsockname())
    with openssl("s_client", "-tls1_3", "-connect", host) as client:
        await served.hears("connection_made")
        client.stdin.write(b"before\n")
        await until(loop, client.stdout, b"before\n")
        client.stdin.write(command + b"\n")
        await until(loop, client.stdout, b"KEYUPDATE\n")
        client.stdin.write(b"after\n")
        await until(loop, client.stdout, b"after\n")
        assert served.data == b"before\nafter\n"
        served.transport.abort()
        await served.hears("connection_lost")
        server.close()


@needs_openssl
async def test_a_server_that_negotiates_anew_is_answered(loop):
    """`openssl s_server` asks for it when it reads an r alone on a line."""
    with openssl(
        *("s_server", "-tls1_2", "-accept", f"{LOCAL}:0"),
        *("-cert", LOCALHOST, "-key", LOCALHOST.with_suffix(".key")),
    ) as server:
        accepts = await until(loop, server.stdout, b"ACCEPT ")
        port = int(re.search(rb"ACCEPT .*:(\d+)", accepts)[1])
        transport, client = await loop.create_connection(
            Recorder,
            LOCAL,
            port,
            ssl=only(client_context(), ssl.TLSVersion.TLSv1_2),
            server_hostname="localhost",
        )
        server.stdin.write(b"before\n")
        await client.gets(7)
        server.stdin.write(b"r\n")
        reading = asyncio.ensure_future(until(loop, server.stdout, b"written 49\n"))
        for i in range(50):  # some of it while it negotiates
            transport.write(b"written %d\n" % i)
            await settle(loop, 1)
        out = await reading
        assert b"SSL_do_handshake" in out
        server.stdin.write(b"after\n")
        assert await client.gets(13) == b"before\nafter\n"
        transport.abort()
        await client.hears("connection_lost")
    assert b"".join(re.findall(rb"written \d+\n", out)) == b"".join(
        b"written %d\n" % i for i in range(50)
    )
