"""Starting a server process, and being sure that it ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from bench import cores, peers
from bench.loops import OUTSIDERS, CannotError

SERVER_VARIABLE = "BENCH_SERVER"
"""In the environment: what a profiler starts Python servers by, as a list in JSON."""


class ServerError(Exception):
    """The server failed, or whoever used it; with the last line that it wrote to stderr."""


@dataclass(frozen=True)
class Server:
    """A server that is listening."""

    pid: int
    addresses: list[int | str]
    """Ports, or paths of Unix sockets."""


@contextmanager
def server(kind: str, loop: str, core: int | None, argument: str = "") -> Iterator[Server]:
    """Run a server of this kind (`bench.servers`) on this loop; it ends with the block.

    Raises CannotError when the loop lacks what the server needs.
    """
    with tempfile.TemporaryFile("w+") as complaints:
        with cores.on(core):
            process = subprocess.Popen(
                _command(kind, loop, argument),
                env=peers.environment(loop, kind),
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout:
            try:
                yield _listening(process, process.stdout)
            except CannotError:
                raise
            except Exception as error:
                raise ServerError(f"{error}{_quoted(complaints)}") from error
            finally:
                process.kill()
                process.wait()


def _listening(process: subprocess.Popen[str], stdout: IO[str]) -> Server:
    line = stdout.readline()
    if not line:
        raise RuntimeError(f"the server did not start (exit status {process.wait()})")
    facts = json.loads(line)
    if "cannot" in facts:
        raise CannotError(facts["cannot"])
    return Server(process.pid, facts["addresses"])


def _quoted(complaints: IO[str]) -> str:
    complaints.seek(0)
    last = last_line(complaints.read())
    return f"; the server said: {last}" if last else ""


def last_line(text: str) -> str:
    """Where a traceback names the error."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _command(kind: str, loop: str, argument: str) -> list[str]:
    if loop in OUTSIDERS:
        return peers.command(loop, kind, argument)
    other = os.environ.get(SERVER_VARIABLE)
    command = json.loads(other) if other else [sys.executable, "-m", "bench.servers"]
    return [*command, kind, loop, argument]
