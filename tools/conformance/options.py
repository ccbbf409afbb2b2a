"""The command line."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.conformance.loops import LOOPS

__all__ = ["Options", "parse"]

LIMIT = 30.0
"""Seconds per test; the slowest test takes about five, and some wait ten for what does not come."""


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    loop: str
    aio: bool  # with treadle.aio's names in asyncio's place
    modules: tuple[str, ...]  # empty: all of them
    pythons: tuple[Path, ...]
    every_python: bool
    may_be_none: bool
    full: bool
    json: Path | None
    limit: float
    list_excluded: bool
    check_exclusions: bool
    verbose: bool


def parse(arguments: list[str]) -> Options:
    """Read the command line; ends the program when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.conformance",
        description="Run CPython's own tests of asyncio on another loop, what fails on stock "
        "asyncio as well, and name what fails only on the other loop. Exit code 1 when there is "
        "any, 2 when nothing can be run.",
    )
    add = parser.add_argument
    add("--loop", choices=LOOPS, default="treadle", help="the loop in question (%(default)s)")
    add(
        "--aio",
        action="store_true",
        help="run the tests of queues, locks, streams and helpers of tasks on treadle.aio's, which "
        "treadle.accelerate() puts in asyncio's place",
    )
    add(
        "--modules",
        type=_names,
        default=(),
        metavar="NAMES",
        help="test modules, separated by commas: test_events,test_tasks",
    )
    add(
        "--python",
        type=Path,
        action="append",
        metavar="PATH",
        help="an interpreter that has the loop; several may be given",
    )
    add(
        "--every-python",
        action="store_true",
        help="take every CPython from 3.11 on that is found, with a treadle built for it from here",
    )
    add(
        "--may-be-none",
        action="store_true",
        help="with --every-python: it is no error that none has its own tests installed",
    )
    add("--full", action="store_true", help="run everything on stock asyncio too, to compare")
    add("--json", type=Path, metavar="FILE", help="write every outcome to FILE")
    add(
        "--limit",
        type=float,
        default=LIMIT,
        metavar="SECONDS",
        help="time limit per test (%(default)g)",
    )
    add("--list-excluded", action="store_true", help="print what is excluded, and why; run nothing")
    add(
        "--check-exclusions",
        action="store_true",
        help="run the excluded tests and name those that pass",
    )
    add("-v", "--verbose", action="store_true", help="print failures in full")
    given = parser.parse_args(arguments)
    if given.every_python and given.python:
        parser.error("--every-python and --python do not go together")
    if given.every_python and given.loop != "treadle":
        parser.error("--every-python builds treadle; other loops need --python")
    return Options(
        loop=given.loop,
        aio=given.aio,
        modules=given.modules,
        pythons=tuple(given.python or [Path(sys.executable)]),
        every_python=given.every_python,
        may_be_none=given.may_be_none,
        full=given.full,
        json=given.json,
        limit=given.limit,
        list_excluded=given.list_excluded,
        check_exclusions=given.check_exclusions,
        verbose=given.verbose,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
