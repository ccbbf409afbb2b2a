"""Results as rows of text. It does not know how rows reach the screen."""

from collections.abc import Iterator

from bench import targets
from bench.loops import BASELINE, LABELS, SUBJECT
from bench.results import Results, Spread, spread
from bench.workloads import Workload

HEADINGS = ("workload", "loop", "median", "min..max", f"/ {BASELINE}", "also", "target")
DISTURBED = 0.05
"""Share of a run in which a server had to wait for its core that is worth a remark."""

NUMERIC = frozenset({"median", "min..max", f"/ {BASELINE}"})
"""Columns whose text is aligned to the right."""


def groups(results: Results) -> Iterator[list[list[str]]]:
    """One list of rows for each workload."""
    for workload in results.workloads:
        yield [_row(results, workload, loop) for loop in workload.contestants(results.loops)]


def _row(results: Results, workload: Workload, loop: str) -> list[str]:
    label = LABELS.get(loop, loop)
    obstacle = results.obstacle(workload.name, loop)
    measured = results.spread(workload.name, loop)
    if obstacle is not None or measured is None:
        short = (obstacle or "no figure").partition(":")[0]
        return [workload.name, label, short, "", "", "", _target(results, workload, loop)]
    return [
        workload.name,
        label,
        f"{number(measured.median)} {workload.unit}",
        f"{number(measured.low)}..{number(measured.high)}",
        _ratio(results.ratio(workload, loop)),
        _also(results, workload, loop),
        _target(results, workload, loop),
    ]


def _ratio(ratio: Spread | None) -> str:
    if ratio is None:
        return ""
    if not ratio.steady:
        return f"unsteady {ratio.low:.2f}..{ratio.high:.2f}"
    return f"{ratio.median:.2f}"


def _also(results: Results, workload: Workload, loop: str) -> str:
    if workload.kind in ("echo", "handshakes", "program"):
        rate = _median(results, workload, loop, "per_second")
        p50 = _median(results, workload, loop, "p50_us")
        p99 = _median(results, workload, loop, "p99_us")
        return f"{rate:,.0f}/s, p50 {number(p50)} µs, p99 {number(p99)} µs"
    if workload.kind == "idle":
        return f"{_median(results, workload, loop, 'connections'):,.0f} connections"
    if workload.kind == "spawn":
        cpu = _median(results, workload, loop, "cpu_ms")
        return f"{number(cpu)} ms of it CPU, the child's included"
    return ""


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _median(results: Results, workload: Workload, loop: str, key: str) -> float:
    """The median over the rounds of something that was measured besides the figure."""
    values = [run.outcome.detail.get(key) for run in results.of(workload.name, loop)]
    found = spread([float(value) for value in values if isinstance(value, int | float)])
    return found.median if found else float("nan")


def _target(results: Results, workload: Workload, loop: str) -> str:
    verdicts = targets.judge(results, workload.name) if loop == SUBJECT else []
    apply = targets.objection(results) is None
    return "; ".join(
        f"≤ {verdict.target.limit_text(workload.unit)}: "
        + (verdict.word if apply else f"({verdict.word})")
        for verdict in verdicts
    )


def number(value: float) -> str:
    """Three digits that mean something, and no exponent."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def remarks(results: Results) -> Iterator[str]:
    """What the table has no room for: why figures are missing, and what to think of the others."""
    against = targets.objection(results)
    if against is not None:
        yield f"{against}: verdicts in brackets"
    for loop, obstacle in results.interpreter.obstacles.items():
        if loop in results.loops and obstacle != "not installed":
            yield f"{LABELS.get(loop, loop)}: {obstacle}"
    for run in results.runs:
        if run.outcome.error is not None:
            yield f"{run.workload} on {run.loop}, round {run.round}: {run.outcome.error}"
        if run.outcome.cannot is not None:
            yield f"{run.workload}: {LABELS.get(run.loop, run.loop)} cannot: {run.outcome.cannot}"
    disturbances = [run.outcome.detail.get("disturbance") for run in results.runs]
    worst = max((share for share in disturbances if isinstance(share, float)), default=0.0)
    if worst > DISTURBED:
        yield f"other programs had the server's core for up to {worst:.0%} of a run"
    slow = [run.workload for run in results.runs if run.outcome.detail.get("generator") == "python"]
    if slow:
        yield (
            f"the load came from the Python generator, for want of the C one, in "
            f"{', '.join(dict.fromkeys(slow))}: throughput and latency are the generator's own"
        )
    resent = sum(_count(run.outcome.detail.get("resent")) for run in results.runs)
    if resent:
        yield f"{resent} datagrams were lost, or late, and sent again"
