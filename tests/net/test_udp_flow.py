"""Datagrams that have to wait: their order, the marks, the end, and kernels that give no event."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

import treadle
from tests.net.wire import Letterbox, settle

pytestmark = [
    pytest.mark.every_driver,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="they fill a Unix socket's queue"),
]


# asyncio (3.13.0) counts eight bytes that it never takes off: its buffer is never empty again
counts_right = pytest.mark.treadle_only


class Trouble(Exception):
    """Raised by protocols on purpose."""


class Mailbox:
    """A Unix socket for datagrams that nobody empties; the kernel holds only a few of them."""

    def __init__(self, path):
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.setblocking(False)

    def take(self):
        """Take out what is there."""
        found = []
        try:
            while True:
                found.append(self.sock.recv(65536))
        except BlockingIOError:
            return found

    async def takes(self, count):
        """Take out so many datagrams, as they come."""
        found = []
        while len(found) < count:
            found += self.take()
            await asyncio.sleep(0)
        return found


@pytest.fixture
def mailbox(tmp_path, loop):
    box = Mailbox(tmp_path / "mailbox")
    yield box
    box.sock.close()


@pytest.fixture(params=["connected", "not connected"])
def sender(request, mailbox, post):
    """Opens an endpoint; returns it, its protocol, and a function that sends to the mailbox."""

    async def make(factory=Letterbox):
        if request.param == "connected":
            transport, protocol = await post(
                None, mailbox.path, family=socket.AF_UNIX, factory=factory
            )
            return transport, protocol, transport.sendto
        transport, protocol = await post(family=socket.AF_UNIX, factory=factory)
        return transport, protocol, lambda data: transport.sendto(data, mailbox.path)

    return make


def fill(transport, send):
    """Send until one has to wait; return all that were sent."""
    sent = []
    while not transport.get_write_buffer_size():
        sent.append(b"%d" % len(sent))
        send(sent[-1])
    return sent


async def test_what_has_to_wait_arrives_in_order(mailbox, sender):
    transport, _, send = await sender()
    sent = fill(transport, send)
    for _ in range(100):
        sent.append(b"%d" % len(sent))
        send(sent[-1])
    assert await mailbox.takes(len(sent)) == sent


@counts_right
async def test_the_buffer_is_empty_in_the_end(loop, mailbox, sender):
    transport, _, send = await sender()
    sent = fill(transport, send)
    await mailbox.takes(len(sent))
    await settle(loop)
    assert transport.get_write_buffer_size() == 0


async def test_what_waits_is_a_copy(mailbox, sender):
    transport, _, send = await sender()
    sent = fill(transport, send)
    data = bytearray(b"before")
    send(data)
    data[:] = b"after!"
    assert (await mailbox.takes(len(sent) + 1))[-1] == b"before"


class Bytes(bytes):
    """A user's own kind of bytes."""


async def test_a_subclass_of_bytes_may_wait(mailbox, sender):
    transport, _, send = await sender()
    sent = fill(transport, send)
    send(Bytes(b"mine"))
    assert (await mailbox.takes(len(sent) + 1))[-1] == b"mine"


@pytest.mark.treadle_only
async def test_each_datagram_counts_for_eight_bytes_more(sender):
    transport, _, send = await sender()
    last = fill(transport, send)[-1]
    assert transport.get_write_buffer_size() == len(last) + 8
    send(b"")
    send(b"12345")
    assert transport.get_write_buffer_size() == len(last) + 8 + 8 + 13


async def test_the_marks_are_asyncios(sender):
    transport, _, _ = await sender()
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    with pytest.raises(ValueError, match="must be >="):
        transport.set_write_buffer_limits(high=1, low=2)


async def test_the_protocol_is_paused_above_the_high_mark_and_resumed_at_the_low_one(
    mailbox, sender
):
    transport, protocol, send = await sender()
    transport.set_write_buffer_limits(high=1000, low=500)
    sent = fill(transport, send)
    while transport.get_write_buffer_size() + 108 <= 1000:
        sent.append(bytes(100))
        send(sent[-1])
    assert "pause_writing" not in protocol.calls
    for _ in range(5):
        sent.append(bytes(100))
        send(sent[-1])
    assert protocol.calls.count("pause_writing") == 1
    assert await mailbox.takes(len(sent)) == sent
    await protocol.hears("resume_writing")
    assert protocol.calls == ["connection_made", "pause_writing", "resume_writing"]


@counts_right
async def test_what_resume_writing_sends_comes_after_what_waited(mailbox, sender):
    class More(Letterbox):
        def resume_writing(self):
            super().resume_writing()
            self.send(b"last")

    transport, protocol, send = await sender(More)
    protocol.send = send
    transport.set_write_buffer_limits(high=0)
    sent = fill(transport, send)
    assert await mailbox.takes(len(sent) + 1) == [*sent, b"last"]


