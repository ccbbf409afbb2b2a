"""The life of a stream transport: what its protocol hears, in which order, and how often."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from tests.net.wire import Filler, Recorder, read_all, read_exactly, reset, settle

pytestmark = pytest.mark.every_driver


class Trouble(Exception):
    """Raised by protocols on purpose."""


# beginning ------------------------------------------------------------------------------------


async def test_connection_made_comes_before_data_that_was_already_there(loop, both_sides):
    class Late(Recorder):
        def connection_made(self, transport):
            assert self.calls == []
            super().connection_made(transport)

    line = await both_sides(Late)
    line.peer.send(b"early")
    assert await line.protocol.gets(5) == b"early"
    assert line.protocol.calls == ["connection_made", "data_received"]


async def test_create_connection_returns_after_connection_made(loop, dial):
    _, protocol, _ = await dial()
    assert protocol.calls == ["connection_made"]


async def test_connection_made_is_given_the_transport_that_is_returned(loop, dial):
    transport, protocol, _ = await dial()
    assert protocol.transport is transport


async def test_closing_in_connection_made_ends_the_connection_without_data(loop, both_sides):
    class Refuses(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.close()

    _, protocol, peer = await both_sides(Refuses)
    try:
        peer.send(b"hello?")
    except OSError:
        pass  # closed already
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert protocol.reason is None


async def test_aborting_in_connection_made_ends_the_connection(loop, both_sides):
    class Refuses(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.abort()

    _, protocol, _ = await both_sides(Refuses)
    await protocol.hears("connection_lost")
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_a_failing_connection_made_is_reported_and_the_connection_goes_on(
    loop, both_sides, reports
):
    class Fails(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise Trouble

    line = await both_sides(Fails)
    line.peer.send(b"still")
    assert await line.protocol.gets(5) == b"still"
    assert [type(report["exception"]) for report in reports] == [Trouble]


async def test_writing_in_connection_made_sends(loop, both_sides):
    class Greets(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"welcome")

    _, _, peer = await both_sides(Greets)
    assert await read_exactly(loop, peer, 7) == b"welcome"


# ending ---------------------------------------------------------------------------------------


async def test_a_peer_that_closes_is_heard_as_eof_and_then_as_lost(loop, both_sides):
    _, protocol, peer = await both_sides()
    peer.send(b"bye")
    peer.close()
    await protocol.hears("connection_lost")
    assert protocol.calls == [
        "connection_made",
        "data_received",
        "eof_received",
        "connection_lost",
    ]
    assert protocol.data == b"bye"
    assert protocol.reason is None


async def test_a_peer_that_resets_is_heard_as_lost_with_the_error(loop, both_sides):
    _, protocol, peer = await both_sides()
    reset(peer)
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert isinstance(protocol.reason, ConnectionResetError)


async def test_a_reset_while_reading_is_paused_is_heard_after_resuming(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.pause_reading()
    reset(peer)
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, ConnectionResetError)


async def test_close_is_heard_as_lost_without_an_error(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.close()
    assert transport.is_closing()
    assert protocol.calls == ["connection_made"]  # not from within close
    await protocol.hears("connection_lost")
    assert protocol.reason is None
    assert await loop.sock_recv(peer, 1) == b""


async def test_abort_is_heard_as_lost_without_an_error(loop, both_sides):
    transport, protocol, _ = await both_sides()
    transport.abort()
    assert transport.is_closing()
    await protocol.hears("connection_lost")
    assert protocol.reason is None


@pytest.mark.parametrize("first", ["close", "abort", "write_eof"])
@pytest.mark.parametrize("second", ["close", "abort"])
async def test_ending_it_twice_is_heard_once(loop, both_sides, first, second):
    transport, protocol, _ = await both_sides()
    getattr(transport, first)()
    getattr(transport, second)()
    await protocol.hears("connection_lost")
    getattr(transport, second)()
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_close_and_a_reset_by_the_peer_at_once_are_heard_once(loop, both_sides):
    transport, protocol, peer = await both_sides()
    reset(peer)
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls.count("connection_lost") == 1


async def test_nothing_is_received_after_close(loop, both_sides):
    transport, protocol, peer = await both_sides()
    peer.send(b"too late")
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_data_received_stops_receiving(loop, both_sides, how):
    class Curt(Recorder):
        def data_received(self, data):
            super().data_received(data)
            getattr(self.transport, how)()

    _, protocol, peer = await both_sides(Curt)
    peer.send(b"one")
    await protocol.hears("data_received")
    try:
        while True:
            peer.send(b"two")
            await settle(loop, 1)
    except (ConnectionResetError, BrokenPipeError):
        pass
    assert protocol.calls == ["connection_made", "data_received", "connection_lost"]
    assert protocol.reason is None


@pytest.mark.parametrize("keep_open", [False, True])
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_it_in_eof_received_is_heard_once(loop, both_sides, how, keep_open):
    class Leaves(Recorder):
        def eof_received(self):
            super().eof_received()
            getattr(self.transport, how)()
            return keep_open

    _, protocol, peer = await both_sides(Leaves)
    peer.shutdown(socket.SHUT_WR)
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "eof_received", "connection_lost"]


async def test_closing_in_connection_lost_does_nothing(loop, both_sides):
    class Thorough(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.transport.close()
            self.transport.abort()
            self.transport.write(b"anyone?")

    transport, protocol, _ = await both_sides(Thorough)
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_closing_others_in_connection_lost_ends_each_once(loop, both_sides):
    class Chain(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            for line in lines:
                line.transport.close()

    lines = [await both_sides(Chain) for _ in range(5)]
    lines[2].transport.abort()
    for line in lines:
        await line.protocol.hears("connection_lost")
    await settle(loop)
    assert all(line.protocol.calls == ["connection_made", "connection_lost"] for line in lines)


# protocols that raise -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Trouble, type("Base", (BaseException,), {}), OSError])
async def test_a_failing_data_received_ends_the_connection_with_its_error(
    loop, both_sides, reports, kind
):
    class Fails(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise kind("in data_received")

    _, protocol, peer = await both_sides(Fails)
    peer.send(b"x")
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, kind)
    # an OSError is taken for a failure of the network
    assert [report["exception"] for report in reports] == [protocol.reason] * (kind is not OSError)


async def test_a_failing_eof_received_ends_the_connection_with_its_error(loop, both_sides, reports):
    class Fails(Recorder):
        def eof_received(self):
            super().eof_received()
            raise Trouble

    _, protocol, peer = await both_sides(Fails)
    peer.close()
    await protocol.hears("connection_lost")
    assert isinstance(protocol.reason, Trouble)
    assert [report["exception"] for report in reports] == [protocol.reason]
    assert reports[0]["protocol"] is protocol
    assert reports[0]["transport"] is protocol.transport


async def test_a_failing_connection_lost_is_reported_and_closes_the_descriptor(
    loop, both_sides, reports
):
    class Fails(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise Trouble

    transport, protocol, peer = await both_sides(Fails)
    transport.close()
    await protocol.hears("connection_lost")
    assert await loop.sock_recv(peer, 1) == b""
    assert [type(report["exception"]) for report in reports] == [Trouble]


async def test_a_protocol_without_the_methods_ends_its_connection(loop, both_sides, reports):
    class Mute:
        transport = None

        def connection_made(self, transport):
            self.transport = transport

        def connection_lost(self, exc):
            lost.set_result(exc)

    lost = loop.create_future()
    _, _, peer = await both_sides(Mute)
    peer.send(b"x")
    assert isinstance(await lost, AttributeError)
    assert len(reports) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_an_interrupt_leaves_the_loop_and_no_connection_loses_data(loop, kind, method, both_sides):
    class Interrupted(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if method == "data_received" and data == b"now":
                raise kind

        def eof_received(self):
            super().eof_received()
            if method == "eof_received" and self.calls.count(method) == 1:
                raise kind

    lines = [loop.run_until_complete(both_sides(Interrupted)) for _ in range(6)]
    for number, line in enumerate(lines):
        line.peer.send(b"now" if number == 3 else b"text")
    if method == "eof_received":
        lines[3].peer.shutdown(socket.SHUT_WR)
    with pytest.raises(kind):
        loop.run_forever()
    for number, line in enumerate(lines):
        if number != 3:
            assert loop.run_until_complete(line.protocol.gets(4)) == b"text"


# half-closed ----------------------------------------------------------------------------------


async def test_after_write_eof_the_peer_reads_the_end_and_we_still_receive(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.write(b"question")
    transport.write_eof()
    assert await read_all(loop, peer) == b"question"
    peer.send(b"answer")
    assert await protocol.gets(6) == b"answer"
    assert not transport.is_closing()


async def test_write_eof_comes_after_everything_that_is_buffered(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    data = bytes(range(256)) * 4096
    transport.write(data)
    transport.write_eof()
    assert transport.get_write_buffer_size() > 0
    assert await read_all(loop, peer) == data
    assert not transport.is_closing()


async def test_close_after_write_eof_still_sends_everything(loop, both_sides):
    transport, protocol, peer = await both_sides(small=True)
    data = bytes(range(256)) * 4096
    transport.write(data)
    transport.write_eof()
    transport.close()
    assert await read_all(loop, peer) == data
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_write_eof_twice_and_after_close_does_nothing(loop, both_sides):
    transport, protocol, _ = await both_sides()
    assert transport.can_write_eof()
    transport.write_eof()
    transport.write_eof()
    transport.close()
    transport.write_eof()
    await protocol.hears("connection_lost")
    transport.write_eof()


async def test_eof_received_returning_true_leaves_the_other_direction_open(loop, both_sides):
    class Keeps(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    transport, protocol, peer = await both_sides(Keeps)
    peer.send(b"question")
    peer.shutdown(socket.SHUT_WR)
    await protocol.hears("eof_received")
    await settle(loop)
    assert protocol.calls.count("eof_received") == 1
    assert not transport.is_closing()
    transport.write(b"answer")
    assert await read_exactly(loop, peer, 6) == b"answer"
    transport.close()
    await protocol.hears("connection_lost")
    assert protocol.reason is None


@pytest.mark.parametrize("answer", [False, None, 0])
async def test_eof_received_returning_false_closes_after_the_buffer_is_sent(
    loop, both_sides, answer
):
    class Closes(Recorder):
        def eof_received(self):
            super().eof_received()
            return answer

    transport, protocol, peer = await both_sides(Closes, small=True)
    data = bytes(range(256)) * 4096
    transport.write(data)
    peer.shutdown(socket.SHUT_WR)
    await protocol.hears("eof_received")
    assert transport.is_closing()
    assert await read_all(loop, peer) == data
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_both_sides_half_closing_is_no_end_until_somebody_closes(loop, both_sides):
    class Keeps(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    transport, protocol, peer = await both_sides(Keeps)
    transport.write_eof()
    peer.shutdown(socket.SHUT_WR)
    await protocol.hears("eof_received")
    await settle(loop)
    assert protocol.calls == ["connection_made", "eof_received"]
    transport.close()
    await protocol.hears("connection_lost")


# pausing reading ------------------------------------------------------------------------------


async def test_a_paused_transport_delivers_nothing_and_loses_nothing(loop, both_sides):
    transport, protocol, peer = await both_sides()
    assert transport.is_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    peer.send(b"held ")
    await settle(loop)
    peer.send(b"back")
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    assert transport.is_reading()
    assert await protocol.gets(9) == b"held back"


async def test_pausing_in_data_received_holds_from_that_moment(loop, both_sides):
    class Sips(Recorder):
        def data_received(self, data):
            self.transport.pause_reading()
            super().data_received(data)

    transport, protocol, peer = await both_sides(Sips)
    for number in range(5):
        peer.send(b"%d" % number)
        await protocol.hears("data_received", times=number * 2 + 1)
        peer.send(b"!")
        await settle(loop)
        assert protocol.calls.count("data_received") == number * 2 + 1
        transport.resume_reading()
        await protocol.hears("data_received", times=number * 2 + 2)
        transport.resume_reading()
    assert protocol.data == b"0!1!2!3!4!"


async def test_pausing_and_resuming_in_data_received_goes_on(loop, both_sides):
    class Flickers(Recorder):
        def data_received(self, data):
            self.transport.pause_reading()
            self.transport.resume_reading()
            super().data_received(data)

    _, protocol, peer = await both_sides(Flickers)
    for number in range(1, 6):
        peer.send(b"x")
        await protocol.gets(number)


async def test_pausing_in_connection_made_holds(loop, both_sides):
    if isinstance(loop, asyncio.BaseEventLoop) and sys.version_info < (3, 12):
        pytest.skip("asyncio of Python 3.11 starts to read all the same")

    class Waits(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    transport, protocol, peer = await both_sides(Waits)
    peer.send(b"held")
    await settle(loop)
    assert protocol.data == b""
    transport.resume_reading()
    assert await protocol.gets(4) == b"held"


async def test_pausing_and_resuming_may_be_repeated(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.resume_reading()
    transport.pause_reading()
    transport.pause_reading()
    transport.resume_reading()
    transport.resume_reading()
    peer.send(b"x")
    assert await protocol.gets(1) == b"x"


async def test_the_end_is_not_heard_while_reading_is_paused(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.pause_reading()
    peer.send(b"bye")
    peer.close()
    await settle(loop)
    assert protocol.calls == ["connection_made"]
    transport.resume_reading()
    await protocol.hears("connection_lost")
    assert protocol.data == b"bye"


async def test_a_paused_transport_still_sends(loop, both_sides):
    transport, _, peer = await both_sides(small=True)
    transport.pause_reading()
    data = b"z" * 300_000
    transport.write(data)
    assert await read_exactly(loop, peer, len(data)) == data


async def test_resuming_after_close_does_nothing(loop, both_sides):
    transport, protocol, peer = await both_sides()
    transport.pause_reading()
    peer.send(b"x")
    transport.close()
    transport.resume_reading()
    assert not transport.is_reading()
    await protocol.hears("connection_lost")
    transport.pause_reading()
    transport.resume_reading()
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]


async def test_pausing_another_connection_in_data_received_holds_it_at_once(loop, both_sides):
    class Bossy(Recorder):
        def data_received(self, data):
            super().data_received(data)
            for line in lines:
                if line.protocol is not self:
                    line.transport.pause_reading()

    lines = [await both_sides(Bossy) for _ in range(4)]
    for line in lines:
        line.transport.pause_reading()
        line.peer.send(b"x")
    await settle(loop)
    for line in lines:
        line.transport.resume_reading()
    await settle(loop)
    assert sum(line.protocol.calls.count("data_received") for line in lines) == 1


# changing the protocol ------------------------------------------------------------------------


async def test_a_protocol_set_in_data_received_gets_what_comes_next(loop, both_sides):
    second = Recorder()

    class First(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(second)

    transport, first, peer = await both_sides(First)
    assert transport.get_protocol() is first
    peer.send(b"one")
    await first.hears("data_received")
    assert transport.get_protocol() is second
    peer.send(b"two")
    assert await second.gets(3) == b"two"
    peer.close()
    await second.hears("connection_lost")
    assert first.data == b"one"
    assert first.calls == ["connection_made", "data_received"]
    assert second.calls == ["data_received", "eof_received", "connection_lost"]


async def test_a_plain_and_a_buffered_protocol_can_take_turns(loop, both_sides):
    plain, filler = Recorder(), Filler()

    class Start(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(filler)

    def back(nbytes):
        Filler.buffer_updated(filler, nbytes)
        transport.set_protocol(plain)

    filler.buffer_updated = back
    transport, start, peer = await both_sides(Start)
    peer.send(b"plain")
    await start.hears("data_received")
    peer.send(b"buffered")
    assert await filler.gets(8) == b"buffered"
    peer.send(b"plain again")
    assert await plain.gets(11) == b"plain again"
    assert start.data == b"plain"
