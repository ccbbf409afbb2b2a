"""How much of what was asked for fits into the time: which workloads take part in which round.

The first round has every workload. What each costs here is known after it, so that the rounds after
it are planned with figures and not with guesses. Where the time is not enough for all, a row with a
target is worth the most rounds, a point of a curve the fewest: the later rounds leave out curves
first, then rows without a target.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.effort import Size
from bench.loops import SUBJECT
from bench.results import Run
from bench.targets import TARGETS
from bench.workloads import Workload

GUESSES: dict[str, dict[Size, float]] = {
    "micro": {"full": 1.0, "brief": 0.7, "quick": 0.5},
    "echo": {"full": 1.7, "brief": 1.3, "quick": 1.0},
    "handshakes": {"full": 1.7, "brief": 1.3, "quick": 1.0},
    "idle": {"full": 3.0, "brief": 3.0, "quick": 0.8},
    "spawn": {"full": 1.0, "brief": 1.0, "quick": 0.4},
    "memory": {"full": 1.5, "brief": 1.5, "quick": 0.6},
    "import": {"full": 2.5, "brief": 2.5, "quick": 1.2},
    "startup": {"full": 2.5, "brief": 2.5, "quick": 1.2},
    "program": {"full": 4.0, "brief": 3.0, "quick": 2.0},
}
"""Seconds of one run by kind, before any was made."""

GUESS: dict[Size, float] = {"full": 4.0, "brief": 3.0, "quick": 2.0}
"""The same for a kind that is not there."""

WEIGHTS = (1.0, 1.6, 2.2)
"""Of rows with a target, of other rows, of points of curves. With these, the second round of other
rows comes after the third of those with a target, and the second of curves after their fourth.
"""


@dataclass
class Budget:
    """The plan for one interpreter."""

    workloads: Sequence[Workload]
    loops: Sequence[str]
    """Those that can be run."""
    rounds: int
    """The most rounds that a workload has."""
    seconds: float | None
    """None: every workload has all the rounds, however long that takes."""
    quick: bool
    curves: frozenset[str] = frozenset()
    """Names of the workloads that were asked for as points of curves."""
    _costs: dict[str, float] = field(default_factory=dict)
    """Workload -> seconds of one round of it, once there was one."""

    def size(self, workload: Workload) -> Size:
        """The effort that goes into one run."""
        if self.quick:
            return "quick"
        return "brief" if workload.name in self.curves else "full"

    def cost(self, workload: Workload) -> float:
        """Seconds that one round of a workload takes."""
        measured = self._costs.get(workload.name)
        if measured is not None:
            return measured
        size = self.size(workload)
        each = GUESSES.get(workload.kind, GUESS)[size]
        return each * len(workload.contestants(list(self.loops)))

    def learn(self, runs: Sequence[Run]) -> None:
        """Replace guesses by what the last round of each workload took."""
        last: dict[tuple[str, int], float] = {}
        for run in runs:
            key = (run.workload, run.round)
            last[key] = last.get(key, 0.0) + run.seconds
        self._costs |= {name: seconds for (name, _round), seconds in sorted(last.items())}

    def admit(self, number: int, elapsed: float) -> list[Workload]:
        """The workloads of a round, of which the first is number 1, when so much time is gone."""
        if self.seconds is None or number == 1:
            return list(self.workloads)
        left = self.seconds - elapsed
        chosen = set()
        for workload in sorted(self.workloads, key=self._rank):
            if self.cost(workload) <= left - self._kept(number, self._turn(workload, number)):
                chosen.add(workload.name)
                left -= self.cost(workload)
        return [workload for workload in self.workloads if workload.name in chosen]

    def _kept(self, number: int, turn: float) -> float:
        """Seconds of what belongs to rounds after this one, but goes before this turn."""
        return sum(
            self.cost(workload)
            for workload in self.workloads
            for later in range(number + 1, self.rounds + 1)
            if self._turn(workload, later) < turn
        )

    def _turn(self, workload: Workload, number: int) -> float:
        """When it is the turn of a workload's round: the lower, the sooner."""
        return number * WEIGHTS[self._rank(workload)]

    def expected(self, number: int = 1, elapsed: float = 0.0) -> tuple[float, int]:
        """Seconds from the beginning to the end, and runs from this round on."""
        seconds, runs = elapsed, 0
        for later in range(number, self.rounds + 1):
            for workload in self.admit(later, seconds):
                seconds += self.cost(workload)
                runs += len(workload.contestants(list(self.loops)))
        return seconds, runs

    def text(self) -> str:
        """What is going to be done, and how long it takes."""
        seconds, runs = self.expected()
        found = f"{runs:,} runs, about {duration(seconds)}"
        ranks = [self._rank(workload) for workload in self.workloads]
        kinds = (f"with a target for {SUBJECT}", "without one", "as points of curves")
        parts = [
            f"{self._most(rank)} round(s) of {ranks.count(rank)} workload(s) {kind}"
            for rank, kind in enumerate(kinds)
            if rank in ranks
        ]
        if self.seconds is not None and seconds > self.seconds:
            parts.append(f"one round alone takes longer than the {duration(self.seconds)} wanted")
        return f"{found}: {', '.join(parts)}"

    def _most(self, rank: int) -> str:
        """The rounds that workloads of a rank are going to have: one number, or two."""
        counts: dict[str, int] = {w.name: 0 for w in self.workloads if self._rank(w) == rank}
        seconds = 0.0
        for number in range(1, self.rounds + 1):
            for workload in self.admit(number, seconds):
                seconds += self.cost(workload)
                if workload.name in counts:
                    counts[workload.name] += 1
        low, high = min(counts.values()), max(counts.values())
        return str(low) if low == high else f"{low} to {high}"

    def _rank(self, workload: Workload) -> int:
        """What is worth more comes first."""
        if workload.name in TARGETS:
            return 0
        return 2 if workload.name in self.curves else 1


def duration(seconds: float) -> str:
    """In the unit in which one would say it."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
