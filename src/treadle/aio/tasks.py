"""Tasks: the functions of asyncio that put awaitables together, each in a module of its own."""

from __future__ import annotations

from treadle.aio.completion import as_completed
from treadle.aio.gathering import gather
from treadle.aio.shielding import shield
from treadle.aio.sleeping import sleep
from treadle.aio.waiting import wait, wait_for

__all__ = ["as_completed", "gather", "shield", "sleep", "wait", "wait_for"]
