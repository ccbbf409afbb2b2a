"""The end that does the work: `python -m jobs.worker`.

One process takes jobs from the queue on treadle's loop, and has a pool of others for what needs a
processor. Start as many as you like, on as many machines.
"""

from __future__ import annotations

import asyncio
import os
import signal

from taskiq.api import run_receiver_task

import jobs.tasks  # noqa: F401  (so that the broker knows them)
import treadle
from jobs.broker import URL, broker

PATIENCE = 1.0  # seconds for a cancellation to arrive


async def main() -> None:
    """Work until SIGTERM. A job that is not done by then goes to another worker."""
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    await broker.startup()
    working = asyncio.create_task(
        run_receiver_task(
            broker, sync_workers=os.cpu_count(), use_process_pool=True, max_async_tasks=100
        )
    )
    print(f"Waiting for jobs at {URL}", flush=True)
    try:
        await told_to_end.wait()
    finally:
        # the receiver begins anew after any failure, and takes a cancellation for one when a
        # library on the way has turned it into something else: it is told until it is gone
        while not working.done():
            working.cancel()
            await asyncio.wait({working}, timeout=PATIENCE)
        await broker.shutdown()


if __name__ == "__main__":
    try:
        treadle.run(main())
    except KeyboardInterrupt:
        pass
