"""Connections, timers and tasks come and go; memory and descriptors return to where they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import treadle

PROGRAM = """
import asyncio, gc, json, os, sys
import treadle

TOTAL = int(sys.argv[1])
BATCH = 200


class Once(asyncio.Protocol):
    def __init__(self, loop):
        self.lost = loop.create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.transport.close()

    def connection_lost(self, exc):
        self.lost.set_result(None)


class Caller(Once):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"x" * 100)

    def data_received(self, data):
        pass


async def connect(loop, port):
    _, caller = await loop.create_connection(lambda: Caller(loop), "127.0.0.1", port)
    await caller.lost


async def connections(loop, port, count):
    for _ in range(0, count, BATCH):
        await asyncio.gather(*[connect(loop, port) for _ in range(BATCH)])


async def timers(loop, count):
    for i in range(count):
        loop.call_later(3600, print).cancel()
    handles = [loop.call_later(3600, print) for _ in range(count)]
    for handle in handles:
        handle.cancel()
    fired = loop.create_future()
    for _ in range(count):
        loop.call_later(0, int)
    loop.call_later(0.001, fired.set_result, None)
    await fired


async def tasks(loop, count):
    for _ in range(0, count, BATCH):
        await asyncio.gather(*[asyncio.sleep(0) for _ in range(BATCH)])
        cancelled = [loop.create_task(asyncio.sleep(3600)) for _ in range(BATCH)]
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.wait(cancelled)


def private_kib():
    with open("/proc/self/smaps_rollup") as lines:
        rows = (line.split() for line in lines)
        return sum(int(row[1]) for row in rows if row[0] in ("Private_Clean:", "Private_Dirty:"))


def census():
    gc.collect()
    kinds = {}
    for item in gc.get_objects():
        name = type(item).__name__
        if name in ("StreamTransport", "TimerHandle", "Task", "Once", "Caller", "Context"):
            kinds[name] = kinds.get(name, 0) + 1
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "objects": kinds,
        "blocks": sys.getallocatedblocks(),
        "kib": private_kib(),
    }


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Once(loop), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    found = []
    for count in (TOTAL // 4, TOTAL // 2, TOTAL // 2):  # the first fills pools and caches
        await connections(loop, port, count)
        await timers(loop, count)
        await tasks(loop, count)
        found.append(census())
    server.close()
    await server.wait_closed()
    print(json.dumps(found))


treadle.run(main())
"""


def measure(total: int) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM, str(total)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


# What may differ between two rounds without a leak: the censuses themselves, and a few caches.
BLOCKS = 200  # of Python's small-object allocator: far less than one per connection, timer or task
KIB = 1536  # private memory: Python's arenas are 1 MiB each, and one more may be half empty


def check(total: int) -> None:
    """Let half of `total` connections, timers and tasks come and go between two censuses."""
    _, middle, last = measure(total)
    assert last["fds"] == middle["fds"]
    assert last["objects"] == middle["objects"]
    assert last["blocks"] - middle["blocks"] < BLOCKS
    assert last["kib"] - middle["kib"] < KIB


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="reads Linux's /proc")
def test_memory_and_descriptors_return_to_where_they_were() -> None:
    check(8_000 if treadle.COMPILED else 4_000)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="reads Linux's /proc")
def test_a_hundred_thousand_connections_timers_and_tasks_leave_nothing_behind() -> None:
    check(200_000)
