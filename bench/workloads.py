"""The catalogue: every workload's name, kind, unit and meaning. It runs nothing."""

import re
from dataclasses import dataclass
from typing import Literal, cast

from bench.loops import LIMIT, MODULES
from bench.micro import PROGRAMS

Kind = Literal["micro", "echo", "idle", "import"]
Style = Literal["protocol", "streams", "sockets"]


@dataclass(frozen=True)
class Workload:
    """What a name on the command line stands for."""

    name: str
    kind: Kind
    unit: str
    what: str
    relative: bool = True
    """Whether dividing by another loop's figure means anything."""
    limited: bool = False
    """Whether the C server can run it, too."""

    def contestants(self, loops: list[str]) -> list[str]:
        """Those of `loops` that can run this workload."""
        return [name for name in loops if name in MODULES or (name == LIMIT and self.limited)]


SERVERS: dict[Style, str] = {
    "protocol": "a protocol server",
    "streams": "a stream server",
    "sockets": "a server on sock_recv and sock_sendall",
}


@dataclass(frozen=True)
class Shape:
    """The parameters of an echo workload: its name, echo[_STYLE]_SIZE_CONNECTIONS."""

    style: Style
    size: int
    """Bytes in a message."""
    connections: int

    @classmethod
    def parse(cls, name: str) -> "Shape | None":
        """The shape that a name describes (`echo_4k_50`); None when it describes none."""
        match = re.fullmatch(r"echo_(?:(streams|sockets)_)?([1-9]\d{0,5})(k?)_([1-9]\d{0,3})", name)
        if match is None:
            return None
        style, size, kilo, connections = match.groups()
        return cls(
            style=cast(Style, style or "protocol"),
            size=int(size) * (1024 if kilo else 1),
            connections=int(connections),
        )

    def workload(self, name: str) -> Workload:
        messages = f"{self.size:,}-byte messages over {self.connections} connection(s)"
        server = SERVERS[self.style]
        return Workload(
            name,
            kind="echo",
            unit="µs",
            what=f"server CPU per message, user and system: {server} echoes {messages}",
            limited=self.style == "protocol",
        )


ECHOES = (
    "echo_1k_100",
    "echo_100k_8",
    "echo_1k_1",
    "echo_streams_1k_100",
    "echo_sockets_1k_100",
)
"""The shapes measured by default; any other one can be asked for by its name."""


def find(name: str) -> Workload | None:
    """The workload of this name; None when there is none."""
    known = CATALOGUE.get(name)
    if known is not None:
        return known
    shape = Shape.parse(name)
    return shape.workload(name) if shape else None


def _catalogue() -> dict[str, Workload]:
    entries = [
        Workload(name, kind="micro", unit="ns", what=micro.what) for name, micro in PROGRAMS.items()
    ]
    for name in ECHOES:
        shape = Shape.parse(name)
        assert shape is not None
        entries.append(shape.workload(name))
    entries += [
        Workload(
            "idle_connection",
            kind="idle",
            unit="KiB",
            what="private memory per idle connection of a server with a minimal Protocol",
        ),
        Workload(
            "idle_stream",
            kind="idle",
            unit="KiB",
            what="private memory per idle connection of a handler awaiting reader.read(1)",
        ),
        Workload(
            "import",
            kind="import",
            unit="ms",
            what="what importing the loop costs more than importing asyncio",
            relative=False,
        ),
    ]
    return {workload.name: workload for workload in entries}


CATALOGUE = _catalogue()
