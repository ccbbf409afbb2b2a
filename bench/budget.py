"""How much of what was asked for fits into the time: which workloads take part in which round.

A row with a target is worth the most rounds, a point of a curve the fewest. Where the time is not
enough for all of them, the later rounds leave out curves first, then rows without a target. The
first round has every workload; its runs tell what each costs here, so that the rounds after it are
planned with figures and not with guesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.effort import Size
from bench.loops import SUBJECT
from bench.results import Run
from bench.targets import TARGETS
from bench.workloads import Workload

GUESSES: dict[str, dict[Size, float]] = {
    "micro": {"full": 1.5, "brief": 0.8, "quick": 0.5},
    "echo": {"full": 2.2, "brief": 1.4, "quick": 1.0},
    "handshakes": {"full": 2.2, "brief": 1.4, "quick": 1.0},
    "idle": {"full": 3.0, "brief": 3.0, "quick": 0.8},
    "spawn": {"full": 1.0, "brief": 1.0, "quick": 0.4},
    "memory": {"full": 1.5, "brief": 1.5, "quick": 0.6},
    "import": {"full": 4.0, "brief": 4.0, "quick": 1.2},
    "startup": {"full": 4.0, "brief": 4.0, "quick": 1.2},
    "program": {"full": 4.0, "brief": 3.0, "quick": 2.0},
}
"""Seconds of one run by kind, before any was made."""

GUESS: dict[Size, float] = {"full": 4.0, "brief": 3.0, "quick": 2.0}
"""The same for a kind that is not there."""

PLAIN_ROUNDS = 3
CURVE_ROUNDS = 2


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

    @property
    def tight(self) -> bool:
        """Whether there is not time enough for all rounds of everything."""
        whole = self.rounds * sum(self.cost(workload) for workload in self.workloads)
        return self.seconds is not None and whole > self.seconds

    def size(self, workload: Workload) -> Size:
        """The effort that goes into one run."""
        if self.quick:
            return "quick"
        return "brief" if workload.name in self.curves else "full"

    def wanted(self, workload: Workload) -> int:
        """The most rounds that a workload may get."""
        if not self.tight:
            return self.rounds
        return min(self.rounds, (self.rounds, PLAIN_ROUNDS, CURVE_ROUNDS)[self._rank(workload)])

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
        asked = [workload for workload in self.workloads if self.wanted(workload) >= number]
        if self.seconds is None or number == 1:
            return asked
        left = self.seconds - elapsed
        chosen = set()
        for workload in sorted(asked, key=self._rank):
            # what is worth more has its later rounds, too, before this gets its next one
            kept = sum(
                self.cost(other) * (self.wanted(other) - number)
                for other in asked
                if self._rank(other) < self._rank(workload)
            )
            if self.cost(workload) <= left - kept:
                chosen.add(workload.name)
                left -= self.cost(workload)
        return [workload for workload in asked if workload.name in chosen]

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
        if self.seconds is None or not self.tight:
            return f"{found}: {self.rounds} round(s) of {len(self.workloads)} workload(s)"
        ranks = [self._rank(workload) for workload in self.workloads]
        kinds = (f"with a target for {SUBJECT}", "without one", "as points of curves")
        parts = [
            f"{self._most(rank)} round(s) of {ranks.count(rank)} workload(s) {kind}"
            for rank, kind in enumerate(kinds)
            if rank in ranks
        ]
        if seconds > self.seconds:
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
