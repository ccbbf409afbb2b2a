"""Making a loop and beginning to run it, when the kernel does not give what they need."""

from __future__ import annotations

import gc
import signal
import warnings

import pytest

import treadle
from tests.faults.kernel import Fault, Kernel, Selector
from tests.kit import FakeClock
from tests.net.wire import open_descriptors
from treadle._drivers.selector import SelectorDriver

WAYS = ["the driver's own selector", "a selector that was handed in"]


async def nothing() -> None:
    pass


def live(kernel: Kernel, way: str) -> None:
    """Make a loop, run it twice, close it; a run that fails is tried once more."""
    if way == WAYS[0]:
        loop = treadle.Loop(driver="selector")
    else:
        loop = treadle.Loop(driver=SelectorDriver(Selector(kernel, FakeClock())))
    try:
        for _ in range(2):
            coro = nothing()
            try:
                loop.run_until_complete(coro)
            except OSError:
                coro.close()  # the run did not come as far as to begin it
                loop.run_until_complete(nothing())
    finally:
        loop.close()


def survives(kernel: Kernel, way: str) -> bool:
    """Whether a loop can be made and run; what is raised otherwise is what we raised."""
    try:
        live(kernel, way)
    except OSError as exc:
        if exc not in kernel.raised:
            raise
        return False
    return True


def possible(way: str) -> list[Fault]:
    kernel = Kernel()
    with kernel.in_force():
        live(kernel, way)
    return kernel.faults()


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_cannot_be_made_or_begin_leaves_nothing_and_may_be_tried_again(way):
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    faults = possible(way)
    assert {"socketpair", "setblocking"} <= {fault.call for fault in faults}
    refused = 0
    for fault in faults:
        before = open_descriptors()
        kernel = Kernel((fault,))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with kernel.in_force():
                refused += not survives(kernel, way)
            kernel.raised.clear()  # their tracebacks hold everything
            gc.collect()
        assert not warned, (fault, [str(one.message) for one in warned])
        assert open_descriptors() == before, fault
        assert signal.set_wakeup_fd(wakeup) == wakeup, fault
        live(Kernel(), WAYS[0])
    assert refused
