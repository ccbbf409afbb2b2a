"""A micro program of which callgrind counts the instructions: `python -m bench.counted ROW LOOP`.

Started by `bench.counting` under valgrind. It runs the program twice, the second time longer, and
has what each run took written into a file of its own: the difference is free of what beginning and
end cost. It prints how many operations that difference is.

Programs that wait for the clock, or for threads, do another thing in each run and are not here.
"""

import asyncio
import ctypes
import gc
import sys

from bench import loops, ping
from bench.micro import PROGRAMS
from bench.primitives import PRIMITIVES
from bench.stopwatch import Micro

OPERATIONS = 400
"""In the shorter run, at least."""

LONGER = 5
"""Times as long is the longer one."""

PREFIX = "ping_"

ROWS = (
    "call_soon",
    "sleep0",
    "future",
    "timer",
    "spawn",
    "task_switch",
    "readline",
    "readexactly",
    "queue",
    "queue_handoff",
    "lock",
    "event",
    "timeout",
    "wait_for",
    "task_group",
    "gather",
    *(PREFIX + style for style in ping.STYLES),
)
"""What is counted by default."""


def micro(row: str, loop: str) -> Micro:
    """The program of a row; raises KeyError when there is none."""
    if row.startswith(PREFIX):
        return ping.micro(row.removeprefix(PREFIX), loop)
    return PRIMITIVES[row].micro(loop) if row in PRIMITIVES else PROGRAMS[row]


def main(row: str, loop_name: str, library: str) -> None:
    instrument = ctypes.CDLL(library)
    loop = loops.new_loop(loop_name)
    asyncio.set_event_loop(loop)
    found = micro(row, loop_name)
    short = max(2, OPERATIONS // found.operations)
    found.program(loop, LONGER * short)  # caches, free lists and specialised code are as they stay
    for batches in (short, LONGER * short):
        gc.collect()
        instrument.instrument_start()
        found.program(loop, batches)
        instrument.instrument_dump()
        instrument.instrument_stop()
    print((LONGER - 1) * short * found.operations)


if __name__ == "__main__":
    main(*sys.argv[1:])
