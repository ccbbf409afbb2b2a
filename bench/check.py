"""Has anything become slower? `make bench-check`, or `python -m bench.check`: a few minutes.

Two kinds of limits. Instructions per operation, which callgrind counts and which hardly vary,
against those in `instructions.json`; and the ratios to uvloop that `targets.py` promises, for the
rows that are quick to measure. A row that misses its ratio is measured in further rounds before it
counts as missed: a busy machine must not fail a check, nor a lucky round pass one.

Exit status: 0; 1 when a limit is exceeded; 2 when something could not be checked.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bench import compiler, counted, counting, schedule, screen, targets
from bench.budget import Budget
from bench.counting import TOLERANCE, CannotCountError, Limits
from bench.interpreter import Interpreter, UnusableError, inspect
from bench.loops import BASELINE, LABELS, SUBJECT
from bench.results import Results
from bench.table import number
from bench.targets import Verdict
from bench.workloads import CATALOGUE, Workload

ROWS = (
    "call_soon",
    "sleep0",
    "future",
    "timer",
    "due_1000",
    "spawn",
    "timeout",
    "gather",
    "echo_1k_100",
    "echo_100k_8",
    "echo_streams_1k_100",
    "echo_readexactly_1k_100",
    "echo_sock_1k_100",
    "echo_tls_1k_8",
    "echo_tls_100k_8",
    "idle_connection",
    "idle_stream",
)
"""Those of the promised ratios that are checked here."""

ROUNDS = 3
FURTHER_ROUNDS = 4
"""For rows that were not met in the first ones."""

UNCHECKED = 2


@dataclass(frozen=True)
class Count:
    """Instructions of one row; None where there are none."""

    row: str
    counted: float | None
    limit: float | None
    trouble: str = ""

    @property
    def exceeds(self) -> bool:
        if self.counted is None or self.limit is None:
            return False
        return self.counted > self.limit * (1 + TOLERANCE)


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    both = given.counts == given.ratios
    statuses = []
    if given.counts or both or given.renew:
        statuses.append(_counts(given.renew))
    if (given.ratios or both) and not given.renew:
        statuses.append(_ratios())
    # a limit that is exceeded weighs more than one that could not be checked
    status = 1 if 1 in statuses else max(statuses)
    words = ("no limit is exceeded", "a limit is exceeded", "something could not be checked")
    print(f"bench.check: {words[status]}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.check", description="Compare costs with their limits."
    )
    add = parser.add_argument
    add("--counts", action="store_true", help="count instructions only")
    add("--ratios", action="store_true", help=f"measure ratios to {BASELINE} only")
    add("--renew", action="store_true", help="make what is counted now the new limits")
    return parser


def _counts(renew: bool) -> int:
    """Count, show, and compare or keep; the exit status."""
    print(f"instructions per operation on {SUBJECT}, by callgrind")
    try:
        library = counting.prepare()
    except CannotCountError as error:
        print(f"  not counted: {error}")
        return UNCHECKED
    limits = counting.read()
    strangers = limits.strangers()
    found = _counted(library, limits)
    if renew:
        return _renewed(found)
    _show_counts(found, judged=not strangers)
    if strangers:
        print("  No verdict: counts are compared with those of the same interpreter and compiler.")
        for line in strangers:
            print(f"  {line}")
        print("  `python -m bench.check --renew` makes limits for this one.")
    if any(count.counted is None for count in found):
        return UNCHECKED
    return 1 if not strangers and any(count.exceeds for count in found) else 0


def _counted(library: str, limits: Limits) -> list[Count]:
    """Several at once: how busy the machine is does not show in a count."""

    def count(row: str) -> Count:
        limit = limits.counts.get(row)
        try:
            return Count(row, counting.count(row, library), limit)
        except (CannotCountError, OSError, ValueError) as error:
            return Count(row, None, limit, str(error))

    rows = counted.ROWS
    found: list[Count] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, screen.progress(quiet=True) as report:
        for row, result in zip(rows, pool.map(count, rows), strict=True):
            report("counted", row, len(rows) - len(found))
            found.append(result)
    return found


def _show_counts(found: Sequence[Count], judged: bool) -> None:
    width = max(len(count.row) for count in found)
    for count in found:
        if count.counted is None:
            print(f"  {count.row:<{width}}  not counted: {count.trouble}")
            continue
        text = f"  {count.row:<{width}}  {count.counted:>9,.0f}"
        if count.limit is None:
            text += "  no limit yet"
        else:
            change = count.counted / count.limit - 1
            word = "EXCEEDED" if count.exceeds else "kept"
            text += f"  {change:>+7.1%} of {count.limit:,.0f}" + (f"  {word}" if judged else "")
        print(text)


def _renewed(found: Sequence[Count]) -> int:
    for count in found:
        if count.counted is None:
            print(f"  {count.row}: not counted: {count.trouble}; the limits stay as they were")
            return UNCHECKED
    counts = {count.row: round(count.counted, 1) for count in found if count.counted is not None}
    counting.FILE.write_text(Limits(counting.maker(), counts).text())
    _show_counts(found, judged=False)
    print(f"  written to {counting.FILE}")
    return 0


def _ratios() -> int:
    """Measure, show, and compare; the exit status."""
    print(f"ratios to {BASELINE} and absolute limits, {ROUNDS} round(s)")
    for name in compiler.PROGRAMS.keys() - compiler.TOOLS:
        compiler.build(name)
    try:
        interpreter = inspect(sys.executable, compiler.build("echo_epoll").obstacle or None)
    except UnusableError as error:
        print(f"  {error}")
        return UNCHECKED
    for name in (BASELINE, SUBJECT):
        if name in interpreter.obstacles:
            print(f"  {name}: {interpreter.obstacles[name]}")
            return UNCHECKED
    verdicts = _measured(interpreter)
    objection = _show_ratios(interpreter, verdicts)
    if objection or any(verdict.figure is None for verdict in verdicts):
        return UNCHECKED
    return 0 if all(verdict.met for verdict in verdicts) else 1


def _measured(interpreter: Interpreter) -> list[Verdict]:
    workloads = [CATALOGUE[name] for name in ROWS]
    first = _run(interpreter, workloads, ROUNDS)
    verdicts = targets.judged(first)
    again = {v.workload.name for v in verdicts if not v.met and v.figure is not None}
    if not again:
        return verdicts
    names = ", ".join(sorted(again))
    print(f"  not met yet, so that further rounds decide: {names}", flush=True)
    more = _run(interpreter, [w for w in workloads if w.name in again], FURTHER_ROUNDS)
    shifted = [replace(run, round=run.round + ROUNDS) for run in more.runs]
    return targets.judged(replace(first, runs=[*first.runs, *shifted]))


def _run(interpreter: Interpreter, workloads: list[Workload], rounds: int) -> Results:
    """The subject, and whom its targets name."""
    wanted = {target.to for w in workloads for target in targets.promised(w.name)}
    loops = [*sorted(name for name in wanted if name is not None), SUBJECT]
    able = [name for name in loops if name not in interpreter.obstacles]
    budget = Budget(workloads, able, rounds, None, quick=False)
    print(f"  {budget.text()}", flush=True)
    with screen.progress(quiet=True) as report:

        def announce(step: schedule.Step, left: int) -> None:
            label = LABELS.get(step.loop, step.loop)
            report(f"round {step.round}: {step.workload.name}", label, left)

        return schedule.carry_out(interpreter, loops, budget, announce)


def _show_ratios(interpreter: Interpreter, verdicts: Sequence[Verdict]) -> str | None:
    """Also returns why the limits do not hold here, if they do not."""
    width = max(len(verdict.workload.name) for verdict in verdicts)
    for verdict in verdicts:
        limit = verdict.target.limit_text(verdict.workload.unit)
        figure = "-" if verdict.figure is None else number(verdict.figure)
        word = "met" if verdict.met else verdict.word.upper()
        remark = f"  {verdict.remark}" if verdict.remark else ""
        print(f"  {verdict.workload.name:<{width}}  {figure:>6}  ≤ {limit:<16}  {word}{remark}")
    against = targets.objection(Results(interpreter, [], [], []))
    if against:
        print(f"  {against}: the verdicts do not count")
    return against


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
