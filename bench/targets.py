"""What treadle promises, and whether a run shows that it keeps it."""

import re
from dataclasses import dataclass

from bench.loops import BASELINE, SUBJECT
from bench.results import Results
from bench.workloads import Workload, find

PYTHON = "3.13"
"""The Python under which the targets are set."""

BASELINE_VERSION = (0, 23)
"""The oldest uvloop to which they are set."""


@dataclass(frozen=True)
class Target:
    """A promise: the subject's figure, or its ratio to the baseline, is at most `limit`."""

    limit: float
    relative: bool = True

    def text(self, unit: str) -> str:
        """The promise in words; `unit` is the figure's."""
        return f"at most {self.limit:g} " + (f"of {BASELINE}" if self.relative else unit)


TARGETS = {
    "call_soon": Target(0.20),
    "sleep0": Target(0.40),
    "future": Target(0.40),
    "timer": Target(0.333),
    "due_100": Target(0.50),
    "echo_1k_100": Target(0.95),
    "echo_sockets_1k_100": Target(0.50),
    "idle_connection": Target(0.9, relative=False),
    "import": Target(10.0, relative=False),
}


@dataclass(frozen=True)
class Verdict:
    """How a run compares with a target."""

    workload: Workload
    target: Target
    figure: float | None
    """The median that was compared; None when there is none."""
    met: bool
    remark: str = ""
    """What else is to be known about it."""

    @property
    def word(self) -> str:
        if self.figure is None:
            return "not measured"
        return "met" if self.met else "not met"

    @property
    def text(self) -> str:
        """The verdict in words."""
        unit = self.workload.unit
        what = f"{self.workload.name}: {self.target.text(unit)}"
        if self.figure is None:
            return f"{what}, but not measured ({self.remark})"
        shown = f"{self.figure:.3g}" + ("" if self.target.relative else f" {unit}")
        return f"{what}, measured {shown}" + (f" ({self.remark})" if self.remark else "")


def judge(results: Results, workload: str) -> Verdict | None:
    """The verdict on one workload; None when it has no target.

    The median is compared. When the rounds' ratios are unsteady their median shows nothing, and the
    target is met only if every round meets it.
    """
    target = TARGETS.get(workload)
    found = find(workload)
    if target is None or found is None:
        return None
    measured = (
        results.ratio(found, SUBJECT) if target.relative else results.spread(workload, SUBJECT)
    )
    obstacle = results.obstacle(workload, SUBJECT)
    if obstacle is not None:
        return Verdict(found, target, None, met=False, remark=f"{SUBJECT}: {obstacle}")
    if measured is None:
        reason = results.obstacle(workload, BASELINE) or "not in this run"
        return Verdict(found, target, None, met=False, remark=f"{BASELINE}: {reason}")
    if target.relative and not measured.steady:
        remark = f"unsteady {measured.low:.3g}..{measured.high:.3g}"
        return Verdict(found, target, measured.median, measured.high <= target.limit, remark)
    return Verdict(found, target, measured.median, measured.median <= target.limit)


def judged(results: Results) -> list[Verdict]:
    """The verdicts on all workloads of a run that have a target."""
    verdicts = (judge(results, workload.name) for workload in results.workloads)
    return [verdict for verdict in verdicts if verdict is not None]


def objection(results: Results) -> str | None:
    """Why the targets do not apply under this interpreter; None when they do."""
    version = results.interpreter.version
    if not version.startswith(f"{PYTHON}."):
        return f"the targets are set for Python {PYTHON}, this is {version}"
    baseline = results.interpreter.versions.get(BASELINE)
    if baseline is not None and _numbers(baseline) < BASELINE_VERSION:
        wanted = ".".join(map(str, BASELINE_VERSION))
        return f"the targets are set against {BASELINE} {wanted}, this is {baseline}"
    return None


def missed(everything: list[Results]) -> list[str]:
    """One line for each reason why this run does not show that the targets are met."""
    objections = [objection(results) for results in everything]
    if all(objections):
        return [line for line in objections if line]
    return [
        f"Python {results.interpreter.version}: {verdict.text}"
        for results, against in zip(everything, objections, strict=True)
        if against is None
        for verdict in judged(results)
        if not verdict.met
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
