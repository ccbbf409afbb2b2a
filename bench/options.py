"""The command line of `python -m bench`."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bench import growth
from bench.effort import FULL, QUICK, effort
from bench.loops import BASELINE, DEFAULT, NAMES, PURE, SUBJECT
from bench.targets import promised
from bench.workloads import CATALOGUE, Workload, find

MINUTES = 28.0
"""What a run takes at most, where nothing else is said."""


@dataclass(frozen=True)
class Options:
    """What was asked for, checked."""

    loops: list[str]
    workloads: list[Workload]
    curves: frozenset[str]
    """Those of the workloads that were asked for as points of curves only."""
    rounds: int
    quick: bool
    minutes: float | None
    """The time that there is for all interpreters; None: as long as it takes."""
    pythons: list[str]
    json: str | None
    """A path, "-" for stdout."""
    page: Path | None
    """The folder for the page."""
    check: bool
    listing: bool


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench: {message}\n")


def parse(arguments: list[str]) -> Options:
    """Exits with status 2 and one line on stderr when something asked for does not exist."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    loops = _loops(parser, given.loops)
    workloads = _workloads(parser, given.only)
    rounds = effort(given.quick).rounds if given.rounds is None else given.rounds
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    minutes = given.minutes
    if minutes is None and given.rounds is None:
        minutes = MINUTES
    if minutes is not None and minutes <= 0:
        parser.error("--minutes must be more than 0")
    curves = [] if given.growth is None else _curves(parser, given.growth, workloads)
    if given.check:
        _require_targets(parser, loops, workloads)
    if given.json not in (None, "-"):
        _require_writable(parser, Path(given.json))
    if given.page is not None and given.page.exists() and not given.page.is_dir():
        parser.error(f"--page: {given.page} is not a folder")
    return Options(
        loops=loops,
        workloads=workloads + curves,
        curves=frozenset(workload.name for workload in curves),
        rounds=rounds,
        quick=given.quick,
        minutes=minutes,
        pythons=given.python or [sys.executable],
        json=given.json,
        page=given.page,
        check=given.check,
        listing=given.list,
    )


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m bench",
        description="Compare event loops side by side. Lower figures are better.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--loops", metavar="NAME[,..]", help=f"of {', '.join(NAMES)} (default: all but {PURE})")
    add("--only", metavar="WORKLOAD[,..]", help="run these workloads only; see --list")
    add("--list", action="store_true", help="list the workloads and their targets, run nothing")
    add(
        "--rounds",
        type=int,
        metavar="N",
        help=f"rounds to run (default: up to {FULL.rounds}, with --quick {QUICK.rounds})",
    )
    add(
        "--minutes",
        type=float,
        metavar="N",
        help=f"fit the rounds into this time (default: {MINUTES:g}; none with --rounds)",
    )
    add(
        "--growth",
        nargs="?",
        const="",
        metavar="SERIES[,..]",
        help=f"how costs grow, as well; of {', '.join(one.name for one in growth.ALL)}",
    )
    add("--quick", action="store_true", help="short runs, to see that everything works")
    add(
        "--python",
        action="append",
        metavar="PATH",
        help="run under this interpreter (repeatable; default: the one running this)",
    )
    add("--json", metavar="FILE", help="write everything raw; - writes it to stdout, and no table")
    add("--page", type=Path, metavar="FOLDER", help="write a page, its plots, and everything raw")
    add(
        "--check",
        action="store_true",
        help="exit with status 1, naming them, when targets are missed",
    )
    return parser


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _loops(parser: argparse.ArgumentParser, text: str | None) -> list[str]:
    if text is None:
        return list(DEFAULT)
    names = _names(text)
    for name in names:
        if name not in NAMES:
            parser.error(f"there is no loop {name!r}; there are {', '.join(NAMES)}")
    if not names:
        parser.error("--loops names no loop")
    return names


def _workloads(parser: argparse.ArgumentParser, text: str | None) -> list[Workload]:
    if text is None:
        return list(CATALOGUE.values())
    found = []
    for name in _names(text):
        workload = find(name)
        if workload is None:
            parser.error(f"there is no workload {name!r}; --list shows those that there are")
        found.append(workload)
    if not found:
        parser.error("--only names no workload")
    return found


def _curves(parser: argparse.ArgumentParser, text: str, others: list[Workload]) -> list[Workload]:
    """The points of series that are not measured anyway."""
    try:
        series = growth.find(_names(text))
    except KeyError as error:
        known = ", ".join(one.name for one in growth.ALL)
        parser.error(f"--growth: there is no series {error}; there are {known}")
    there = {workload.name for workload in others}
    found = (find(name) for name in growth.workloads(series) if name not in there)
    return [workload for workload in found if workload is not None]


def _require_targets(
    parser: argparse.ArgumentParser, loops: list[str], workloads: list[Workload]
) -> None:
    targets = [target for workload in workloads for target in promised(workload.name)]
    if not targets:
        parser.error("--check: none of these workloads has a target")
    for name in (SUBJECT, BASELINE, *(target.to for target in targets)):
        if name is not None and name not in loops:
            parser.error(f"--check needs {name} among --loops")


def _require_writable(parser: argparse.ArgumentParser, path: Path) -> None:
    """Now rather than after all the runs."""
    if path.is_dir() or not path.parent.is_dir():
        parser.error(f"--json: {path} cannot be written")
