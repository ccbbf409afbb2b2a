"""The memory workloads: what one more idle connection costs a server.

Private memory is taken, not resident memory: pages of the interpreter and its libraries that other
processes share would come and go with what else runs. The kernel's own memory for a socket is not
in it, and is the same for every loop. The clients' ends are held by this process, another one.
"""

import json
import resource
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import TextIO

from bench import child, cores
from bench.effort import Effort
from bench.outcome import Outcome
from bench.tls import client_context

HOST = "127.0.0.1"
FIRST = 16
"""Connections opened, and kept, before the first reading: what a server makes once is made then."""
SPARE_DESCRIPTORS = 64
PATIENCE_SECONDS = 30.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that closes with a reset: no connection stays in TIME_WAIT to disturb the next run."""


@dataclass(frozen=True)
class Reading:
    """A server's answer; memory in bytes."""

    accepted: int
    private: int
    resident: int


class Control:
    """The connection over which a server tells what it holds."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS)
        self._file: TextIO = self._socket.makefile("rw")

    def read(self) -> Reading:
        self._file.write("?\n")
        self._file.flush()
        return Reading(**json.loads(self._file.readline()))

    def read_when(self, accepted: int) -> Reading:
        """The reading once this many connections have been accepted.

        The connection's own messages are read twice, so that the answer to be used is not the one
        in which the last handlers are still being started.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.read().accepted < accepted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not accept {accepted} connections")
            time.sleep(0.01)
        self.read()
        return self.read()


def run(kind: str, loop: str, effort: Effort) -> Outcome:
    """KiB of private memory per idle connection."""
    context = client_context() if kind == "idle_tls" else None
    wanted = effort.connections if context is None else effort.tls_connections
    count = min(wanted, _raise_limit() - FIRST - SPARE_DESCRIPTORS)
    server_core, own_core = cores.split() or (None, None)
    with child.server(kind, loop, server_core) as server, cores.on(own_core):
        port, control_port = map(int, server.addresses)
        control = Control(control_port)
        held = _open(port, FIRST, context)
        before = control.read_when(FIRST)
        held += _open(port, count, context)
        after = control.read_when(FIRST + count)
        for connection in held:
            connection.close()
    return Outcome(
        figure=(after.private - before.private) / count / 1024,
        detail={
            "connections": count,
            "private_before": before.private,
            "private_after": after.private,
            "resident_before": before.resident,
            "resident_after": after.resident,
        },
    )


def _raise_limit() -> int:
    """Allow as many descriptors as the system lets us have; the server does the same."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most if most != resource.RLIM_INFINITY else 1 << 20


def _use(connection: socket.socket) -> None:
    """Have a message echoed: a connection that was never used has not made its buffers yet."""
    message = bytes(1024)
    connection.sendall(message)
    left = len(message)
    while left:
        got = len(connection.recv(left))
        if not got:
            raise RuntimeError("the server closed a connection")
        left -= got


def _open(port: int, count: int, context: ssl.SSLContext | None) -> list[socket.socket]:
    opened = []
    for _ in range(count):
        connection = socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if context is not None:
            connection = context.wrap_socket(connection)
            _use(connection)
        opened.append(connection)
    return opened
