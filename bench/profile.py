"""Where the cost of a workload is: `make profile WORKLOAD=...`, or `python -m bench.profile NAME`.

A micro workload runs in a process of its own. Of an echo workload, and of any other that has a
server, it is the server that is looked at, under its usual load. The result is a flame graph, and a
list of the functions and of the lines of treadle's sources with the highest cost of their own.

perf samples in time, all but unnoticed by the program; callgrind counts instructions, with the
program twenty times and more as slow. perf needs a permission that many machines do not give, so it
is tried first; where it does not work, callgrind takes over.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import callgrind, flame, growing, perf, symbols
from bench.counted import PREFIX
from bench.flame import Stack
from bench.interpreter import ROOT
from bench.loops import MODULES, SUBJECT
from bench.ping import STYLES
from bench.programs import LOADS
from bench.workloads import find

FOLDER = ROOT / "build" / "profile"
SECONDS = 3.0
LISTED = 16


class CannotProfileError(Exception):
    """Says why, and what to do."""


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    workload: str
    loop: str
    seconds: float
    served: bool
    """Whether it is a server under load, rather than a micro program."""


@dataclass(frozen=True)
class Profile:
    """What was found."""

    stacks: Mapping[Stack, float]
    unit: str
    how: str


def main(arguments: list[str]) -> int:
    """The exit status: 0; 2 when no profile can be made."""
    given = _parser().parse_args(arguments)
    try:
        subject = _subject(given.workload, given.loop, given.seconds)
        found = _found(subject, given.tool)
        out = given.out or FOLDER / f"{subject.workload}-{subject.loop}.svg"
        title = f"{subject.workload} on {subject.loop}"
        svg = flame.draw(title, found.how, found.unit, found.stacks)
    except (CannotProfileError, perf.PerfError, callgrind.CallgrindError, ValueError) as error:
        print(f"bench.profile: {error}", file=sys.stderr)
        return 2
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(svg)
    _show(found)
    print(f"\nflame graph: {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description="Show where the cost of a workload is."
    )
    add = parser.add_argument
    pings = ", ".join(PREFIX + style for style in STYLES)
    add("workload", help=f"of python -m bench --list, or {pings}")
    add("--loop", default=SUBJECT, choices=list(MODULES), help=f"default: {SUBJECT}")
    add("--tool", choices=["perf", "callgrind"], help="default: perf where it works")
    add("--seconds", type=float, default=SECONDS, help=f"how long to look (default: {SECONDS:g})")
    add("--out", type=Path, metavar="FILE", help="default: build/profile/WORKLOAD-LOOP.svg")
    return parser


def _subject(workload: str, loop: str, seconds: float) -> Subject:
    if workload.removeprefix(PREFIX) in STYLES and workload.startswith(PREFIX):
        return Subject(workload, loop, seconds, served=False)
    known = find(workload)
    if known is None:
        raise CannotProfileError(f"there is no workload {workload!r}; python -m bench --list")
    if known.kind == "micro" or growing.known(workload):
        return Subject(workload, loop, seconds, served=False)
    if known.kind in ("echo", "handshakes") or workload in LOADS:
        return Subject(workload, loop, seconds, served=True)
    raise CannotProfileError(f"{workload} has neither a server under load nor a program to look at")


def _found(subject: Subject, tool: str | None) -> Profile:
    """With the tool that was asked for, or with what works."""
    obstacle = perf.obstacle() if tool != "callgrind" else ""
    if tool == "perf" and obstacle:
        raise CannotProfileError(f"perf cannot be used: {obstacle}")
    with tempfile.TemporaryDirectory() as folder:
        if tool == "callgrind" or obstacle:
            if obstacle:
                print(f"perf cannot be used: {obstacle}\ncallgrind counts instead")
            stacks = callgrind.stacks(
                subject.workload, subject.loop, subject.seconds, subject.served, Path(folder)
            )
            return Profile(stacks, "instructions", "instructions in user space, by callgrind")
        stacks = perf.stacks(
            subject.workload, subject.loop, subject.seconds, subject.served, Path(folder)
        )
        return Profile(stacks, "samples", f"time, by perf, {perf.RATE} samples a second")


def _show(found: Profile) -> None:
    """The highest own costs."""
    functions: dict[str, float] = defaultdict(float)
    lines: dict[str, float] = defaultdict(float)
    for stack, cost in found.stacks.items():
        *outer, last = stack or ("",)
        if symbols.is_line(last):
            lines[f"{last}  {outer[-1]}"] += cost
            last = outer[-1]
        functions[last] += cost
    total = sum(functions.values())
    print(f"{found.how}: {total:,.0f} {found.unit}")
    for heading, costs in (("own cost of functions", functions), ("of treadle's lines", lines)):
        print(f"\n{heading}")
        for name, cost in sorted(costs.items(), key=lambda item: -item[1])[:LISTED]:
            print(f"{cost / total:7.1%}  {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
