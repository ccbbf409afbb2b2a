"""The echo workloads and the handshakes: a server on one core, its load on another.

The figure is the server's CPU time per message, not its throughput: on a machine with two cores a
throughput is as much the generator's as the server's.

What else runs on the server's core makes its CPU time per message dearer, too (cold caches, fuller
batches). The kernel counts how long the server was ready to run and had to wait; the share of that
in the run is handed back, so that a disturbed run can be told from a quiet one.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import child, compiler, cores
from bench.effort import Effort
from bench.outcome import Outcome
from bench.workloads import STYLES, Shape


def run(shape: Shape, loop: str, effort: Effort) -> Outcome:
    """Microseconds of server CPU per message."""
    with tempfile.TemporaryDirectory() as folder:
        argument = {"unix": f"{folder}/echo", "readexactly": str(shape.size)}.get(shape.style, "")
        return _measure(
            f"echo_{shape.style}",
            argument,
            loop,
            STYLES[shape.style].generator,
            (*_numbers(shape), effort.warmup_seconds, effort.echo_seconds),
        )


def _numbers(shape: Shape) -> tuple[int, ...]:
    """What the generator is told about the shape."""
    if shape.style == "udp":
        return (shape.connections, shape.size)
    return (shape.connections, shape.active, shape.size)


def handshakes(loop: str, effort: Effort) -> Outcome:
    """Microseconds of server CPU per TLS connection that lives for one byte."""
    seconds = (effort.warmup_seconds, effort.echo_seconds)
    return _measure("echo_tls", "", loop, "handshakes", seconds)


def _measure(
    kind: str, argument: str, loop: str, generator: str, parameters: tuple[float, ...]
) -> Outcome:
    server_core, load_core = cores.split() or (None, None)
    with child.server(kind, loop, server_core, argument) as server:
        start, waited = time.monotonic(), _waited(server.pid)
        facts = _load(generator, (server.addresses[0], *parameters, server.pid), load_core)
        disturbance = (_waited(server.pid) - waited) / (time.monotonic() - start)
    messages, seconds = facts["messages"], facts["seconds"]
    assert isinstance(messages, int)
    assert isinstance(seconds, float)
    assert isinstance(facts["cpu_ns"], int)
    return Outcome(
        figure=facts["cpu_ns"] / messages / 1000,
        detail={
            **facts,
            "per_second": messages / seconds,
            "disturbance": disturbance,
            "server_core": server_core,
            "load_core": load_core,
        },
    )


def _waited(pid: int) -> float:
    """Seconds in which the main thread of a process was ready and another one had its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _load(generator: str, arguments: tuple[object, ...], core: int | None) -> dict[str, object]:
    """Run a generator, the Python one where the C one has not been built."""
    program = compiler.find(generator)
    command = [str(program)] if program else [sys.executable, "-m", "bench.generator", generator]
    with cores.on(core):
        process = subprocess.Popen(
            [*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
    out, _ = process.communicate()
    facts: dict[str, object] = json.loads(out) if out else {"error": "the load generator died"}
    if "error" in facts:
        raise RuntimeError(str(facts["error"]))
    return facts
