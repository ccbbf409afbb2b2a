"""The echo workloads and the handshakes: what the server and the generator of each are told."""

import tempfile

from bench import served
from bench.effort import Effort
from bench.outcome import Outcome
from bench.workloads import STYLES, Shape


def run(shape: Shape, loop: str, effort: Effort) -> Outcome:
    """Microseconds of server CPU per message."""
    with tempfile.TemporaryDirectory() as folder:
        argument = {"unix": f"{folder}/echo", "readexactly": str(shape.size)}.get(shape.style, "")
        return served.measure(
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
    return served.measure("echo_tls", "", loop, "handshakes", seconds)
