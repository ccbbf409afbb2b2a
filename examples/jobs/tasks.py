"""The jobs. What they take and give is JSON."""

from __future__ import annotations

import asyncio

from jobs.broker import broker


@broker.task
def count_primes(below: int) -> int:
    """Work for a processor: not a coroutine, so the worker hands it to a process of its pool."""
    sieve = bytearray([1]) * below
    sieve[:2] = bytes(min(2, below))
    for number in range(2, int(below**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, below, number)))
    return sum(sieve)


@broker.task
async def answer_later(question: str, seconds: float) -> str:
    """Work that waits: a coroutine, on the worker's own loop; a hundred of them at once are few."""
    await asyncio.sleep(seconds)
    return question.upper()
