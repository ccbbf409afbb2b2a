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
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import treadle
from tests.faults.judge import Judge, judged
from tests.faults.kernel import CALLS, Fault, Kernel, Selector, Stuck
from tests.faults.programs import PROGRAMS
from tests.faults.world import EchoEnd, World
from tests.kit import FakeClock
from treadle._drivers.selector import SelectorDriver

FIRST = 5  # calls of a kind of which every fault is tried by default
SAMPLE = 100  # of the other faults of a program
SEEDS = 25  # of runs with many faults


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
    assert met >= len(faults) * 0.8, "most of the faults were to be met"


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


def test_every_call_that_can_fail_is_made() -> None:
    made = {"selector"}  # when the loop is made: see test_beginnings.py
    for name in PROGRAMS:
        kernel = Kernel()
        judged(name, kernel, "no fault")
        made |= kernel.counts.keys()
    assert set(CALLS) - made == set()


# does the judge see what is wrong? -----------------------------------------------------------


def judged_program(program: Callable[[World], Any]) -> list[str]:
    judge = Judge(program)
    clock = FakeClock()
    driver = SelectorDriver(Selector(Kernel(), clock))
    judge.run(lambda: treadle.Loop(driver=driver, clock=clock))
    return judge.wrong


def test_a_program_that_waits_for_ever_is_stuck() -> None:
    async def waits(world: World) -> None:
        await world.loop.create_future()

    with pytest.raises(Stuck, match="no timer"):
        judged_program(waits)


def test_a_program_that_turns_without_end_is_stuck() -> None:
    async def turns(world: World) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")
            world.loop.add_reader(ours, int)
            await world.loop.create_future()

    with pytest.raises(Stuck, match="times"):
        judged_program(turns)


def test_what_a_program_leaves_is_seen() -> None:
    left: list[Any] = []

    async def leaves(world: World) -> None:
        left.append(socket.socket())
        left.append(world.loop.create_task(asyncio.sleep(1)))
        socket.socket()
        EchoEnd(world).connection_made(None)

    wrong = judged_program(leaves)
    left[0].close()
    task = left.pop()
    task.get_coro().close()
    assert [text.partition(":")[0] for text in wrong if "EchoEnd" not in text] == [
        "still running",
        "warning",
        "left open",
    ]
    assert any("made 1 times, lost 0 times" in text for text in wrong)


def test_a_byte_that_was_not_sent_is_seen() -> None:
    async def receives(world: World) -> None:
        token = world.new_token()
        world.sent[token] += b"abc"
        world.check_at_client(token, b"ab")
        world.check_at_client(token, b"abd")
        world.check_at_server(b"abcd")

    assert len(judged_program(receives)) == 2
