"""What one interpreter's runs gave, and the statistics of it."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from bench.interpreter import Interpreter
from bench.loops import BASELINE
from bench.outcome import Outcome
from bench.workloads import Workload

STEADY = 0.35
"""Rounds whose ratios lie further apart than this part of their median tell no single ratio."""


@dataclass(frozen=True)
class Run:
    """One worker's run."""

    round: int
    workload: str
    loop: str
    outcome: Outcome
    seconds: float
    """How long the worker took, all included."""


@dataclass(frozen=True)
class Spread:
    """Some figures' middle and extremes."""

    median: float
    low: float
    high: float

    @property
    def steady(self) -> bool:
        return self.high - self.low <= STEADY * abs(self.median)


def spread(figures: list[float]) -> Spread | None:
    """None when there are no figures."""
    if not figures:
        return None
    return Spread(statistics.median(figures), min(figures), max(figures))


def ratio(own: Mapping[int, float], base: Mapping[int, float]) -> Spread | None:
    """How one loop's figures relate to another's, each round's to the same round's.

    Within a round the two were measured close together: what slows the whole machine for a while
    slows both, and does not show in the ratio.
    """
    return spread([own[r] / base[r] for r in own if base.get(r, 0) > 0])


@dataclass(frozen=True)
class Results:
    """All runs under one interpreter."""

    interpreter: Interpreter
    workloads: list[Workload]
    loops: list[str]
    runs: list[Run]

    def of(self, workload: str, loop: str) -> list[Run]:
        return [run for run in self.runs if run.workload == workload and run.loop == loop]

    def figures(self, workload: str, loop: str) -> dict[int, float]:
        """Round -> figure."""
        return {
            run.round: run.outcome.figure
            for run in self.of(workload, loop)
            if run.outcome.figure is not None
        }

    def spread(self, workload: str, loop: str) -> Spread | None:
        return spread(list(self.figures(workload, loop).values()))

    def ratio(self, workload: Workload, loop: str, to: str = BASELINE) -> Spread | None:
        """The ratio to another loop; None when either figure is missing or it means nothing."""
        if not workload.relative:
            return None
        return ratio(self.figures(workload.name, loop), self.figures(workload.name, to))

    def obstacle(self, workload: str, loop: str) -> str | None:
        """Why a figure is missing; None when none is."""
        missing = self.interpreter.obstacles.get(loop)
        if missing is not None:
            return missing
        for run in self.of(workload, loop):
            if run.outcome.cannot is not None:
                return f"cannot: {run.outcome.cannot}"
            if run.outcome.error is not None:
                return f"failed: {run.outcome.error}"
        return None
