"""What came of one test, and of all tests on one loop."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Outcome", "Results"]


@dataclass
class Outcome:
    """One test on one loop."""

    test: str  # module.Class.test
    outcome: str  # passed, failed, skipped or excluded
    seconds: float = 0.0
    loops: int = 0  # how many loops of the kind under test it made
    text: str = ""  # the failure, or why it was skipped
    unsteady: bool = False  # failed at first and passed when it was repeated alone


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
