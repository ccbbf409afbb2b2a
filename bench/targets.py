"""What treadle promises, and whether a run shows that it keeps it."""

import re
from dataclasses import dataclass

from bench.loops import BASELINE, LIMIT, PATCH, SUBJECT
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
    "call_soon": Target(0.18),
    "sleep0": Target(0.38),
    "future": Target(0.38),
    "timer": Target(0.33),
    "due_100": Target(0.50),
    "due_1000": Target(0.33),
    "spawn": Target(0.55),
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
    "echo_1k_100": Target(0.88),
    "echo_100k_8": Target(0.78),
    "echo_sock_1k_100": Target(0.40),
    "echo_streams_1k_100": Target(0.60),
    "echo_readexactly_1k_100": Target(0.55),
    "echo_active_1k_10000": Target(0.85),
    "echo_tls_1k_8": Target(0.75),
    "echo_tls_100k_8": Target(0.70),
    "echo_udp_512_8": Target(0.90),
    "tls_handshakes": Target(1.0),
    "idle_connection": Target(0.6, to=None),
    "idle_stream": Target(2.0, to=None),
    "idle_tls": Target(20.0, to=None),
    "spawn_true": Target(1.0, to="asyncio"),
    "import": Target(10.0, to=None),
    "uvicorn_hello": Target(0.85),
    "websockets_broadcast": Target(0.85),
}

FURTHER = {
    "echo_1k_100": Target(1.10, to=LIMIT),
    "echo_tls_1k_8": Target(1.0, to=PATCH),
    "echo_tls_100k_8": Target(1.0, to=PATCH),
}
"""A second promise for the same workload, by another peer."""


def promised(workload: str) -> list[Target]:
    """All that is promised for a workload."""
    return [found[workload] for found in (TARGETS, FURTHER) if workload in found]


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


def judge(results: Results, workload: str) -> list[Verdict]:
    """The verdicts on one workload, one for each of its targets."""
    found = find(workload)
    if found is None:
        return []
    return [_verdict(results, found, target) for target in promised(workload)]


def _verdict(results: Results, workload: Workload, target: Target) -> Verdict:
    """The median is compared. When the rounds' ratios are unsteady their median shows nothing, and
    the target is met only if every round meets it.
    """
    measured = (
        results.spread(workload.name, SUBJECT)
        if target.to is None
        else results.ratio(workload, SUBJECT, target.to)
    )
    obstacle = results.obstacle(workload.name, SUBJECT)
    if obstacle is not None:
        return Verdict(workload, target, None, met=False, remark=f"{SUBJECT}: {obstacle}")
    if measured is None:
        peer = target.to or SUBJECT
        reason = results.obstacle(workload.name, peer) or "not in this run"
        return Verdict(workload, target, None, met=False, remark=f"{peer}: {reason}")
    if target.to is not None and not measured.steady:
        remark = f"unsteady {measured.low:.3g}..{measured.high:.3g}"
        return Verdict(workload, target, measured.median, measured.high <= target.limit, remark)
    return Verdict(workload, target, measured.median, measured.median <= target.limit)


def judged(results: Results) -> list[Verdict]:
    """The verdicts on all workloads of a run that have a target."""
    return [verdict for each in results.workloads for verdict in judge(results, each.name)]


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
