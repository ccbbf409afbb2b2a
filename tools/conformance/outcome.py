"""What came of one test, of all tests on one loop, and of all that was run with one Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Outcome", "Results", "Subject"]


@dataclass
class Outcome:
    """One test on one loop."""

    test: str  # module.Class.test
    outcome: str  # passed, failed, skipped or excluded
    seconds: float = 0.0
    loops: int = 0  # how many loops of the kind under test it made
    text: str = ""  # the failure, or why it was skipped
    unsteady: bool = False  # failed at first and passed when it was repeated alone
    whole: bool = False  # no test: the preparation of a class or module, or a whole process


@dataclass
class Results:
    """All tests on one loop in one Python."""

    loop: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def named(self, outcome: str) -> list[Outcome]:
        """Return the tests with that outcome."""
        return [each for each in self.outcomes.values() if each.outcome == outcome]

    def count(self, outcome: str) -> int:
        """Return how many tests have that outcome."""
        return len(self.named(outcome))

    def with_loop(self) -> int:
        """Return how many of the tests that ran made a loop of the kind under test."""
        ran = self.named("passed") + self.named("failed")
        return sum(1 for each in ran if each.loops)


@dataclass(eq=False)
class Subject:
    """One Python: what it has, what ran and what differs."""

    python: Path
    version: str
    loop: str  # with version and kind
    modules: list[str]
    results: dict[str, Results] = field(default_factory=dict)  # the loop in question first
    differences: list[Outcome] = field(default_factory=list)

    @property
    def minor(self) -> tuple[int, int]:
        """The version without what a bug fix changes: (3, 13)."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def own(self) -> Results:
        """The results of the loop in question."""
        return next(iter(self.results.values()))

    def totals(self) -> tuple[int, int, int, int]:
        """Return passed, failed, excluded and skipped; a failure that asyncio shares is skipped."""
        failed, passed = len(self.differences), self.own.count("passed")
        excluded = self.own.count("excluded")
        return passed, failed, excluded, len(self.own.outcomes) - passed - failed - excluded
