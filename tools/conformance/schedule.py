"""Runs the modules, two at a time, and looks again at what fails.

A failure counts when it is the loop's: when the test fails a second time, alone in its process, and
when stock asyncio, put in the same way, passes it in this run. So asyncio runs only the tests that
failed, unless the whole comparison is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tools.conformance.options import Options
from tools.conformance.outcome import Outcome, Results, Subject
from tools.conformance.process import Job, run

__all__ = ["REFERENCE", "compare", "excluded_that_pass"]

REFERENCE = "asyncio"
AT_A_TIME = 2
SLOW = (
    "test_tasks",
    "test_subprocess",
    "test_ssl",
    "test_events",
    "test_taskgroups",
    "test_sslproto",
    "test_sendfile",
)
"""Begun first, so that no long module is left for the end."""


def compare(options: Options, subjects: list[Subject]) -> None:
    """Run the modules on the loop, and on stock asyncio what is needed to judge it."""
    loops = [options.loop]
    if options.full and options.loop != REFERENCE:
        loops.append(REFERENCE)
    for subject in subjects:
        subject.results = {loop: Results(loop) for loop in loops}
    jobs = [
        job
        for module, subject in _in_order(subjects)
        for job in _jobs(options, subject, module, loops)
    ]
    _into_results(options, subjects, jobs)
    if options.loop != REFERENCE:
        _repeat(options, subjects)
        if not options.full:
            _ask_reference(options, subjects)
    for subject in subjects:
        subject.differences = _differences(subject, options.loop)


def excluded_that_pass(options: Options, subjects: list[Subject]) -> dict[Subject, list[Outcome]]:
    """Run the excluded tests on the loop; return those that pass."""
    jobs = [
        replace(job, excluded=True)
        for module, subject in _in_order(subjects)
        for job in _jobs(options, subject, module, [options.loop])
    ]
    found: dict[Subject, list[Outcome]] = {subject: [] for subject in subjects}
    for job, outcomes in _all(options, jobs):
        found[job.subject] += [each for each in outcomes if each.outcome == "passed"]
    return found


def _differences(subject: Subject, loop: str) -> list[Outcome]:
    """Return what fails on the loop and not on stock asyncio."""
    reference = subject.results.get(REFERENCE, Results(REFERENCE)).outcomes
    return [
        each
        for each in subject.results[loop].named("failed")
        if loop == REFERENCE
        or each.test not in reference
        or reference[each.test].outcome != "failed"
    ]


def _repeat(options: Options, subjects: list[Subject]) -> None:
    """Run what fails on the loop alone a second time: a busy machine can fail a test.

    It cannot make one hang for so long: those are not repeated.
    """
    for job, outcomes in _all(options, _failed_again(options, options.loop, subjects)):
        known = job.subject.results[options.loop].outcomes
        for each in outcomes:
            first = known.get(each.test)
            if first is not None and first.outcome == "failed" and each.outcome == "passed":
                known[each.test] = replace(each, unsteady=True, text=first.text)


def _ask_reference(options: Options, subjects: list[Subject]) -> None:
    """Run on stock asyncio what fails on the loop."""
    for subject in subjects:
        if subject.results[options.loop].named("failed"):
            subject.results[REFERENCE] = Results(REFERENCE)
    _into_results(options, subjects, _failed_again(options, REFERENCE, subjects))


def _failed_again(options: Options, on: str, subjects: list[Subject]) -> list[Job]:
    """Make the jobs that run, each alone in its module, the tests that failed on the loop."""
    jobs = []
    for subject in subjects:
        for module, failed in _by_module(subject.results[options.loop].named("failed")).items():
            if on == options.loop:
                failed = [each for each in failed if not each.text.startswith("hung")]
            if not failed:
                continue
            # the preparation of a class or module, or a process, is no test: run all of them
            tests = None if any(each.whole for each in failed) else {each.test for each in failed}
            only = None if tests is None else tuple(sorted(tests))
            jobs.append(Job(subject, module, on, _with_aio(options, on), only))
    return jobs


def _by_module(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for each in outcomes:
        found.setdefault(each.test.split(".")[0], []).append(each)
    return found


def _in_order(subjects: list[Subject]) -> list[tuple[str, Subject]]:
    pairs = [(module, subject) for subject in subjects for module in subject.modules]

    def rank(pair: tuple[str, Subject]) -> tuple[int, str]:
        module = pair[0]
        return (SLOW.index(module) if module in SLOW else len(SLOW), module)

    return sorted(pairs, key=rank)


def _jobs(options: Options, subject: Subject, module: str, loops: list[str]) -> list[Job]:
    return [Job(subject, module, loop, _with_aio(options, loop)) for loop in loops]


def _with_aio(options: Options, loop: str) -> bool:
    """Say whether the loop has treadle.aio's names; what it is compared with has asyncio's own."""
    return options.aio and loop == options.loop


def _into_results(options: Options, subjects: list[Subject], jobs: list[Job]) -> None:
    for job, outcomes in _all(options, jobs):
        results = job.subject.results[job.loop]
        results.outcomes.update({each.test: each for each in outcomes})


def _all(options: Options, jobs: list[Job]) -> list[tuple[Job, list[Outcome]]]:
    done: list[tuple[Job, list[Outcome]]] = []
    tell = _progress(len(jobs))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = pool.map(lambda job: run(job, options.limit), jobs)
        for job, came in zip(jobs, outcomes, strict=True):
            done.append((job, came))
            tell(f"{job.module} on {job.loop}, Python {job.subject.version}")
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
