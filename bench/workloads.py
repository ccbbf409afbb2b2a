"""The catalogue: every workload's name, kind, unit and meaning. It runs nothing."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from bench import growing
from bench.loops import LIMIT, MODULES, NODE, OUTSIDERS, PATCH, STOCK
from bench.micro import PROGRAMS
from bench.primitives import PRIMITIVES

Kind = Literal[
    "micro",
    "echo",
    "handshakes",
    "idle",
    "memory",
    "spawn",
    "import",
    "startup",
    "program",
]
Wire = Literal["tcp", "unix", "tls", "udp"]


@dataclass(frozen=True)
class Workload:
    """What a name on the command line stands for."""

    name: str
    kind: Kind
    unit: str
    what: str
    relative: bool = True
    """Whether dividing by another loop's figure means anything."""
    peers: tuple[str, ...] = ()
    """The programs that are no Python loops and take part."""
    patched: bool = False
    """Whether transports put into another loop take part."""
    named: bool = False
    """Whether it uses names of which the subject has its own; stock ones then take part as well."""

    def contestants(self, loops: list[str]) -> list[str]:
        """Those of `loops` that take part in this workload."""
        absent = {PATCH: not self.patched, STOCK: not self.named}
        absent |= {name: name not in self.peers for name in OUTSIDERS}
        return [name for name in loops if not absent.get(name, name not in MODULES)]


@dataclass(frozen=True)
class Style:
    """How an echo server is written, and what it speaks."""

    what: str
    wire: Wire = "tcp"
    peers: tuple[str, ...] = ()
    """The programs that are no Python loops and can stand in for it."""
    patched: bool = False
    named: bool = False

    @property
    def generator(self) -> str:
        """The program that drives it."""
        return "load" if self.wire in ("tcp", "unix") else f"load_{self.wire}"


STYLES = {
    "protocol": Style("a Protocol", peers=OUTSIDERS, patched=True),
    "streams": Style("read and write of streams", named=True),
    "sock": Style("sock_recv and sock_sendall, a task for each connection,"),
    "buffered": Style("a BufferedProtocol"),
    "readexactly": Style("readexactly and drain of streams", named=True),
    "readline": Style("readline and drain of streams", named=True),
    "tls": Style("a Protocol over TLS", wire="tls", peers=(NODE,), patched=True),
    "unix": Style("a Protocol on a Unix socket", wire="unix", peers=(NODE, LIMIT)),
    "active": Style("a Protocol", peers=OUTSIDERS, patched=True),
    "udp": Style("a DatagramProtocol", wire="udp", peers=(NODE, LIMIT)),
}

_ECHO = re.compile(rf"echo(?:_({'|'.join(STYLES)}))?_([1-9]\d{{0,5}})(k|m|)_([1-9]\d{{0,4}})")
_MULTIPLE = {"": 1, "k": 1024, "m": 1024 * 1024}
_LARGEST_DATAGRAM = 60_000
_LARGEST_MESSAGE = 64 * 1024 * 1024
_MOST_CONNECTIONS = 16_000
"""A process may often have 20,000 descriptors, and no more."""
_ACTIVE_SHARE = 100
"""Of so many connections one is active, where most are idle."""


