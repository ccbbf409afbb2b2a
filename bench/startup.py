"""From the start of Python to the end of an empty program on the loop, in wall-clock time.

The loops are started in the way that each of them tells its users to: by its `run`, or where it has
none by asyncio's `Runner`. Everything that a process does is in the figure, its ending, too.
"""

import os
import statistics
import subprocess
import sys
import time

from bench.child import last_line
from bench.effort import Effort
from bench.loops import MODULES
from bench.outcome import Outcome

PROGRAM = """
async def main():
    pass

import {module}
{module}.run(main())
"""

RUNNER = """
async def main():
    pass

import asyncio
import {module}
with asyncio.Runner(loop_factory={module}.new_event_loop) as runner:
    runner.run(main())
"""

WITHOUT_RUN = ("rloop",)


def run(loop: str, effort: Effort) -> Outcome:
    """Milliseconds per process: the median."""
    module = MODULES[loop]
    program = (RUNNER if module in WITHOUT_RUN else PROGRAM).format(module=module)
    _milliseconds(program)  # writes .pyc files and fills the page cache; does not count
    figures = [_milliseconds(program) for _ in range(effort.starts)]
    return Outcome(figure=statistics.median(figures), detail={"all_ms": figures})


def _milliseconds(program: str) -> float:
    # with .pyc files, as an installed program has them
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    return seconds * 1000
