"""The order of the runs: by round, in each round by workload, and for each workload by loop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import interpreter as interpreters
from bench.budget import Budget
from bench.effort import Size
from bench.interpreter import Interpreter
from bench.results import Results, Run
from bench.workloads import Workload


@dataclass(frozen=True)
class Step:
    """One run to be made; rounds count from 1."""

    round: int
    workload: Workload
    loop: str


def plan(number: int, workloads: Sequence[Workload], loops: Sequence[str]) -> list[Step]:
    """The steps of one round, in order.

    The loops of a workload run one after the other, so that they meet the same machine. Which one
    begins changes from round to round, so that none always follows the same neighbour.
    """
    return [
        Step(number, workload, loop)
        for workload in workloads
        for loop in _turned(workload.contestants(list(loops)), number - 1)
    ]


def _turned(names: list[str], by: int) -> list[str]:
    by = by % len(names) if names else 0
    return names[by:] + names[:by]


Announce = Callable[[Step, int], None]
"""Told the step, and how many there are going to be from this one on."""


def carry_out(
    interpreter: Interpreter, loops: list[str], budget: Budget, announce: Announce
) -> Results:
    """Make all the runs under one interpreter.

    A loop that is missing is passed over; a loop that failed at a workload is not asked again. Both
    stay in the results, with the reason.
    """
    results = Results(interpreter, list(budget.workloads), loops, [])
    begun = time.monotonic()
    for number in range(1, budget.rounds + 1):
        elapsed = time.monotonic() - begun
        steps = plan(number, budget.admit(number, elapsed), budget.loops)
        later = budget.expected(number, elapsed)[1]
        for i, step in enumerate(steps):
            announce(step, later - i)
            if results.obstacle(step.workload.name, step.loop) is None:
                results.runs.append(_made(interpreter, step, budget.size(step.workload)))
        budget.learn(results.runs)
    return results


def _made(interpreter: Interpreter, step: Step, size: Size) -> Run:
    start = time.monotonic()
    outcome = interpreters.run(interpreter, step.workload.name, step.loop, size)
    seconds = time.monotonic() - start
    return Run(step.round, step.workload.name, step.loop, outcome, seconds)
