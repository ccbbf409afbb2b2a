"""Sockets of the user's that cannot carry a connection, and half-way failures: nothing stays open.

Each test runs on asyncio too: the exception is the one that it gives. That no descriptor is left is
checked after each of them.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from tests.net.wire import Recorder, listening, open_descriptors, settle

pytestmark = pytest.mark.every_driver


class Trouble(Exception):
    """Raised on purpose."""


def closed() -> Any:
    sock = socket.socket()
    sock.close()
    return sock


def udp() -> Any:
    return socket.socket(type=socket.SOCK_DGRAM)


def tls() -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context.wrap_socket(socket.socket(), do_handshake_on_connect=False)


WRONG: dict[Callable[[], Any], type[Exception]] = {udp: ValueError, tls: TypeError, closed: OSError}


async def connect(loop: Any, sock: Any) -> Any:
    return await loop.create_connection(Recorder, sock=sock)


async def take(loop: Any, sock: Any) -> Any:
    return await loop.connect_accepted_socket(Recorder, sock)


async def serve(loop: Any, sock: Any) -> Any:
    return await loop.create_server(Recorder, sock=sock)


@pytest.mark.parametrize("use", [connect, take, serve])
@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__)
async def test_a_socket_that_cannot_be_used_is_refused_and_stays_its_users(loop, use, make):
    sock = make()
    number = sock.fileno()
    # a closed one is no socket any more for epoll, and a wrong number for select
    with pytest.raises((WRONG[make], ValueError) if make is closed else WRONG[make]):
        await use(loop, sock)
    assert sock.fileno() == number
    sock.close()


@pytest.mark.parametrize("use", [connect, take])
async def test_an_unconnected_socket_is_a_connection_that_ends(loop, use):
    sock = socket.socket()
    transport, protocol = await use(loop, sock)
    transport.abort()
    await protocol.hears("connection_lost")


@pytest.mark.parametrize("use", [connect, take])
async def test_a_blocking_socket_is_made_one_that_does_not_block(loop, use):
    ours, theirs = socket.socketpair()
    ours.setblocking(True)
    transport, protocol = await use(loop, ours)
    assert not ours.getblocking()
    with theirs:
        theirs.send(b"data")
        assert await protocol.gets(4) == b"data"
    await protocol.hears("connection_lost")
    assert transport.is_closing()


async def test_a_blocking_listening_socket_serves(loop):
    sock = listening()
    sock.setblocking(True)
    server = await serve(loop, sock)
    assert not sock.getblocking()
    server.close()


@pytest.mark.parametrize("use", [connect, take])
async def test_a_factory_that_raises_leaves_the_given_socket_to_its_user(loop, use, monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        method = loop.create_connection if use is connect else loop.connect_accepted_socket

        def fail() -> Any:
            raise Trouble

        with pytest.raises(Trouble):
            await (method(fail, sock=ours) if use is connect else method(fail, ours))
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


@pytest.mark.treadle_only  # asyncio leaves the socket that it made to the garbage collector
async def test_a_connection_whose_transport_cannot_be_made_is_closed(loop):
    with listening() as listener:
        before = open_descriptors()
        with pytest.raises((TypeError, AttributeError)):
            await loop.create_connection(
                Recorder, *listener.getsockname(), ssl="no context", server_hostname="x"
            )
        await settle(loop)
        assert open_descriptors() == before


@pytest.mark.parametrize("use", [connect, take])
@pytest.mark.treadle_only
def test_a_closed_loop_leaves_the_given_socket_to_its_user(loop_factory, use):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = loop_factory()
        loop.close()
        coroutine = use(loop, ours)
        with pytest.raises(RuntimeError, match="closed"):
            coroutine.send(None)
        del coroutine
        gc.collect()
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


@pytest.mark.parametrize("turns", range(8))
async def test_cancelling_the_taking_of_a_socket_after_any_number_of_turns_leaves_nothing(
    loop, turns
):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        task = asyncio.ensure_future(loop.connect_accepted_socket(Recorder, ours))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.abort()
        await settle(loop)


@pytest.mark.treadle_only  # asyncio can leave its listening sockets to the garbage collector
@pytest.mark.parametrize("turns", range(8))
async def test_cancelling_the_making_of_a_server_after_any_number_of_turns_leaves_nothing(
    loop, turns
):
    task = asyncio.ensure_future(loop.create_server(Recorder, "localhost", 0))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        server = await task
    except asyncio.CancelledError:
        pass
    else:
        server.close()
    await settle(loop)
