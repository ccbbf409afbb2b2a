"""Runs the modules on both loops, two at a time, and repeats alone what fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tools.conformance.options import Options
from tools.conformance.outcome import Outcome, Results
from tools.conformance.process import Job, run

__all__ = ["REFERENCE", "compare", "differences", "excluded_that_pass"]

REFERENCE = "asyncio"
AT_A_TIME = 2
SLOW = ("test_events", "test_ssl", "test_sslproto", "test_subprocess", "test_sendfile")
"""Begun first, so that no long module is left for the end."""


def compare(options: Options, python: Path, modules: Iterable[str]) -> dict[str, Results]:
    """Run the modules on the loop and, unless that is stock asyncio, on stock asyncio."""
    names = dict.fromkeys((options.loop, REFERENCE))
    jobs = [
        Job(python, module, loop, options.limit) for module in _ordered(modules) for loop in names
    ]
    results = {loop: Results(loop) for loop in names}
    for job, outcomes in _all(jobs):
        results[job.loop].outcomes.update({each.test: each for each in outcomes})
    if options.loop != REFERENCE:
        _repeat(options, python, results)
    return results


def excluded_that_pass(options: Options, python: Path, modules: Iterable[str]) -> list[Outcome]:
    """Run the excluded tests on the loop; return those that pass."""
    jobs = [
        Job(python, module, options.loop, options.limit, excluded=True)
        for module in _ordered(modules)
    ]
    return [each for _, outcomes in _all(jobs) for each in outcomes if each.outcome == "passed"]


def differences(results: dict[str, Results], loop: str) -> list[Outcome]:
    """Return what fails on the loop and not on stock asyncio."""
    if loop == REFERENCE:
        return results[loop].named("failed")
    reference = results[REFERENCE].outcomes
    return [
        each
        for each in results[loop].named("failed")
        if each.test not in reference or reference[each.test].outcome != "failed"
    ]


def _repeat(options: Options, python: Path, results: dict[str, Results]) -> None:
    """Run what fails on the loop alone a second time: a busy machine can fail a test.

    It cannot make one hang for so long: those are not repeated.
    """
    by_module: dict[str, list[str]] = {}
    for each in differences(results, options.loop):
        if each.text.startswith("hung"):
            continue
        by_module.setdefault(each.test.split(".")[0], []).append(each.test)
    jobs = [
        Job(python, module, options.loop, options.limit, only=tuple(tests))
        for module, tests in by_module.items()
    ]
    outcomes = results[options.loop].outcomes
    for _, repeated in _all(jobs):
        for each in repeated:
            first = outcomes.get(each.test)
            if first is not None and first.outcome == "failed" and each.outcome == "passed":
                outcomes[each.test] = replace(each, unsteady=True, text=first.text)


def _ordered(modules: Iterable[str]) -> list[str]:
    return sorted(modules, key=lambda module: (module not in SLOW, module))


def _all(jobs: list[Job]) -> list[tuple[Job, list[Outcome]]]:
    done: list[tuple[Job, list[Outcome]]] = []
    tell = _progress(len(jobs))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for job, outcomes in zip(jobs, pool.map(run, jobs), strict=True):
            done.append((job, outcomes))
            tell(f"{job.module} on {job.loop}")
    tell("")
    return done


def _progress(total: int) -> Callable[[str], None]:
    """Return what shows, on a terminal only, how far the run is."""
    count = 0

    def tell(what: str) -> None:
        nonlocal count
        count += 1
        if sys.stderr.isatty():
            line = f"  {count}/{total} {what}" if what else ""
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    return tell
