"""What the tests of timeouts, task groups and the functions on awaitables share."""

from __future__ import annotations

import asyncio
import sys

import pytest

import treadle

# asyncio's own only where it is what ours are to be: its newest
STOCK = [asyncio] if sys.version_info >= (3, 13) else []
each_lib = pytest.mark.parametrize(
    "lib", [treadle, *STOCK], ids=["treadle", "asyncio"][: 1 + len(STOCK)]
)


class Failure(Exception):
    """What a program raises on purpose."""


async def fail():
    raise Failure


async def forever(log=None):
    """Wait for nothing, and say how it ended."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        if log is not None:
            log.append("cancelled")
        raise


async def turns(count):
    """Let the loop make so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def past():
    """Return a deadline that has passed."""
    return asyncio.get_running_loop().time() - 1
