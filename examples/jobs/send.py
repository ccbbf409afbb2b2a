"""The end that wants work done: `python -m jobs.send NUMBER...`.

In a web application, `broker.startup()` and `broker.shutdown()` belong to the lifespan, and `kiq`
to a handler, which answers with the job's id and does not wait.
"""

from __future__ import annotations

import sys

import treadle
from jobs.broker import broker
from jobs.tasks import count_primes

PATIENCE = 60.0  # seconds for all results


async def main(numbers: list[int]) -> None:
    """Send one job for each number, all at once, and print the results."""
    await broker.startup()
    try:
        sent = [await count_primes.kiq(number) for number in numbers]
        results = await treadle.gather(*(job.wait_result(timeout=PATIENCE) for job in sent))
        for number, result in zip(numbers, results, strict=True):
            result.raise_for_error()
            print(f"{result.return_value} primes below {number}")
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    treadle.run(main([int(argument) for argument in sys.argv[1:]]))
