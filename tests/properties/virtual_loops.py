"""Loops in virtual time, which passes only when nothing is ready, and then at once."""

from __future__ import annotations

import asyncio
import math
import selectors

import treadle
from tests.kit import SECOND, FakeClock, JumpingDriver


class JumpingSelector(selectors.DefaultSelector):
    """Where it would wait for a while, the clock jumps to the end of it instead."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def select(self, timeout=None):
        assert timeout is not None, "nothing is scheduled: the loop would wait for ever"
        self.clock.ns += math.ceil(max(0, timeout) * SECOND)
        return super().select(0)


class OrderedTask(asyncio.Task):
    """A task that a small set keeps in the order of insertion.

    A `TaskGroup` cancels its tasks in the order of a set, which is that of their addresses.
    """

    __slots__ = ()

    def __hash__(self):
        return 0


def ordered(loop):
    """Have a loop make `OrderedTask`s."""
    loop.set_task_factory(lambda loop, coro, **more: OrderedTask(coro, loop=loop, **more))
    return loop


class VirtualAsyncio(asyncio.SelectorEventLoop):
    """asyncio's loop in virtual time."""

    def __init__(self):
        self.clock = FakeClock()
        super().__init__(JumpingSelector(self.clock))

    def time(self):
        return self.clock.ns / SECOND


def virtual_treadle():
    """Make treadle's loop in virtual time."""
    clock = FakeClock()
    return treadle.Loop(driver=JumpingDriver(clock), clock=clock)
