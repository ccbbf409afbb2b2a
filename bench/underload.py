"""A server under its usual load, with somebody who looks at it meanwhile.

The workload runs as always, in a worker; this only finds out which process the server is, and says
when the load has begun.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import interpreter
from bench.child import SERVER_VARIABLE, last_line

PATIENCE_SECONDS = 60.0
WARM_SECONDS = 0.7
"""After this long the connections are open and the load is at its height."""


class NoLoadError(Exception):
    """The server, or its load, did not start; says why."""


@contextmanager
def server(workload: str, loop: str, command: Sequence[str] = ()) -> Iterator[int]:
    """The process id of the server, which is under load by now; all ends with the block.

    `command` starts the server in the place of `python -m bench.servers`.
    """
    extra = {SERVER_VARIABLE: json.dumps(list(command))} if command else {}
    worker = interpreter.start(sys.executable, [workload, loop, "long"], extra)
    try:
        pid = _server_of(worker)
        time.sleep(WARM_SECONDS)
        yield pid
    finally:
        try:
            os.killpg(worker.pid, 9)
        except ProcessLookupError:
            pass
        worker.communicate()


def _server_of(worker: subprocess.Popen[str]) -> int:
    """The Python server that the worker started last, once it has started the load after it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            out, err = worker.communicate()
            raise NoLoadError(last_line(out) or last_line(err))
        children = _children(worker.pid)
        servers = [i for i, child in enumerate(children) if _serves(child)]
        if servers and servers[-1] + 1 < len(children):
            return children[servers[-1]]
        time.sleep(0.02)
    raise NoLoadError("no server and load after a minute")


def _children(pid: int) -> list[int]:
    """In the order in which they were started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _serves(pid: int) -> bool:
    """Whether a process is one of `bench.servers`, or that in the hands of a profiler."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"bench.servers" in arguments or b"bench.profiled" in arguments
