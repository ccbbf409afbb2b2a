"""A Python that workers run under, what it has installed, and how a worker is run by it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import peers
from bench.child import last_line
from bench.effort import Size
from bench.loops import ENVIRONMENT, LIMIT
from bench.outcome import Outcome

ROOT = Path(__file__).parent.parent
OLDEST = (3, 11)
PROBE_SECONDS = 60.0
RUN_SECONDS = 150.0
"""After this long a worker is stuck; a server's own lifetime is a little longer."""
NOTHING: Mapping[str, str] = {}


class UnusableError(Exception):
    """This is not a Python that can run the benchmark."""


@dataclass(frozen=True)
class Interpreter:
    """A usable interpreter."""

    path: str
    version: str
    implementation: str
    build: str
    versions: dict[str, str]
    """Loop -> version of its package, for the loops that work."""
    obstacles: dict[str, str]
    """Loop -> why it cannot be measured, for the others."""
    packages: dict[str, str] = field(default_factory=dict)
    """Package or server -> its version, of those that the real programs need and that are there."""


def inspect(path: str, limit_obstacle: str | None) -> Interpreter:
    """Ask the interpreter at `path` about itself.

    `limit_obstacle` says why the C server is missing, None when it has been built.
    """
    found = shutil.which(path)
    if found is None:
        raise UnusableError(f"{path} is not a program")
    try:
        status, out, err = _run(found, ["probe"], PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnusableError(f"{path} cannot be run: {error}") from error
    try:
        facts = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        reason = last_line(err) or f"exit status {status}"
        raise UnusableError(
            f"{path} is not a Python of {OLDEST[0]}.{OLDEST[1]} or later: {reason}"
        ) from None
    versions = {name: loop["version"] for name, loop in facts["loops"].items() if "version" in loop}
    obstacles = {
        name: loop["obstacle"] for name, loop in facts["loops"].items() if "obstacle" in loop
    }
    for name, peer in peers.look().items():
        if peer.obstacle:
            obstacles[name] = peer.obstacle
        else:
            versions[name] = peer.version
    if limit_obstacle is not None:
        obstacles[LIMIT] = limit_obstacle
    return Interpreter(
        path=found,
        version=facts["version"],
        implementation=facts["implementation"],
        build=facts["build"],
        versions=versions,
        obstacles=obstacles,
        packages=facts["packages"],
    )


def run(interpreter: Interpreter, workload: str, loop: str, size: Size) -> Outcome:
    """Run one worker to its end; whatever goes wrong becomes the outcome's error."""
    arguments = [workload, loop, size]
    try:
        status, out, err = _run(interpreter.path, arguments, RUN_SECONDS, ENVIRONMENT.get(loop, {}))
    except subprocess.TimeoutExpired:
        return Outcome(error=f"not finished after {RUN_SECONDS:.0f} s")
    try:
        return Outcome(**json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return Outcome(error=_ending(status, err))


def _ending(status: int, err: str) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}: {last_line(err)}"


def _run(
    path: str, arguments: list[str], seconds: float, extra: Mapping[str, str] = NOTHING
) -> tuple[int, str, str]:
    """Run `PATH -m bench.worker`; nothing it started outlives this call."""
    process = start(path, arguments, extra)
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException:  # an interrupt, too, must not leave a server behind
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def start(
    path: str, arguments: list[str], extra: Mapping[str, str] = NOTHING
) -> subprocess.Popen[str]:
    """Start `PATH -m bench.worker`, with `extra` in its environment.

    The worker leads a session of its own, so that its servers can be ended with it.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [path, "-m", "bench.worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
