"""Starting processes: how long each takes, one after the other, in wall-clock time.

The child, `true`, does nothing; what is measured is how the loop starts it and learns of its end.
Wall-clock, because most of it is the kernel's work, some of it in the child, and because a loop
that learns of the end late would look cheap otherwise. The CPU time of parent and children is
handed back, too.
"""

import asyncio
import resource
import shutil
import time

from bench.effort import Effort
from bench.loops import new_loop
from bench.outcome import Outcome

WARMUP = 10


def run(loop_name: str, effort: Effort) -> Outcome:
    """Milliseconds per process."""
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_spawn(WARMUP))
        cpu, start = _cpu_seconds(), time.perf_counter()
        loop.run_until_complete(_spawn(effort.spawns))
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    finally:
        loop.close()
    return Outcome(
        figure=seconds * 1000 / effort.spawns,
        detail={"processes": effort.spawns, "cpu_ms": cpu * 1000 / effort.spawns},
    )


async def _spawn(count: int) -> None:
    program = shutil.which("true") or "true"
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(program)
        status = await process.wait()
        if status != 0:
            raise RuntimeError(f"{program} ended with status {status}")


def _cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
