"""The order of the runs: by round, in each round by workload, and for each workload by loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import interpreter as interpreters
from bench.interpreter import Interpreter
from bench.results import Results, Run
from bench.workloads import Workload


@dataclass(frozen=True)
class Step:
    """One run to be made; rounds count from 1."""

    round: int
    workload: Workload
    loop: str


def plan(workloads: list[Workload], loops: list[str], rounds: int) -> list[Step]:
    """All steps in order.

    The loops of a workload run one after the other, so that they meet the same machine. Which one
    begins changes from round to round, so that none always follows the same neighbour.
    """
    return [
        Step(number, workload, loop)
        for number in range(1, rounds + 1)
        for workload in workloads
        for loop in _turned(workload.contestants(loops), number - 1)
    ]


def _turned(names: list[str], by: int) -> list[str]:
    by = by % len(names) if names else 0
    return names[by:] + names[:by]


def carry_out(
    interpreter: Interpreter,
    workloads: list[Workload],
    loops: list[str],
    rounds: int,
    quick: bool,
    announce: Callable[[Step], None],
) -> Results:
    """Make all the runs under one interpreter.

    A loop that is missing is passed over; a loop that failed at a workload is not asked again. Both
    stay in the results, with the reason.
    """
    results = Results(interpreter, workloads, loops, [])
    for step in plan(workloads, loops, rounds):
        announce(step)
        name = step.workload.name
        if results.obstacle(name, step.loop) is not None:
            continue
        start = time.monotonic()
        outcome = interpreters.run(interpreter, name, step.loop, quick)
        seconds = time.monotonic() - start
        results.runs.append(Run(step.round, name, step.loop, outcome, seconds))
    return results
