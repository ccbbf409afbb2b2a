"""The load generator for machines without a C compiler: what bench/c/load.c does, in Python.

It takes the same arguments and prints the same line. It costs more than the server it drives, so
that throughput and latency are its own; the server's CPU time per message remains usable, with the
difference that the server is less loaded and so handles fewer messages in one turn.
"""

import itertools
import json
import selectors
import socket
import statistics
import sys
import time

HOST = "127.0.0.1"
STALL_SECONDS = 5.0
STAMP = 8


class LoadError(Exception):
    """The server did something an echo server must not."""


class Connection:
    """One connection with one message in flight."""

    def __init__(self, number: int, port: int, payload: bytes) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._number = number
        self._ordinals = itertools.count()
        self._payload = payload

    def begin(self, now: int) -> None:
        """Start sending the next message."""
        stamp = self._number.to_bytes(4, "little") + next(self._ordinals).to_bytes(4, "little")
        size = len(self._payload)
        self._message = stamp[:size] + self._payload[STAMP:]
        self._unsent = memoryview(self._message)
        self._returned = bytearray()
        self.started = now
        self.push()

    @property
    def events(self) -> int:
        """What the connection waits for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def push(self) -> None:
        """Send what the kernel takes of the rest."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass

    def pull(self) -> bool:
        """Receive; True when the whole message came back, unchanged."""
        try:
            got = self.socket.recv(262144)
        except BlockingIOError:
            return False
        if not got:
            raise LoadError("the server closed a connection")
        self._returned += got
        if len(self._returned) > len(self._message) - len(self._unsent):
            raise LoadError("more bytes came back than were sent")
        if len(self._returned) < len(self._message):
            return False
        if self._returned != self._message:
            raise LoadError("other bytes came back than were sent")
        return True


class Load:
    """All connections, and the latencies of the messages that came back."""

    def __init__(self, port: int, connections: int, size: int) -> None:
        payload = bytes((i * 31 + (i >> 8)) & 0xFF for i in range(size))
        self._selector = selectors.DefaultSelector()
        self._connections = [Connection(i, port, payload) for i in range(connections)]
        self.latencies: list[int] = []

    def begin(self) -> None:
        for connection in self._connections:
            connection.begin(time.monotonic_ns())
            self._selector.register(connection.socket, connection.events, connection)

    def run_until(self, end: int) -> None:
        while time.monotonic_ns() < end:
            ready = self._selector.select(STALL_SECONDS)
            if not ready:
                raise LoadError("the server sent nothing for 5 seconds")
            for key, events in ready:
                self._serve(key.data, key.events, events)

    def _serve(self, connection: Connection, watched: int, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.push()
        if events & selectors.EVENT_READ and connection.pull():
            now = time.monotonic_ns()
            self.latencies.append(now - connection.started)
            connection.begin(now)
        if connection.events != watched:
            self._selector.modify(connection.socket, connection.events, connection)


def process_clock(pid: int) -> int:
    """The id of the CPU clock of a process, in Linux's encoding (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def run(
    port: int, connections: int, size: int, warmup: float, seconds: float, pid: int
) -> dict[str, object]:
    load = Load(port, connections, size)
    load.begin()
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
        "p99_us": percentiles[98] / 1000,
    }


def main(arguments: list[str]) -> int:
    port, connections, size, warmup, seconds, pid = arguments
    try:
        facts = run(int(port), int(connections), int(size), float(warmup), float(seconds), int(pid))
    except (LoadError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
