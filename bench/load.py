"""What the Python generators have in common: bench/c/measure.h in Python."""

import socket
import statistics
import time
from typing import Protocol

HOST = "127.0.0.1"
STALL_SECONDS = 5.0
STAMP = 8


class LoadError(Exception):
    """The server did something an echo server must not."""


class Load(Protocol):
    """Something that keeps a server busy."""

    latencies: list[int]
    """Nanoseconds that each operation took."""
    facts: dict[str, object]
    """What else there is to tell."""

    def run_until(self, end: int) -> None: ...


def dial(where: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket connected to a port of this host or to the path of a Unix socket."""
    family = socket.AF_UNIX if where.startswith("/") else socket.AF_INET
    made = socket.socket(family, kind)
    made.connect(where if family == socket.AF_UNIX else (HOST, int(where)))
    if family == socket.AF_INET and kind == socket.SOCK_STREAM:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def payload(size: int) -> bytes:
    """Bytes in which there is no line feed, but for the last one: a server may read by the line."""
    table = bytes(13 if byte == 10 else byte for byte in range(256))
    return bytes((i * 31 + (i >> 8)) & 0xFF for i in range(size)).translate(table)[:-1] + b"\n"


def stamped(message: bytes, sender: int, ordinal: int) -> bytes:
    """The message with who sends, and which of its messages this is; no line feed in it either."""
    number = sender << 35 | ordinal
    stamp = bytes(0x80 | (number >> 7 * i) & 0x7F for i in range(STAMP))[: len(message) - 1]
    return stamp + message[len(stamp) :]


def process_clock(pid: int) -> int:
    """The id of the CPU clock of a process, in Linux's encoding (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def measure(load: Load, warmup: float, seconds: float, pid: int) -> dict[str, object]:
    """Run through the warm-up and the measured interval; return the figures."""
    load.run_until(time.monotonic_ns() + int(warmup * 1e9))
    load.latencies.clear()
    clock = process_clock(pid)
    cpu, start = time.clock_gettime_ns(clock), time.monotonic_ns()
    load.run_until(start + int(seconds * 1e9))
    cpu, elapsed = time.clock_gettime_ns(clock) - cpu, time.monotonic_ns() - start
    if len(load.latencies) < 2:
        raise LoadError("no message came back in the measured interval")
    percentiles = statistics.quantiles(load.latencies, n=100)
    return {
        "generator": "python",
        "messages": len(load.latencies),
        "seconds": elapsed / 1e9,
        "cpu_ns": cpu,
        "p50_us": percentiles[49] / 1000,
        "p90_us": percentiles[89] / 1000,
        "p99_us": percentiles[98] / 1000,
        **load.facts,
    }
