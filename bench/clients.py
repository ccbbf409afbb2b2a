"""Clients that people run, with their CPU time per operation: Redis, PostgreSQL, and a crawler.

Here it is the client that runs on the loop, so that it is this process which is measured; what it
talks to has the other core. Each program says what is to be done over and over by so many tasks at
a time; the crawler instead has one job, which is done when it has seen every page.

They take everything from the libraries that they are made of and from asyncio; what a loop puts in
asyncio's place (`bench.loops.settle`) is put there before a library is imported.
"""

import asyncio
import json
import os
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench import allocator, child, cores, served, services
from bench.effort import Effort
from bench.loops import CannotError, new_loop, settle
from bench.outcome import Outcome

HOST = "127.0.0.1"
CONNECTIONS = 10
PIPELINE = 100
"""Commands that are sent together."""
ROWS = 1000
CRAWLERS = 100
"""Pages asked for at the same time."""
MOST_DELAY_SECONDS = 0.02
"""A page takes between nothing and this long."""
SEED = 20
PATIENCE_SECONDS = 30.0
"""Longer than any page takes, however busy the machine is."""

_LINK = re.compile(r'href="(/\d+)"')

Operation = Callable[[], Awaitable[None]]


@dataclass
class Tally:
    """What was done between two moments."""

    latencies: list[float] = field(default_factory=list)
    """Seconds that each operation took."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of this process, all of its threads."""
    disturbance: float = 0.0
    """The share of the time in which another process had the core."""

    @contextmanager
    def counting(self) -> Any:
        start, cpu, waited = time.perf_counter(), time.process_time(), served.waited(os.getpid())
        yield
        self.seconds, self.cpu = time.perf_counter() - start, time.process_time() - cpu
        self.disturbance = (served.waited(os.getpid()) - waited) / self.seconds

    @contextmanager
    def one(self) -> Any:
        start = time.perf_counter()
        yield
        self.latencies.append(time.perf_counter() - start)

    def outcome(self, per_operation: int) -> Outcome:
        """Microseconds of CPU per part of an operation, and what is shown beside it."""
        parts = len(self.latencies) * per_operation
        percentiles = statistics.quantiles(self.latencies, n=100)
        return Outcome(
            figure=self.cpu * 1e6 / parts,
            detail={
                "messages": parts,
                "seconds": self.seconds,
                "cpu_ns": int(self.cpu * 1e9),
                "per_second": parts / self.seconds,
                "p50_us": percentiles[49] * 1e6,
                "p90_us": percentiles[89] * 1e6,
                "p99_us": percentiles[98] * 1e6,
                "disturbance": self.disturbance,
            },
        )


async def _repeat(operations: list[Operation], seconds: float) -> Tally:
    """Each operation over and over, all of them concurrently, until the time is up."""
    tally = Tally()
    end = time.perf_counter() + seconds

    async def keep_on(operation: Operation) -> None:
        while time.perf_counter() < end:
            with tally.one():
                await operation()

    with tally.counting():
        await asyncio.gather(*map(keep_on, operations))
    return tally


