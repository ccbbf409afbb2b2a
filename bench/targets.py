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
    """A promise: the subject's figure, or its ratio to another loop's, is at most `limit`."""

    limit: float
    to: str | None = BASELINE
    """The loop whose figure is divided by; None when the figure itself is limited."""

    def text(self, unit: str) -> str:
        """The promise in words; `unit` is the figure's."""
        return f"at most {self.limit:g} " + (unit if self.to is None else f"of {self.to}")

    def limit_text(self, unit: str) -> str:
        """The limit alone; the baseline goes without saying."""
        if self.to is None:
            return f"{self.limit:g} {unit}"
        return f"{self.limit:g}" + ("" if self.to == BASELINE else f" of {self.to}")


TARGETS = {
    "call_soon": Target(0.20),
    "sleep0": Target(0.40),
    "future": Target(0.40),
    "timer": Target(0.333),
    "due_100": Target(0.50),
    "readline": Target(0.333),
    "readexactly": Target(0.333),
    "queue": Target(0.333),
    "lock": Target(0.333),
    "semaphore": Target(0.333),
    "lock_contended": Target(0.50),
    "event": Target(0.50),
    "timeout": Target(0.40),
    "task_group": Target(0.588),
    "gather": Target(0.588),
    "echo_1k_100": Target(0.95),
    "echo_100k_8": Target(0.85),
    "echo_sock_1k_100": Target(0.50),
    "echo_streams_1k_100": Target(0.65),
    "echo_readexactly_1k_100": Target(0.60),
    "echo_tls_1k_8": Target(0.90),
    "echo_tls_100k_8": Target(0.85),
    "echo_udp_512_8": Target(0.90),
    "idle_connection": Target(0.9, to=None),
    "idle_stream": Target(2.5, to=None),
    "idle_tls": Target(30.0, to=None),
    "spawn_true": Target(1.0, to="asyncio"),
    "import": Target(10.0, to=None),
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
        shown = f"{self.figure:.3g}" + (f" {unit}" if self.target.to is None else "")
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
        results.spread(workload, SUBJECT)
        if target.to is None
        else results.ratio(found, SUBJECT, target.to)
    )
    obstacle = results.obstacle(workload, SUBJECT)
    if obstacle is not None:
        return Verdict(found, target, None, met=False, remark=f"{SUBJECT}: {obstacle}")
    if measured is None:
        peer = target.to or SUBJECT
        reason = results.obstacle(workload, peer) or "not in this run"
        return Verdict(found, target, None, met=False, remark=f"{peer}: {reason}")
    if target.to is not None and not measured.steady:
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
