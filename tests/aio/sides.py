"""Both sides of a comparison: asyncio's primitives and ours, on asyncio's loop and on ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

import treadle

NAMES = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore"]
NAMES += ["LifoQueue", "PriorityQueue", "Queue"]
STOCK = SimpleNamespace(**{name: getattr(asyncio, name) for name in NAMES})  # as they were imported
OURS = SimpleNamespace(**{name: getattr(treadle, name) for name in NAMES})
RUNS: list[Callable[[Coroutine[Any, Any, Any]], Any]] = [asyncio.run, treadle.run]

on_each_side = pytest.mark.parametrize(
    "side", [pytest.param(STOCK, id="asyncio"), pytest.param(OURS, id="treadle")]
)
on_each_loop = pytest.mark.parametrize("run", RUNS, ids=["asyncio.run", "treadle.run"])
BEFORE_3_13 = sys.version_info < (3, 13)


async def settle(turns: int = 5) -> None:
    """Let everything that is ready run, and what that makes ready."""
    for _ in range(turns):
        await asyncio.sleep(0)
