"""What importing a loop costs more than importing asyncio.

Each import runs in a fresh process that times nothing else, the two modules in turn. asyncio takes
part, too: its figure, ideally 0, shows how much of the others' is chance.
"""

import os
import statistics
import subprocess
import sys

from bench.child import last_line
from bench.effort import Effort
from bench.loops import MODULES
from bench.outcome import Outcome

PROGRAM = """
from time import perf_counter_ns
start = perf_counter_ns()
import {module}
print(perf_counter_ns() - start)
"""


def run(loop: str, effort: Effort) -> Outcome:
    """Milliseconds: the median of the loop's imports less the median of asyncio's."""
    module = MODULES[loop]
    _seconds(module)  # writes .pyc files and fills the page cache; does not count
    _seconds("asyncio")
    own, reference = [], []
    for _ in range(effort.import_pairs):
        own.append(_seconds(module))
        reference.append(_seconds("asyncio"))
    figure = statistics.median(own) - statistics.median(reference)
    return Outcome(
        figure=figure * 1000,
        detail={
            "own_ms": [seconds * 1000 for seconds in own],
            "asyncio_ms": [seconds * 1000 for seconds in reference],
        },
    )


def _seconds(module: str) -> float:
    # with .pyc files, as an installed program has them
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ImportError(last_line(done.stderr))
    return int(done.stdout) / 1e9
