"""The end that does the work: `python -m jobs.worker`.

One process takes jobs from the queue on treadle's loop, and has a pool of others for what needs a
processor. Start as many as you like, on as many machines.
"""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ProcessPoolExecutor

from taskiq.receiver import Receiver

import jobs.tasks  # noqa: F401  (so that the broker knows them)
import treadle
from jobs.broker import URL, broker

AT_ONCE = 100  # jobs that are coroutines


async def main() -> None:
    """Work until SIGTERM, and finish what was begun; or until cancelled."""
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    broker.is_worker_process = True
    await broker.startup()
    try:
        with ProcessPoolExecutor() as pool:
            receiver = Receiver(broker, pool, max_async_tasks=AT_ONCE, run_startup=False)
            print(f"Waiting for jobs at {URL}", flush=True)
            await receiver.listen(told_to_end)
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    try:
        treadle.run(main())
    except KeyboardInterrupt:
        pass
