"""The process that is profiled: `python -m bench.profiled WORKLOAD LOOP SWITCH SECONDS`, or
`python -m bench.profiled serve LIBRARY KIND LOOP ARGUMENT`, a server.

SWITCH is how the profiler is told when to begin: the library by which a program speaks to
callgrind, or `FIFO,FIFO`, over which perf takes commands and acknowledges them. A server begins on
SIGUSR1 and ends on SIGUSR2. Started by `bench.profile`.
"""

import asyncio
import ctypes
import signal
import sys
from pathlib import Path
from time import perf_counter
from typing import Protocol

from bench import counted, growing, loops, servers
from bench.micro import PROGRAMS
from bench.primitives import PRIMITIVES
from bench.stopwatch import Micro

WARMUP_SECONDS = 0.1


class Switch(Protocol):
    """Turns the profiler on and off."""

    def on(self) -> None: ...
    def off(self) -> None: ...


class Callgrind:
    """By requests that valgrind sees in the code."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)

    def on(self) -> None:
        self._library.instrument_start()

    def off(self) -> None:
        self._library.instrument_dump()
        self._library.instrument_stop()


class Perf:
    """By words through a FIFO; perf answers through another one."""

    def __init__(self, command: str, acknowledgement: str) -> None:
        self._command, self._acknowledgement = Path(command), Path(acknowledgement)

    def on(self) -> None:
        self._say("enable")

    def off(self) -> None:
        self._say("disable")

    def _say(self, word: str) -> None:
        with self._command.open("w") as command:
            command.write(f"{word}\n")
        with self._acknowledgement.open() as acknowledgement:
            acknowledgement.readline()


def micro(workload: str, loop: str) -> Micro:
    """The program of a micro workload, or of a message within one process (`ping_streams`)."""
    if workload.startswith(counted.PREFIX) or workload in PRIMITIVES or workload in PROGRAMS:
        return counted.micro(workload, loop)
    return growing.micro(workload)


def serve(library: str, kind: str, loop: str, argument: str) -> None:
    profiler = Callgrind(library)
    signal.signal(signal.SIGUSR1, lambda *_: profiler.on())
    signal.signal(signal.SIGUSR2, lambda *_: profiler.off())
    servers.main(kind, loop, argument)


def main(workload: str, loop_name: str, switch: str, seconds: str) -> None:
    profiler: Switch = Perf(*switch.split(",")) if "," in switch else Callgrind(switch)
    loop = loops.new_loop(loop_name)
    asyncio.set_event_loop(loop)
    found = micro(workload, loop_name)
    batches = _fitting(found, loop, float(seconds))
    profiler.on()
    found.program(loop, batches)
    profiler.off()


def _fitting(found: Micro, loop: asyncio.AbstractEventLoop, seconds: float) -> int:
    """The batches that last so long."""
    batches = 1
    while True:
        start = perf_counter()
        found.program(loop, batches)
        elapsed = perf_counter() - start
        if elapsed > WARMUP_SECONDS:
            return max(1, int(batches * seconds / elapsed))
        batches *= 4


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
