"""What several tests need and no fixture gives: virtual time, and treadle in another process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from treadle._core.clock import Clock
from treadle._drivers.selector import SelectorDriver

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


class FakeClock(Clock):
    """A clock that stands still until it is moved."""

    ns = 0

    def now_ns(self) -> int:
        return self.ns


class JumpingDriver(SelectorDriver):
    """Where the driver would wait for a while, the clock jumps to the end of it instead."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.waits: list[int] = []  # the timeouts it was asked to wait for, in nanoseconds

    def wait(self, timeout_ns: int) -> None:
        assert timeout_ns >= 0, "nothing is scheduled: the loop would wait for ever"
        self.waits.append(timeout_ns)
        self.clock.ns += timeout_ns
        super().wait(0)


class Handler:
    """A handler for ``asyncio.start_server`` whose connections can be waited for.

    A client that has seen the end of a stream is ahead of the handler at the other end, and a
    cancelled handler leaves its connection open.
    """

    def __init__(self, serve: Callable[[Any, Any], Any]) -> None:
        self.serve = serve
        self.running: set[asyncio.Task[Any]] = set()

    async def __call__(self, reader: Any, writer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        await self.serve(reader, writer)

    async def finished(self) -> None:
        """Wait until no connection is being served."""
        while self.running:
            await asyncio.wait(self.running)


def run_python(
    program: str, *, patience: float = 30, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in another interpreter that sees the same treadle, to its end."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), **environment),
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