@counts_right
async def test_pause_writing_that_raises_is_reported(reports, mailbox, sender):
    class Raises(Letterbox):
        def pause_writing(self):
            raise Trouble

    transport, protocol, send = await sender(Raises)
    transport.set_write_buffer_limits(high=0)
    sent = fill(transport, send)
    assert await mailbox.takes(len(sent)) == sent
    await protocol.hears("resume_writing")
    assert [report["message"] for report in reports] == ["protocol.pause_writing() failed"]


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_pause_writing_may_end_the_transport(loop, mailbox, sender, end):
    class Ends(Letterbox):
        def pause_writing(self):
            super().pause_writing()
            getattr(self.transport, end)()

    transport, protocol, send = await sender(Ends)
    transport.set_write_buffer_limits(high=0)
    sent = []
    while not transport.is_closing():
        sent.append(b"%d" % len(sent))
        send(sent[-1])
    await mailbox.takes(len(sent) - (end == "abort"))
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_close_sends_what_waits_first(mailbox, sender):
    transport, protocol, send = await sender()
    sent = fill(transport, send)
    transport.close()
    await asyncio.sleep(0)
    assert "connection_lost" not in protocol.calls
    assert await mailbox.takes(len(sent)) == sent
    await protocol.hears("connection_lost")
    assert protocol.reason is None


async def test_abort_drops_what_waits(loop, mailbox, sender):
    transport, protocol, send = await sender()
    sent = fill(transport, send)
    transport.abort()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert mailbox.take() == sent[:-1]


@pytest.mark.treadle_only
async def test_a_receiver_that_goes_is_told_for_each_datagram_that_waits(loop, mailbox, sender):
    transport, protocol, send = await sender()
    fill(transport, send)
    send(b"one more")
    mailbox.sock.close()
    await protocol.hears("error_received", times=2)
    await settle(loop)
    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    assert transport.get_write_buffer_size() == 0
    assert not transport.is_closing()


@pytest.mark.treadle_only
async def test_error_received_may_abort_while_others_wait(loop, mailbox, sender):
    class Aborts(Letterbox):
        def error_received(self, exc):
            super().error_received(exc)
            self.transport.abort()

    transport, protocol, send = await sender(Aborts)
    fill(transport, send)
    send(b"one more")
    mailbox.sock.close()
    await protocol.hears("connection_lost")
    assert len(protocol.errors) == 1


@pytest.mark.treadle_only
async def test_waiting_for_a_full_receiver_does_not_keep_the_loop_busy(loop, mailbox, post):
    transport, _ = await post(family=socket.AF_UNIX)
    sent = fill(transport, lambda data: transport.sendto(data, mailbox.path))
    await settle(loop)
    turns = 0
    while "write=<idle" not in repr(transport):  # between two attempts
        turns += 1
        assert turns < 1000
        await asyncio.sleep(0)
    assert await mailbox.takes(len(sent)) == sent


@pytest.mark.treadle_only
async def test_an_endpoint_that_ends_between_two_attempts_makes_no_other(loop, mailbox, post):
    transport, protocol = await post(family=socket.AF_UNIX)
    fill(transport, lambda data: transport.sendto(data, mailbox.path))
    while "write=<idle" not in repr(transport):
        await asyncio.sleep(0)
    transport.abort()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert transport.get_write_buffer_size() == 0


class Congested(socket.socket):
    """A socket whose device has no room for the first few datagrams."""

    refusals = 3

    def sendto(self, *arguments):
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return super().sendto(*arguments)


@pytest.mark.treadle_only
async def test_a_device_without_room_is_tried_again(post):
    bound, there = await post(("127.0.0.1", 0))
    transport, protocol = await post(sock=Congested(type=socket.SOCK_DGRAM))
    address = ("localhost", bound.get_extra_info("sockname")[1])  # not numeric: asks `sock`
    transport.sendto(b"one", address)
    transport.sendto(b"two", address)
    assert transport.get_write_buffer_size() > 0
    assert await there.brings(2) == [b"one", b"two"]
    assert protocol.errors == []


@pytest.mark.treadle_only
async def test_the_hooks_hear_when_a_transport_is_full(loop, mailbox, post):
    told = []

    class Waits(treadle.Hooks):
        def resource_waits(self, resource, waiting):
            told.append((resource, waiting))

    hooks = Waits()
    loop.add_hooks(hooks)
    transport, protocol = await post(None, mailbox.path, family=socket.AF_UNIX)
    transport.set_write_buffer_limits(high=0)
    sent = fill(transport, transport.sendto)
    await mailbox.takes(len(sent))
    await protocol.hears("resume_writing")
    loop.remove_hooks(hooks)
    assert told == [(transport, True), (transport, False)]
