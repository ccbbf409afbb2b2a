"""Coroutine functions whose calls end when the test says so."""

from __future__ import annotations

import asyncio

REASON = ValueError("the reason")


async def turns(number=5):
    for _ in range(number):
        await asyncio.sleep(0)


async def double(number):
    for _ in range(number % 3):
        await asyncio.sleep(0)
    return 2 * number


class Work:
    """A function to map: the test says when which call ends, and sees what runs."""

    def __init__(self):
        self.gates = {}
        self.cancelled = []
        self.most = 0

    async def __call__(self, item):
        gate = self.gates[item] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.gates))
        try:
            return await gate
        except asyncio.CancelledError:
            await turns(3)  # cleaning up takes its time
            self.cancelled.append(item)
            raise
        finally:
            del self.gates[item]

    @property
    def running(self):
        return sorted(self.gates)

    def end(self, item):
        self.gates[item].set_result(f"result {item}")

    def fail(self, item, error=REASON):
        self.gates[item].set_exception(error)
