"""What `python -m tools.conformance` does: ask the interpreters, run, report, judge."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tools.conformance import aio, builds, exclusions, report, schedule
from tools.conformance.options import Options, parse
from tools.conformance.outcome import Subject
from tools.conformance.process import UnusableError, probe

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 when a test fails on the loop only, 2 when nothing can be run."""
    options = parse(arguments)
    if options.list_excluded:
        report.list_excluded(exclusions.load(options.aio))
        return 0
    try:
        subjects = _subjects(options)
        if not subjects:
            return _nothing_to_run(options)
        if options.check_exclusions:
            return _check_exclusions(options, subjects)
        return _compare(options, subjects)
    except UnusableError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130


def _subjects(options: Options) -> list[Subject]:
    pythons: list[Path] = list(options.pythons)
    if options.every_python:
        pythons, missing = builds.every_python()
        for reason in missing:
            print(f"skipped: {reason}")
    found = []
    for python in pythons:
        facts = probe(python, options.loop, options.aio)
        subject = Subject(python, facts["version"], facts["loop"], facts["modules"])
        if subject.modules:
            subject.modules = _chosen(options, subject)
            found.append(subject)
        else:
            print(f"skipped: Python {subject.version} ({python}) was installed without its tests")
    return found


def _chosen(options: Options, subject: Subject) -> list[str]:
    unknown = set(options.modules) - set(subject.modules)
    if unknown:
        text = ", ".join(sorted(unknown))
        raise UnusableError(f"Python {subject.version} has no test module {text}")
    wanted = options.modules or (aio.MODULES if options.aio else subject.modules)
    return [name for name in subject.modules if name in wanted]


def _nothing_to_run(options: Options) -> int:
    print(
        "conformance: NOTHING WAS RUN. No Python here has the package test.test_asyncio. Debian "
        "has it in libpython3.X-testsuite; Pythons built by pyenv or from source have it.",
        file=sys.stderr,
    )
    return 0 if options.may_be_none else 2


def _compare(options: Options, subjects: list[Subject]) -> int:
    began = time.monotonic()
    schedule.compare(options, subjects)
    for subject in subjects:
        report.show(subject, options.verbose)
    if options.json is not None:
        options.json.write_text(json.dumps(report.document(subjects), indent=1) + "\n")
    print(f"\n{report.last_line(subjects)} in {time.monotonic() - began:.0f} s")
    return 1 if any(each.differences for each in subjects) else 0


def _check_exclusions(options: Options, subjects: list[Subject]) -> int:
    needless = 0
    for subject, outcomes in schedule.excluded_that_pass(options, subjects).items():
        known = exclusions.load(options.aio, subject.minor)
        print(f"\nPython {subject.version}, {subject.loop}: excluded tests that pass")
        for each in outcomes:
            exclusion = exclusions.find(known, each.test)
            if exclusion is not None:
                needless += 1
                print(f"  {each.test} ({exclusion.reason})")
    print(f"\n{needless} excluded tests pass")
    return 1 if needless else 0
