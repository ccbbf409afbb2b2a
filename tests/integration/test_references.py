"""Nothing that an operation touches is referred to more often after it than before.

A compiled module that forgets to let go of a reference leaks an object that no garbage collector
sees, for it has no cycle: only its count shows it. So each operation is done many times, and then
the counts of what it touches are compared (the loop, the protocol's class, the callback, and so
on), and the number of memory blocks that Python has given out.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

TIMES = 200
SLACK = TIMES // 4  # caches and freelists; a leak of one per operation is TIMES
ATTEMPTS = 4  # a leak shows in each; threads and caches of others do not

pytestmark = [pytest.mark.every_driver, pytest.mark.treadle_only]

Operation = Callable[[Any, dict[str, Any]], Awaitable[None]]


class Client(asyncio.Protocol):
    """Says a word, and closes when it comes back."""

    def __init__(self, loop: Any) -> None:
        self.lost = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"word")

    def data_received(self, data: bytes) -> None:
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.writelines([data[:2], data[2:]])


class Filler(asyncio.BufferedProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = bytearray(100)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


def callback(*args: object) -> None:
    pass


def failing(*args: object) -> None:
    raise RuntimeError("on purpose")


argument = object()
context = contextvars.copy_context()


async def call_soon(loop: Any, kit: dict[str, Any]) -> None:
    loop.call_soon(callback, argument)
    loop.call_soon(callback, argument, context=context)
    loop.call_soon(callback, argument).cancel()
    await asyncio.sleep(0)


async def call_soon_that_fails(loop: Any, kit: dict[str, Any]) -> None:
    loop.call_soon(failing, argument)
    await asyncio.sleep(0)


async def call_soon_threadsafe(loop: Any, kit: dict[str, Any]) -> None:
    loop.call_soon_threadsafe(callback, argument)
    await asyncio.sleep(0)


async def timers(loop: Any, kit: dict[str, Any]) -> None:
    loop.call_later(0, callback, argument)
    loop.call_at(0, callback, argument, context=context)
    loop.call_later(3600, callback, argument).cancel()
    await asyncio.sleep(0.00001)


async def futures(loop: Any, kit: dict[str, Any]) -> None:
    future = loop.create_future()
    future.add_done_callback(callback)
    loop.call_soon(future.set_result, argument)
    await future


async def tasks(loop: Any, kit: dict[str, Any]) -> None:
    await loop.create_task(asyncio.sleep(0, argument))
    task = loop.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def watches(loop: Any, kit: dict[str, Any]) -> None:
    ours, theirs = kit["pair"]
    called = loop.create_future()
    loop.add_writer(ours, callback, argument)
    loop.add_reader(ours, called.set_result, argument)
    theirs.send(b"x")
    await called
    ours.recv(1)
    loop.remove_reader(ours)
    loop.remove_writer(ours)


async def raw_sockets(loop: Any, kit: dict[str, Any]) -> None:
    ours, theirs = kit["pair"]
    receiving = loop.create_task(loop.sock_recv(ours, 10))
    await asyncio.sleep(0)
    await loop.sock_sendall(theirs, b"word")
    await receiving
    cancelled = loop.create_task(loop.sock_recv_into(ours, bytearray(10)))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])


async def connections(loop: Any, kit: dict[str, Any]) -> None:
    _, client = await loop.create_connection(lambda: Client(loop), "127.0.0.1", kit["echo"])
    await client.lost


async def buffered_connections(loop: Any, kit: dict[str, Any]) -> None:
    transport, client = await loop.create_connection(
        lambda: Client(loop), "127.0.0.1", kit["filler"]
    )
    transport.get_extra_info("sockname")
    await client.lost


async def refused_connections(loop: Any, kit: dict[str, Any]) -> None:
    with pytest.raises(OSError):  # noqa: PT011  # which one is another test's
        await loop.create_connection(lambda: Client(loop), "127.0.0.1", kit["nobody"])


async def streams(loop: Any, kit: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", kit["echo"])
    writer.write(b"line\n")
    assert await reader.readline() == b"line\n"
    writer.close()
    await writer.wait_closed()


async def executors(loop: Any, kit: dict[str, Any]) -> None:
    await loop.run_in_executor(None, callback, argument)


OPERATIONS: list[Operation] = [
    call_soon,
    call_soon_that_fails,
    call_soon_threadsafe,
    timers,
    futures,
    tasks,
    watches,
    raw_sockets,
    connections,
    buffered_connections,
    refused_connections,
    streams,
    executors,
]


def watched(loop: Any) -> dict[str, Any]:
    """What the operations touch, by name."""
    return {
        "loop": loop,
        "loop's class": type(loop),
        "driver": loop._driver,
        "callback": callback,
        "failing callback": failing,
        "argument": argument,
        "context": context,
        "current context": kept_context,
        "Client": Client,
        "Echo": Echo,
        "Filler": Filler,
        "None": None,  # counts before Python 3.12
        "True": True,
        "empty tuple": (),
        "empty bytes": b"",
        "OSError": OSError,
        "exception handler": loop.get_exception_handler(),
    }


kept_context = contextvars.copy_context()


def counts(loop: Any) -> dict[str, int]:
    for _ in range(3):  # what a finalizer lets go of
        gc.collect()
    found = {name: sys.getrefcount(thing) for name, thing in watched(loop).items()}
    found["memory blocks"] = sys.getallocatedblocks()
    found["objects"] = len(gc.get_objects())
    return found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_counts_are_afterwards_what_they_were(
    operation: Operation,
    loop_factory: Callable[[], Any],
    socket_pair: tuple[socket.socket, socket.socket],
) -> None:
    loop = loop_factory()
    loop.set_exception_handler(callback)

    async def repeat(times: int) -> None:
        servers = [await loop.create_server(factory, "127.0.0.1", 0) for factory in (Echo, Filler)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        kit = {"pair": socket_pair, "echo": ports[0], "filler": ports[1], "nobody": unused}
        for _ in range(times):
            await operation(loop, kit)
        for server in servers:
            server.close()
        for _ in range(5):  # the last ends of connections
            await asyncio.sleep(0.001)

    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        unused = taken.getsockname()[1]
        try:
            loop.run_until_complete(repeat(TIMES // 2))
            grown: dict[str, int] = {}
            for _ in range(ATTEMPTS):
                before = counts(loop)
                loop.run_until_complete(repeat(TIMES))
                after = counts(loop)
                grown = {
                    name: after[name] - before[name]
                    for name in after
                    if after[name] - before[name] > SLACK
                }
                if not grown:
                    break
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
    assert grown == {}


def test_a_reference_too_many_is_seen(loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    before = counts(loop)
    hoard = [argument] * TIMES
    grown = counts(loop)["argument"] - before["argument"]
    loop.close()
    assert grown == len(hoard)
