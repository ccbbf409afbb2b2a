"""A worker: `python -m jobs.worker` in the folder `examples`.

SIGTERM and Ctrl-C let it finish what it has begun. If that takes too long, kill it: what it has not
acknowledged, another worker does.

taskiq has a command of its own, `taskiq worker`, which makes its own loop, and uvloop's when that
is installed. This is the same receiver in a program of ours, whose loop is treadle's.
"""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from taskiq.exceptions import SendTaskError
from taskiq.receiver import Receiver

import treadle
from jobs.tasks import PATIENCE, broker, create_hub, nudge


async def work(stop: asyncio.Event) -> None:
    """Do jobs, one at a time, until told to stop."""
    broker.is_worker_process = True
    async with create_hub() as hub:
        broker.state.hub = hub
        await broker.startup()
        nudging = asyncio.create_task(keep_nudging())
        try:
            with ThreadPoolExecutor() as threads:  # for jobs that are plain functions
                receiver = Receiver(broker, threads, max_async_tasks=1, run_startup=False)
                await receiver.listen(stop)
        finally:
            nudging.cancel()
            await asyncio.wait([nudging])
            await broker.shutdown()


async def keep_nudging() -> None:
    """See that jobs of dead workers are looked for when nothing is ordered."""
    while True:
        await asyncio.sleep(PATIENCE / 2)
        with suppress(SendTaskError):  # Redis is away; the next time, then
            await nudge.kiq()


async def run() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    print(f"working on {type(loop).__module__}.{type(loop).__name__}", flush=True)
    await work(stop)


def main() -> None:
    treadle.run(run())


if __name__ == "__main__":
    main()
