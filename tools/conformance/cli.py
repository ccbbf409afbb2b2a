"""What `python -m tools.conformance` does: ask the interpreters, run, report, judge."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.conformance import exclusions, report, schedule
from tools.conformance.options import Options, parse
from tools.conformance.process import UnusableError, probe

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 when a test fails on the loop only, 2 when it cannot run."""
    options = parse(arguments)
    if options.list_excluded:
        report.list_excluded(exclusions.load())
        return 0
    try:
        interpreters = [(python, probe(python, options.loop)) for python in options.pythons]
        usable = [each for each in interpreters if _has_tests(*each)]
        if options.check_exclusions:
            return _check_exclusions(options, usable)
        return _compare(options, usable)
    except UnusableError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130


def _compare(options: Options, interpreters: list[tuple[Path, dict[str, Any]]]) -> int:
    reports = []
    for python, facts in interpreters:
        results = schedule.compare(options, python, _modules(options, facts))
        differences = schedule.differences(results, options.loop)
        reports.append(report.Report(facts["version"], facts["loop"], results, differences))
        report.show(reports[-1], options.verbose)
    if options.json is not None:
        options.json.write_text(json.dumps(report.document(reports), indent=1) + "\n")
    print(f"\n{report.last_line(reports)}")
    return 1 if any(each.differences for each in reports) else 0


def _check_exclusions(options: Options, interpreters: list[tuple[Path, dict[str, Any]]]) -> int:
    known = exclusions.load()
    needless = 0
    for python, facts in interpreters:
        print(f"\nPython {facts['version']}, {facts['loop']}: excluded tests that pass")
        for each in schedule.excluded_that_pass(options, python, _modules(options, facts)):
            exclusion = exclusions.find(known, each.test)
            if exclusion is not None:
                needless += 1
                print(f"  {each.test} ({exclusion.reason})")
    print(f"\n{needless} excluded tests pass")
    return 1 if needless else 0


def _modules(options: Options, facts: dict[str, Any]) -> list[str]:
    found: list[str] = facts["modules"]
    unknown = set(options.modules) - set(found)
    if unknown:
        raise UnusableError(f"Python {facts['version']} has no module {', '.join(sorted(unknown))}")
    return [name for name in found if not options.modules or name in options.modules]


def _has_tests(python: Path, facts: dict[str, Any]) -> bool:
    if facts["modules"]:
        return True
    print(
        f"{python}: Python {facts['version']} is installed without test.test_asyncio, as many "
        "distributions do; skipped"
    )
    return False
