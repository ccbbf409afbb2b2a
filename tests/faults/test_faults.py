"""Whatever system call of the plain driver fails: no hang, no leak, no wrong byte.

Each program of `programs.py` is run once to count its calls, then once for each fault that is
possible in one of them. That is thousands of runs; the default is a part of them: all faults of the
first calls of each kind, and a sample of the others. `make test-slow` makes all of them, and more
runs with many faults at random. A failure names the program and the fault, or the seed.
"""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import treadle
from tests.faults.kernel import CALLS, Fault, Kernel, Selector
from tests.faults.programs import PROGRAMS
from tests.faults.world import World
from tests.kit import FakeClock
from tests.net.wire import open_descriptors
from treadle._drivers.selector import SelectorDriver

FIRST = 3  # calls of a kind of which every fault is tried by default
SAMPLE = 60  # of the other faults of a program
SEEDS = 15  # of runs with many faults

pytestmark = pytest.mark.filterwarnings("error")


class Judgement:
    """Runs programs under faults and says what is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, kernel: Kernel) -> list[str]:
        """Everything that must not be, in one run."""
        before = open_descriptors()
        wrong: list[str] = []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            wrong += self._live(kernel, set(before))
            gc.collect()
        wrong += [f"warning: {one.message}" for one in warned]
        left = {fd: what for fd, what in open_descriptors().items() if fd not in before}
        wrong += [f"left open: {left}"] if left else []
        return wrong

    def _live(self, kernel: Kernel, before: set[int]) -> list[str]:
        clock = FakeClock()
        reports: list[dict[str, Any]] = []
        loop: Any = treadle.Loop(driver=SelectorDriver(Selector(kernel, clock)), clock=clock)
        loop.run_until_complete(asyncio.sleep(0))  # opens what is opened by the first run
        kernel.spared = frozenset(open_descriptors().keys() - before)
        loop.set_exception_handler(lambda _, context: reports.append(context))
        world = World(loop)
        try:
            with kernel.in_force():
                loop.run_until_complete(PROGRAMS[self.name](world))
                loop.run_until_complete(asyncio.sleep(0))
            pending = asyncio.all_tasks(loop)
        finally:
            loop.close()
        wrong = [*world.wrong, *(f"still running: {task!r}" for task in pending)]
        wrong += [f"{end!r}: made {end.made}, lost {end.lost}" for end in unbalanced(world)]
        wrong += [f"reported: {context}" for context in reports if not expected(context, kernel)]
        harmless = all(fault.harmless for fault in kernel.struck)
        if harmless and world.finished < max(world.clients, 1):
            wrong.append(f"{world.finished} of {world.clients} clients finished; {world.errors}")
        return wrong


def unbalanced(world: World) -> list[Any]:
    return [end for end in world.ends if (end.made, end.lost) != (1, 1)]


def expected(context: dict[str, Any], kernel: Kernel) -> bool:
    """Whether a report is about a fault of ours that has no caller to be raised to."""
    return context["message"] in (
        "socket.accept() out of system resource",
    ) and any(context["exception"] is exc for exc in kernel.raised)


def judged(name: str, kernel: Kernel, what: str) -> None:
    """Run; fail with the whole story."""
    try:
        wrong = Judgement(name).run(kernel)
    except BaseException as exc:
        exc.add_note(f"program {name}, {what}; struck: {', '.join(map(str, kernel.struck))}")
        raise
    assert not wrong, f"program {name}, {what}; struck: {', '.join(map(str, kernel.struck))}"


def possible(name: str) -> list[Fault]:
    """Every single fault that a program can meet."""
    kernel = Kernel()
    judged(name, kernel, "no fault")
    return kernel.faults()


@pytest.fixture(autouse=True)
def little_garbage() -> Iterator[None]:
    """Collections look at what a run has made, not at everything that the tests hold."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def single_faults(name: str, choose: Callable[[list[Fault]], list[Fault]]) -> None:
    met = 0
    faults = choose(possible(name))
    for fault in faults:
        kernel = Kernel((fault,))
        judged(name, kernel, str(fault))
        met += len(kernel.struck)
    assert met > len(faults) * 0.8, "most of the faults were to be met"


def test_one_fault_at_the_first_calls_of_each_kind(program: str) -> None:
    single_faults(program, lambda faults: [fault for fault in faults if fault.nth <= FIRST])


def test_one_fault_anywhere(program: str) -> None:
    dice = random.Random(program)

    def choose(faults: list[Fault]) -> list[Fault]:
        others = [fault for fault in faults if fault.nth > FIRST]
        return dice.sample(others, min(SAMPLE, len(others)))

    single_faults(program, choose)


def many_faults(name: str, seed: int) -> None:
    judged(name, Kernel(dice=random.Random(seed), rate=0.05), f"seed {seed}")


def many_harmless_faults(name: str, seed: int) -> None:
    kernel = Kernel(dice=random.Random(seed), rate=0.3, harmless_only=True)
    judged(name, kernel, f"harmless faults only, seed {seed}")


def test_many_faults(program: str) -> None:
    for seed in range(SEEDS):
        many_faults(program, seed)


def test_many_harmless_faults_lose_nothing(program: str) -> None:
    for seed in range(SEEDS // 3):
        many_harmless_faults(program, seed)


@pytest.mark.slow
def test_every_single_fault(program: str) -> None:
    single_faults(program, lambda faults: faults)


@pytest.mark.slow
def test_many_faults_with_many_seeds(program: str) -> None:
    first = random.randrange(2**32)
    for seed in range(first, first + 500):
        many_faults(program, seed)
        many_harmless_faults(program, seed)


def test_the_programs_make_every_kind_of_call() -> None:
    made: set[str] = set()
    for name in PROGRAMS:
        kernel = Kernel()
        judged(name, kernel, "no fault")
        made |= {call for call, count in kernel.counts.items() if count}
    assert set(CALLS) - made == set()
