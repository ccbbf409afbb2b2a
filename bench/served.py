"""A server on one core, its load on another, and the server's CPU time per message.

A generator in C that has its core for itself polls without sleeping: see c/measure.h. Where its
core is also the server's, or that of a backend, it sleeps as programs do.

The figure is not throughput: on a machine with two cores a throughput is as much the generator's as
the server's.

What else runs on the server's core makes its CPU time per message dearer, too (cold caches, fuller
batches). The kernel counts how long the server was ready to run and had to wait; the share of that
in the run is handed back, so that a disturbed run can be told from a quiet one.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench import child, compiler, cores
from bench.loads import LOADS
from bench.loops import CannotError
from bench.outcome import Outcome


def measure(
    kind: str,
    argument: str,
    loop: str,
    generator: str,
    parameters: tuple[object, ...],
    *,
    shared: bool = False,
) -> Outcome:
    """Microseconds of server CPU per message that the generator counts.

    `shared` says that something else works on the generator's core.
    """
    server_core, load_core = cores.split() or (None, None)
    command = _command(generator)
    with child.server(kind, loop, server_core, argument) as server:
        start, before = time.monotonic(), waited(server.pid)
        spins = load_core is not None and not shared
        whole = [*command, server.addresses[0], *parameters, server.pid]
        facts = _load(whole, load_core, spins)
        disturbance = (waited(server.pid) - before) / (time.monotonic() - start)
    messages, seconds = facts["messages"], facts["seconds"]
    assert isinstance(messages, int)
    assert isinstance(seconds, float)
    assert isinstance(facts["cpu_ns"], int)
    return Outcome(
        figure=facts["cpu_ns"] / messages / 1000,
        detail={
            **facts,
            "per_second": messages / seconds,
            **_sleeps(facts, messages),
            "spins": spins,
            "disturbance": disturbance,
            "server_core": server_core,
            "load_core": load_core,
        },
    )


def _sleeps(facts: dict[str, object], messages: int) -> dict[str, float]:
    """How often generator and server slept, per 1,000 messages, as far as that was counted."""
    found = {}
    for key in ("sleeps", "server_sleeps"):
        count = facts.get(key)
        if isinstance(count, int):
            found[f"{key}_per_1000"] = 1000 * count / messages
    return found


def waited(pid: int) -> float:
    """Seconds in which the main thread of a process was ready and another one had its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _command(generator: str) -> list[object]:
    """The generator, the Python one where there is one and the C one has not been built."""
    program = compiler.find(generator)
    if program is not None:
        return [program]
    if generator not in LOADS:
        raise CannotError(f"the load generator {generator} has not been built")
    return [sys.executable, "-m", "bench.generator", generator]


def _load(command: list[object], core: int | None, spins: bool) -> dict[str, object]:
    environment = {**os.environ, "BENCH_SPINS": "1" if spins else "0"}
    with cores.on(core):
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, text=True, env=environment
        )
    out, _ = process.communicate()
    facts: dict[str, object] = json.loads(out) if out else {"error": "the load generator died"}
    if "error" in facts:
        raise RuntimeError(str(facts["error"]))
    return facts
