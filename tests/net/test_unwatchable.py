"""The kernel has no memory, or no quota, to watch one more descriptor."""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket

import pytest

from tests.kit import FakeClock
from tests.net.wire import Recorder, reset
from treadle._drivers.selector import SelectorDriver

LACK = OSError(errno.ENOSPC, "No space left on device")


class Forgetful(selectors.DefaultSelector):
    """Watches no socket any more once it is told so."""

    refuses = False
    refused = 0

    def register(self, fileobj, events, data=None):
        if self.refuses:
            self.refused += 1
            raise LACK
        return super().register(fileobj, events, data)


@pytest.fixture
def selector():
    return Forgetful()


@pytest.fixture
def loop(no_descriptor_left, make_loop, selector):
    loop = make_loop(driver=SelectorDriver(selector))
    loop.run_until_complete(asyncio.sleep(0))  # watches what it needs itself
    return loop


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with ours, theirs:
        yield ours, theirs


async def test_a_connection_that_cannot_be_watched_is_raised_and_lost(loop, selector, pair):
    protocol = Recorder()
    selector.refuses = True
    with pytest.raises(OSError, match="No space left"):
        await loop.create_connection(lambda: protocol, sock=pair[0])
    await protocol.hears("connection_lost")
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert protocol.reason is LACK


@pytest.mark.parametrize(
    "act",
    [
        lambda transport: transport.resume_reading(),
        lambda transport: transport.write(bytes(1_000_000)),
        lambda transport: transport.writelines([bytes(500_000), bytes(500_000)]),
    ],
    ids=["resume_reading", "write", "writelines"],
)
async def test_a_connection_that_cannot_be_watched_any_more_is_lost(loop, selector, pair, act):
    transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
    transport.pause_reading()
    selector.refuses = True
    act(transport)
    assert transport.is_closing()
    await protocol.hears("connection_lost")
    assert protocol.reason is LACK


async def test_a_server_that_cannot_be_watched_is_raised_and_closed(loop, selector):
    selector.refuses = True
    with pytest.raises(OSError, match="No space left"):
        await loop.create_server(Recorder, "127.0.0.1", 0)


async def test_what_has_connected_is_closed_when_the_protocol_factory_fails(loop):
    async with await loop.create_server(Recorder, "127.0.0.1", 0) as server:
        with pytest.raises(ZeroDivisionError):
            await loop.create_connection(lambda: 1 / 0, *server.sockets[0].getsockname())
        server.close_clients()
        await asyncio.sleep(0)


def test_a_server_whose_rest_is_over_too_early_rests_again(
    no_descriptor_left, make_loop, selector, monkeypatch
):
    clock = FakeClock()
    loop = make_loop(driver=SelectorDriver(selector), clock=clock)
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

    async def main():
        made = []
        server = await loop.create_server(
            lambda: made.append(Recorder()) or made[0], "127.0.0.1", 0
        )
        peer = socket.create_connection(server.sockets[0].getsockname())
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "accept", refuse)
            while not reports:
                await asyncio.sleep(0)
        selector.refuses = True
        while selector.refused < 3:
            clock.ns += 2_000_000_000
            await asyncio.sleep(0)
        assert not made
        selector.refuses = False
        while not made:
            clock.ns += 2_000_000_000
            await asyncio.sleep(0)
        reset(peer)
        await made[0].hears("connection_lost")
        server.close()

    loop.run_until_complete(main())
    assert reports == ["socket.accept() out of system resource"]


def refuse(sock):
    raise OSError(errno.EMFILE, "Too many open files")
