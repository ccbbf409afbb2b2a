"""What one worker process hands back."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """One run of one workload on one loop: a figure, or the reason why there is none."""

    figure: float | None = None
    """In the workload's unit; lower is better."""
    detail: dict[str, object] = field(default_factory=dict)
    """Whatever else was measured, for the JSON and for remarks in the table."""
    error: str | None = None
    """What went wrong."""
    cannot: str | None = None
    """What the loop, or the machine, does not have and the workload needs."""