@asynccontextmanager
async def _redis(port: int) -> AsyncIterator[list[Operation]]:
    """Each client has a connection of its own; half of the commands set, half get."""
    from redis.asyncio import Redis

    clients = [Redis(host=HOST, port=port) for _ in range(CONNECTIONS)]

    def user(number: int, client: Any) -> Operation:
        keys = [f"key:{number}:{i}" for i in range(PIPELINE // 2)]
        expected = [True for _ in keys] + [key.encode() for key in keys]

        async def operation() -> None:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.set(key, key)
            for key in keys:
                pipeline.get(key)
            if await pipeline.execute() != expected:
                raise RuntimeError("redis answered something else than was stored")

        return operation

    try:
        yield [user(number, client) for number, client in enumerate(clients)]
    finally:
        for client in clients:
            await client.aclose()


@asynccontextmanager
async def _postgres(port: int) -> AsyncIterator[list[Operation]]:
    """Each client has a connection of its own and selects a row by its key."""
    import asyncpg

    clients = [
        await asyncpg.connect(host=HOST, port=port, user="postgres", database="postgres", ssl=False)
        for _ in range(CONNECTIONS)
    ]
    await clients[0].execute(
        "CREATE TABLE item (id int PRIMARY KEY, name text, price float8);"
        f"INSERT INTO item SELECT i, 'item ' || i, i / 4.0 FROM generate_series(0, {ROWS - 1}) i"
    )

    def user(number: int, client: Any) -> Operation:
        wanted = number

        async def operation() -> None:
            nonlocal wanted
            wanted = (wanted + CONNECTIONS) % ROWS
            row = await client.fetchrow("SELECT id, name, price FROM item WHERE id = $1", wanted)
            if row["name"] != f"item {wanted}":
                raise RuntimeError("another row came than was asked for")

        return operation

    try:
        yield [user(number, client) for number, client in enumerate(clients)]
    finally:
        for client in clients:
            await client.close()


async def crawl(root: str, pages: int) -> Tally:
    """Fetch every page that can be reached, each once, so many at a time."""
    import aiohttp

    tally = Tally()
    line: asyncio.Queue[str] = asyncio.Queue()
    seen = {"/0"}
    line.put_nowait("/0")

    async def work(session: aiohttp.ClientSession) -> None:
        while True:
            path = await line.get()
            with tally.one():
                async with asyncio.timeout(PATIENCE_SECONDS), session.get(root + path) as response:
                    text = await response.text()
            for link in _LINK.findall(text):
                if link not in seen:
                    seen.add(link)
                    line.put_nowait(link)
            line.task_done()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        with tally.counting():
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work(session)) for _ in range(CRAWLERS)]
                await line.join()
                for worker in workers:
                    worker.cancel()
    if len(tally.latencies) != pages:
        raise RuntimeError(f"{len(tally.latencies)} pages were found of {pages}")
    return tally


Opener = Callable[[int], AbstractAsyncContextManager[list[Operation]]]


def _talk(service: Any, opener: Opener, per_operation: int, loop: str, effort: Effort) -> Outcome:
    own_core, service_core = cores.split() or (None, None)

    async def main(port: int) -> Tally:
        async with opener(port) as operations:
            await _repeat(operations, effort.warmup_seconds)
            return await _repeat(operations, effort.echo_seconds)

    with service(service_core) as port:
        return _on(loop, own_core, lambda: main(port)).outcome(per_operation)


def _crawl(loop: str, effort: Effort) -> Outcome:
    own_core, site_core = cores.split() or (None, None)
    site = {"pages": effort.pages, "most_seconds": MOST_DELAY_SECONDS, "seed": SEED}
    with child.server("website", "asyncio", site_core, json.dumps(site)) as server:
        root = f"http://{HOST}:{server.addresses[0]}"
        return _on(loop, own_core, lambda: crawl(root, effort.pages)).outcome(1)


def _on(name: str, core: int | None, main: Callable[[], Awaitable[Tally]]) -> Tally:
    """Run a program to its end, on the core that is measured."""
    with cores.on(core):
        loop = new_loop(name)
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(main())
        except ModuleNotFoundError as error:
            raise CannotError(f"no package {error.name}") from error
        finally:
            loop.close()


CLIENTS: dict[str, Callable[[str, Effort], Outcome]] = {
    "redis_pipeline": lambda loop, effort: _talk(services.redis, _redis, PIPELINE, loop, effort),
    "asyncpg_select": lambda loop, effort: _talk(services.postgres, _postgres, 1, loop, effort),
    "crawler": _crawl,
}


def run(name: str, loop: str, effort: Effort) -> Outcome:
    """Microseconds of the client's CPU per operation."""
    allocator.warm()
    settle(loop)
    return CLIENTS[name](loop, effort)
