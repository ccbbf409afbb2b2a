"""A datagram transport does what a queue in front of a mailbox does, whatever the order of calls.

The driver under the transport is the plain one, with a kernel that is a model: it holds as many
datagrams as the test lets it, and refuses some for good.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import treadle
from treadle._net.buffer import DatagramBuffer

BAD = b"bad"  # a datagram that the network refuses
HEADER = 8

datagrams = st.one_of(st.binary(max_size=12), st.just(BAD), st.just(bytes(300)))
steps = st.one_of(
    st.tuples(st.just("sendto"), datagrams),
    st.tuples(st.just("sendto"), datagrams),
    st.tuples(st.just("sendto"), datagrams),
    st.tuples(st.just("room"), st.integers(1, 5)),
    st.tuples(st.just("room"), st.integers(1, 100)),
    st.tuples(st.just("limits"), st.integers(0, 600)),
    st.tuples(st.just("close")),
    st.tuples(st.just("abort")),
)


class Kernel(socket.socket):
    """A socket whose kernel has room for `room` datagrams, and keeps what it took."""

    room = 0

    def send(self, data, *_):
        return self.sendto(data, None)

    def sendto(self, data, *_):
        if bytes(data) == BAD and self.room:
            raise OSError(errno.EMSGSIZE, "Message too long")
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.room -= 1
        self.took.append(bytes(data))
        return len(data)


class Protocol(asyncio.DatagramProtocol):
    """Checks that the calls come in an order that makes sense."""

    def __init__(self):
        self.calls = []
        self.errors = 0

    def connection_made(self, transport):
        self.calls.append("made")

    def pause_writing(self):
        assert "lost" not in self.calls
        assert self.calls[-1] in ("made", "resume")
        self.calls.append("pause")

    def resume_writing(self):
        assert self.calls[-1] == "pause"
        self.calls.append("resume")

    def error_received(self, exc):
        assert "lost" not in self.calls
        self.errors += 1

    def connection_lost(self, exc):
        assert exc is None
        assert "lost" not in self.calls
        self.calls.append("lost")


class Model:
    """What a program may rely on: a queue, and how many went wrong."""

    def __init__(self):
        self.waiting = deque()
        self.took = []
        self.errors = 0
        self.room = 0
        self.state = "open"

    def sendto(self, data):
        if self.state in ("open", "flushing"):
            self.waiting.append(data)
            self.flush()

    def make_room(self, count):
        self.room += count
        self.flush()

    def flush(self):
        while self.waiting and self.room:
            data = self.waiting.popleft()
            if data == BAD:
                self.errors += 1
            else:
                self.took.append(data)
                self.room -= 1
        if self.state == "flushing" and not self.waiting:
            self.state = "lost"

    def close(self):
        if self.state == "open":
            self.state = "flushing"
            self.flush()

    def abort(self):
        self.waiting.clear()
        self.state = "lost"

    @property
    def size(self):
        return sum(len(data) + HEADER for data in self.waiting)


async def play(program):
    loop = asyncio.get_running_loop()
    sock = Kernel(type=socket.SOCK_DGRAM)
    sock.took = []
    sock.bind(("127.0.0.1", 0))
    transport, protocol = await loop.create_datagram_endpoint(Protocol, sock=sock)
    model = Model()
    for name, *arguments in program:
        if name == "sendto":
            transport.sendto(arguments[0], ("localhost", 9))  # a name: it is `sock` that sends
            model.sendto(arguments[0])
        elif name == "room":
            sock.room += arguments[0]
            model.make_room(arguments[0])
            while transport.get_write_buffer_size() > model.size:
                await asyncio.sleep(0)
        elif name == "limits":
            transport.set_write_buffer_limits(high=arguments[0])
        else:
            getattr(transport, name)()
            getattr(model, name)()
        assert transport.get_write_buffer_size() == model.size
        assert sock.took == model.took
        assert protocol.errors == model.errors
        assert transport.is_closing() == (model.state != "open")
        low, high = transport.get_write_buffer_limits()
        paused = protocol.calls[-1] == "pause"
        if model.state == "open":
            assert name != "room" or not paused or model.size > low
            assert paused or model.size <= high
    transport.abort()
    while "lost" not in protocol.calls:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sock.fileno() == -1


@pytest.mark.parametrize("driver", [None, "selector"])
@given(st.lists(steps, max_size=25))
@example([("sendto", b"x"), ("limits", 0), ("limits", 600), ("room", 1), ("sendto", b"y")])
@settings(max_examples=100)
def test_it_does_what_a_queue_does(driver, program):
    with asyncio.Runner(loop_factory=lambda: treadle.Loop(driver=driver)) as runner:
        runner.run(play(program))


@given(st.lists(st.one_of(st.binary(max_size=20), st.none()), max_size=40))
def test_the_buffer_keeps_boundaries_order_and_size(program):
    buffer, model = DatagramBuffer(), []
    for data in program:
        if data is not None:
            buffer.push(data, len(model))
            model.append((data, len(model)))
        elif model:
            assert buffer.waiting[0] == model.pop(0)
            buffer.pop()
        assert list(buffer.waiting) == model
        assert buffer.size == sum(len(data) + HEADER for data, _ in model)
    buffer.clear()
    assert not buffer.waiting
    assert buffer.size == 0
