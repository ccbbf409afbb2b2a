"""Timing a micro program: calibrate, warm up, repeat, report the best.

The best of a few runs is reported because everything that disturbs a run inside one process (an
interrupt, a neighbour, a cold cache) makes it slower, never faster. What differs between processes
(memory layout, hash seed) is left to the rounds. The garbage collector stays on: its work is part
of what a loop's allocations cost.
"""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

Program = Callable[[asyncio.AbstractEventLoop, int], float]
"""Runs n batches on the loop; returns the seconds that count, which may be fewer than elapsed."""


@dataclass(frozen=True)
class Micro:
    """A micro workload."""

    program: Program
    what: str
    operations: int = 1
    """Operations in one batch."""


@dataclass(frozen=True)
class Timing:
    """Nanoseconds per operation, and how they were found."""

    best: float
    all: list[float]
    operations: int
    """Operations in each of the runs."""


def measure(micro: Micro, loop: asyncio.AbstractEventLoop, seconds: float, repeats: int) -> Timing:
    """Time a micro workload in runs of about `seconds` each."""
    batches = _calibrate(micro.program, loop, seconds)
    operations = batches * micro.operations
    figures = []
    for _ in range(repeats):
        gc.collect()
        figures.append(micro.program(loop, batches) * 1e9 / operations)
    return Timing(best=min(figures), all=figures, operations=operations)


def _calibrate(program: Program, loop: asyncio.AbstractEventLoop, seconds: float) -> int:
    """The number of batches that lasts `seconds`; the last trial is the warm-up.

    The trial is timed from outside: a program that spends most of its time on what does not count
    must not run for minutes to make up for it.
    """
    batches = 1
    while True:
        start = perf_counter()
        program(loop, batches)
        elapsed = perf_counter() - start
        if elapsed >= seconds:
            return batches
        growth = 1.2 * seconds / elapsed if elapsed > 0 else 10.0
        batches = max(batches + 1, int(batches * min(growth, 10.0)))
