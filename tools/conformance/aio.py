"""Puts treadle.aio's names in asyncio's place, for ``--aio``.

`treadle.accelerate` itself does it, before a test module is imported. So the tests reach treadle's
queues, locks, streams and helpers of tasks by whatever name they know them.
"""

from __future__ import annotations

__all__ = ["MODULES", "install"]

MODULES = (
    "test_locks",
    "test_pep492",
    "test_queues",
    "test_staggered",
    "test_streams",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_waitfor",
)
"""What is about these names; the other modules would say the same as without ``--aio``."""


def install() -> None:
    """Accelerate asyncio in this process."""
    import treadle  # late: other loops are tested where it is not installed

    treadle.accelerate()
