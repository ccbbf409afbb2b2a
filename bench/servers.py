"""The servers under load, each in a process of its own: `python -m bench.servers KIND LOOP`.

They know only asyncio's interface. A server prints one line of JSON with its ports and then serves
until it is killed, or until an alarm ends it if whoever started it is gone.
"""

import asyncio
import contextlib
import gc
import json
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from bench.loops import new_loop

HOST = "127.0.0.1"
BACKLOG = 4096
LIFETIME_SECONDS = 180


class Listening(Protocol):
    """What is asked of a server: where it listens."""

    @property
    def sockets(self) -> Any:
        """The listening sockets."""


class Echo(asyncio.Protocol):
    """Sends back whatever comes."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


class SocketEcho:
    """An echo server on the loop's `sock_*` methods; has `sockets`, as asyncio's servers do."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server((HOST, 0), backlog=BACKLOG)]
        self.sockets[0].setblocking(False)
        self.tasks = {asyncio.ensure_future(self.accept())}

    async def accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            conn, _ = await loop.sock_accept(self.sockets[0])
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = loop.create_task(self.echo(loop, conn))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def echo(self, loop: asyncio.AbstractEventLoop, conn: socket.socket) -> None:
        with conn, contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(conn, 65536):
                await loop.sock_sendall(conn, data)


class Census:
    """Counts what the idle servers accepted and answers, over a port of its own, what they hold.

    The answer comes from inside the process because the garbage has to be collected first.
    """

    def __init__(self) -> None:
        self.accepted = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            gc.collect()
            facts = {"accepted": self.accepted, **memory()}
            writer.write(json.dumps(facts).encode() + b"\n")
        writer.close()

    def protocol(self) -> asyncio.Protocol:
        self.accepted += 1
        return Idle()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await reader.read(1)
        writer.close()


class Idle(asyncio.Protocol):
    """The least a protocol can be and still answer later."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


def memory() -> dict[str, int]:
    """This process's memory in bytes: `private` is what would be freed if it ended."""
    private = 0
    with open("/proc/self/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                private += int(line.split()[1]) * 1024
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    return {"private": private, "resident": resident}


async def _echo_protocol() -> list[Listening]:
    loop = asyncio.get_running_loop()
    return [await loop.create_server(Echo, HOST, 0, backlog=BACKLOG)]


async def _echo_streams() -> list[Listening]:
    return [await asyncio.start_server(echo_streams, HOST, 0, backlog=BACKLOG)]


async def _echo_sockets() -> list[Listening]:
    return [SocketEcho()]


async def _idle_connection() -> list[Listening]:
    census = Census()
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(census.protocol, HOST, 0, backlog=BACKLOG),
        await asyncio.start_server(census.answer, HOST, 0),
    ]


async def _idle_stream() -> list[Listening]:
    census = Census()
    return [
        await asyncio.start_server(census.handle, HOST, 0, backlog=BACKLOG),
        await asyncio.start_server(census.answer, HOST, 0),
    ]


KINDS: dict[str, Callable[[], Awaitable[list[Listening]]]] = {
    "echo_protocol": _echo_protocol,
    "echo_streams": _echo_streams,
    "echo_sockets": _echo_sockets,
    "idle_connection": _idle_connection,
    "idle_stream": _idle_stream,
}


def main(kind: str, loop_name: str) -> None:
    signal.alarm(LIFETIME_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    servers = loop.run_until_complete(_started(KINDS[kind]))
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({"ports": ports}), flush=True)
    loop.run_forever()


async def _started(start: Callable[[], Awaitable[list[Listening]]]) -> list[Listening]:
    return await start()


if __name__ == "__main__":
    main(*sys.argv[1:])