@dataclass(frozen=True)
class Shape:
    """The parameters of an echo workload, which are its name: echo[_STYLE]_SIZE_CONNECTIONS."""

    style: str
    size: int
    """Bytes in a message."""
    connections: int

    @property
    def active(self) -> int:
        """How many of the connections send anything."""
        return (
            max(1, self.connections // _ACTIVE_SHARE)
            if self.style == "active"
            else self.connections
        )

    @classmethod
    def parse(cls, name: str) -> "Shape | None":
        """The shape that a name describes (`echo_4k_50`); None when it describes none."""
        match = _ECHO.fullmatch(name)
        if match is None:
            return None
        style, size, multiple, connections = match.groups()
        shape = cls(
            style=style or "protocol",
            size=int(size) * _MULTIPLE[multiple],
            connections=int(connections),
        )
        largest = _LARGEST_DATAGRAM if style == "udp" else _LARGEST_MESSAGE
        possible = shape.size <= largest and shape.connections <= _MOST_CONNECTIONS
        return shape if possible else None

    def workload(self, name: str) -> Workload:
        style = STYLES[self.style]
        messages = f"{self.size:,}-byte messages over {self.connections:,} connection(s)"
        if self.style == "active":
            messages += f", of which {self.active:,} are active"
        if style.wire == "udp":
            messages = f"{self.size:,}-byte datagrams of {self.connections} client(s)"
        return Workload(
            name,
            kind="echo",
            unit="µs",
            what=f"server CPU per message, user and system: {style.what} echoes {messages}",
            peers=style.peers,
            patched=style.patched,
            named=style.named,
        )


ECHOES = (
    "echo_1k_100",
    "echo_100k_8",
    "echo_1k_1",
    "echo_active_1k_10000",
    "echo_buffered_1k_100",
    "echo_sock_1k_100",
    "echo_streams_1k_100",
    "echo_readexactly_1k_100",
    "echo_readline_1k_100",
    "echo_unix_1k_100",
    "echo_udp_512_8",
    "echo_tls_1k_8",
    "echo_tls_100k_8",
)
"""The shapes measured by default; any other one can be asked for by its name."""

OTHERS = (
    Workload(
        "tls_handshakes",
        kind="handshakes",
        unit="µs",
        what="server CPU per TLS connection: full handshake, one byte echoed, close",
        peers=(NODE,),
        patched=True,
    ),
    Workload(
        "idle_connection",
        kind="idle",
        unit="KiB",
        what="private memory per idle connection of a server with a minimal Protocol",
        peers=(NODE,),
    ),
    Workload(
        "idle_stream",
        kind="idle",
        unit="KiB",
        what="private memory per idle connection of a handler awaiting reader.read(1)",
        named=True,
    ),
    Workload(
        "idle_tls",
        kind="idle",
        unit="KiB",
        what="private memory per idle TLS connection with a minimal Protocol, after one echo",
        peers=(NODE,),
        patched=True,
    ),
    Workload(
        "idle_task",
        kind="memory",
        unit="KiB",
        what="private memory per task that waits for a future",
    ),
    Workload(
        "idle_timer",
        kind="memory",
        unit="KiB",
        what="private memory per pending call_later",
    ),
    Workload(
        "spawn_true",
        kind="spawn",
        unit="ms",
        what='from create_subprocess_exec("true") to the end of wait(), one after the other',
    ),
    Workload(
        "import",
        kind="import",
        unit="ms",
        what="what importing the loop costs more than importing asyncio",
        relative=False,
    ),
    Workload(
        "startup",
        kind="startup",
        unit="ms",
        what="python -c with an empty main() run on the loop, from start to end",
    ),
)

APPLIED = (
    Workload(
        "uvicorn_hello",
        kind="program",
        unit="µs",
        what="server CPU per request: uvicorn with httptools, an ASGI program that says hello",
        peers=(NODE,),
        patched=True,
    ),
    Workload(
        "fastapi_json",
        kind="program",
        unit="µs",
        what="server CPU per request: FastAPI on uvicorn, a model of four fields as JSON",
        peers=(NODE,),
        patched=True,
    ),
    Workload(
        "aiohttp_hello",
        kind="program",
        unit="µs",
        what="server CPU per request: aiohttp's server says hello",
        peers=(NODE,),
        patched=True,
    ),
    Workload(
        "websockets_broadcast",
        kind="program",
        unit="µs",
        what="server CPU per delivered message: websockets sends 100 bytes to 1,000 clients",
        peers=(NODE,),
        patched=True,
        named=True,
    ),
    Workload(
        "tcp_proxy",
        kind="program",
        unit="µs",
        what="CPU per 1,024-byte message to a backend and back: streams, 100 connections",
        peers=(NODE,),
        patched=True,
        named=True,
    ),
    Workload(
        "redis_pipeline",
        kind="program",
        unit="µs",
        what="client CPU per command: redis-py, 10 connections, pipelines of 100 commands",
        patched=True,
        named=True,
    ),
    Workload(
        "asyncpg_select",
        kind="program",
        unit="µs",
        what="client CPU per query: asyncpg, 10 connections, one row by its key",
        patched=True,
    ),
    Workload(
        "crawler",
        kind="program",
        unit="µs",
        what="client CPU per page: aiohttp, 100 pages at a time, each comes after up to 20 ms",
        patched=True,
        named=True,
    ),
)
"""Programs that people run. On the subject they run as its users would: after its `install()`."""


def find(name: str) -> Workload | None:
    """The workload of this name; None when there is none."""
    known = CATALOGUE.get(name)
    if known is not None:
        return known
    if growing.known(name):
        return Workload(name, kind="micro", unit="ns", what=growing.micro(name).what)
    if many := crowd(name):
        kind, count = many
        idle = CATALOGUE[kind]
        return replace(idle, name=name, what=f"{idle.what}, {count:,} of them")
    shape = Shape.parse(name)
    return shape.workload(name) if shape else None


_CROWD = re.compile(r"(idle_[a-z]+)_([1-9]\d{0,6})")


def crowd(name: str) -> tuple[str, int] | None:
    """The memory workload of the catalogue and the number in `idle_connection_100`."""
    match = _CROWD.fullmatch(name)
    return (match[1], int(match[2])) if match and match[1] in CATALOGUE else None


def _catalogue() -> dict[str, Workload]:
    entries = [
        Workload(name, kind="micro", unit="ns", what=micro.what) for name, micro in PROGRAMS.items()
    ]
    entries += [
        Workload(name, kind="micro", unit="ns", what=primitive.what, named=True)
        for name, primitive in PRIMITIVES.items()
    ]
    for name in ECHOES:
        shape = Shape.parse(name)
        assert shape is not None
        entries.append(shape.workload(name))
    return {workload.name: workload for workload in (*entries, *OTHERS, *APPLIED)}


CATALOGUE = _catalogue()
