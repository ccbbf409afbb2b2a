"""Shows the results: a table and the differences for people, a document for machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tools.conformance.exclusions import Exclusion
from tools.conformance.outcome import Outcome, Subject

__all__ = ["document", "last_line", "list_excluded", "show"]

OUTCOMES = ("passed", "failed", "excluded", "skipped")


def show(report: Subject, verbose: bool) -> None:
    """Print one Python's table and name what differs."""
    heads = [*OUTCOMES, "made a loop"]
    print(f"\nPython {report.version}, {report.loop}")
    print(f"  {'':<10}" + "".join(f"{head:>13}" for head in heads))
    for results in report.results.values():
        counts = [*(results.count(outcome) for outcome in OUTCOMES), results.with_loop()]
        print(f"  {results.loop:<10}" + "".join(f"{count:>13}" for count in counts))
    shared = report.own.count("failed") - len(report.differences)
    if shared:
        print(f"  {shared} of the failures are asyncio's as well, and count as skipped")
    unsteady = [each for each in report.own.outcomes.values() if each.unsteady]
    _name("failed once and passed when repeated:", unsteady, verbose)
    title = "fails:"
    if report.own.loop != "asyncio":
        title = f"fails on {report.own.loop} and not on asyncio:"
    _name(title, report.differences, verbose)


def _name(title: str, outcomes: list[Outcome], verbose: bool) -> None:
    if not outcomes:
        return
    print(f"\n  {title}")
    for each in outcomes:
        print(f"    {each.test}: {_gist(each.text)}")
        if verbose:
            print("\n".join(f"        {line}" for line in each.text.rstrip().splitlines()))


def _gist(text: str) -> str:
    lines = text.strip().splitlines()
    if not lines:
        return ""
    return lines[0] if lines[0].startswith(("hung", "the process died")) else lines[-1]


def list_excluded(exclusions: Iterable[Exclusion]) -> None:
    """Print the exclusions under their reasons."""
    reason = ""
    for each in exclusions:
        if each.reason != reason:
            reason = each.reason
            print(f"\n{reason}:")
        print(f"  {each.pattern}")


def last_line(reports: Iterable[Subject]) -> str:
    """Sum the Pythons up."""
    sums = [sum(column) for column in zip(*(report.totals() for report in reports), strict=True)]
    names = ("passed", "failed", "excluded", "skipped")
    return ", ".join(f"{count} {name}" for count, name in zip(sums, names, strict=True))


def document(reports: Iterable[Subject]) -> dict[str, Any]:
    """Return everything, for ``--json``."""
    return {
        "pythons": [
            {
                "python": report.version,
                "loop": report.loop,
                "differences": [each.test for each in report.differences],
                "results": {
                    name: [asdict(each) for each in results.outcomes.values()]
                    for name, results in report.results.items()
                },
            }
            for report in reports
        ]
    }
