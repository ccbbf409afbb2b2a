"""How long and how large the measurements are: one place for every such number."""

from dataclasses import dataclass, replace
from typing import Literal

Size = Literal["full", "brief", "quick", "long"]


@dataclass(frozen=True)
class Effort:
    """The size of one run. Two runs compare only when they were made with the same effort."""

    rounds: int
    """Default number of rounds."""
    micro_seconds: float
    """A micro program is repeated until one run lasts this long."""
    repeats: int
    """Runs of a micro program after calibration; the best counts."""
    warmup_seconds: float
    """Load on an echo server before the measured interval begins."""
    echo_seconds: float
    """The measured interval of an echo run, and of the real programs."""
    connections: int
    """Idle connections opened for the memory workloads, as far as RLIMIT_NOFILE allows."""
    tls_connections: int
    """The same for TLS, whose connections take longer to open and much more memory."""
    spawns: int
    """Processes started, one after the other."""
    import_pairs: int
    """Alternating pairs of fresh processes in one run of `import`."""
    starts: int
    """Fresh processes in one run of `startup`."""
    objects: int
    """Tasks, or timers, made for the memory workloads."""
    pages: int
    """Pages that the crawler crawls."""


FULL = Effort(
    rounds=5,
    micro_seconds=0.12,
    repeats=3,
    warmup_seconds=0.2,
    echo_seconds=0.8,
    connections=8000,
    tls_connections=2000,
    spawns=500,
    import_pairs=10,
    starts=10,
    objects=50_000,
    pages=10_000,
)

QUICK = Effort(
    rounds=2,
    micro_seconds=0.03,
    repeats=2,
    warmup_seconds=0.1,
    echo_seconds=0.4,
    connections=1000,
    tls_connections=200,
    spawns=50,
    import_pairs=4,
    starts=4,
    objects=10_000,
    pages=500,
)
"""To see that everything runs. Its figures are not for quoting."""


BRIEF = replace(FULL, rounds=2, micro_seconds=0.06, repeats=2, echo_seconds=0.5)
"""For the many points of a curve."""

LONG = replace(FULL, warmup_seconds=0.5, echo_seconds=5.0)
"""For a profiler to look at."""

EFFORTS: dict[Size, Effort] = {"full": FULL, "brief": BRIEF, "quick": QUICK, "long": LONG}


def effort(quick: bool) -> Effort:
    return QUICK if quick else FULL
