"""The servers under load, each in a process: `python -m bench.servers KIND LOOP [ARGUMENT]`.

They know only asyncio's interface, and take streams from the namespace that goes with the loop. A
server prints one line of JSON with its addresses and then serves until it is killed, or until an
alarm ends it if whoever started it is gone. If the loop lacks a method that the server needs, or a
package is not installed, the line says so instead.
"""

import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import cast

from bench import allocator, echoes
from bench.applications import APPLICATIONS
from bench.echoes import BACKLOG, HOST, Address
from bench.loops import missing_method, names, new_loop, settle
from bench.primitives import Names
from bench.tls import server_context

LIFETIME_SECONDS = 180


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
        return Idle(self)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await reader.read(1)
        writer.close()


class Idle(asyncio.Protocol):
    """The least a protocol can be and still answer later; counted once it is connected."""

    __slots__ = ("census", "transport")

    def __init__(self, census: Census) -> None:
        self.census = census

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.census.accepted += 1

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


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


_kept: list[asyncio.Server] = []
"""What serves until the process ends."""


async def _idle_connection(aio: Names) -> list[Address]:
    return await _idle(tls=False)


async def _idle_tls(aio: Names) -> list[Address]:
    return await _idle(tls=True)


async def _idle(tls: bool) -> list[Address]:
    census = Census()
    server = await asyncio.get_running_loop().create_server(
        census.protocol, HOST, 0, backlog=BACKLOG, ssl=server_context() if tls else None
    )
    return _ports(server, await asyncio.start_server(census.answer, HOST, 0))


async def _idle_stream(aio: Names) -> list[Address]:
    census = Census()
    server = await aio.start_server(census.handle, HOST, 0, backlog=BACKLOG)
    return _ports(server, await asyncio.start_server(census.answer, HOST, 0))


def _ports(*servers: asyncio.Server) -> list[Address]:
    _kept.extend(servers)
    return [server.sockets[0].getsockname()[1] for server in servers]


IDLE: dict[str, Callable[[Names], Awaitable[list[Address]]]] = {
    "idle_connection": _idle_connection,
    "idle_stream": _idle_stream,
    "idle_tls": _idle_tls,
}


async def _started(kind: str, aio: Names, argument: str) -> list[Address]:
    if kind in IDLE:
        return await IDLE[kind](aio)
    if kind in APPLICATIONS:
        return [await APPLICATIONS[kind](argument)]
    return [await echoes.SERVERS[kind.removeprefix("echo_")](aio, argument)]


def main(kind: str, loop_name: str, argument: str = "") -> None:
    signal.alarm(LIFETIME_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if kind not in IDLE:
        allocator.warm()
    if kind in APPLICATIONS:
        settle(loop_name)
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    try:
        addresses = loop.run_until_complete(_started(kind, names(loop_name), argument))
    except NotImplementedError as error:
        print(json.dumps({"cannot": missing_method(error)}), flush=True)
        return
    except ModuleNotFoundError as error:
        print(json.dumps({"cannot": f"no package {error.name}"}), flush=True)
        return
    print(json.dumps({"addresses": addresses}), flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
