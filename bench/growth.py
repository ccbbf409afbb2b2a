"""Which workloads together show how a cost grows: one plot for each series."""

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True)
class Series:
    """Workloads that differ in one number only."""

    name: str
    title: str
    across: str
    """What grows."""
    up: str
    """What it costs, with the unit of these workloads."""
    workloads: dict[int, str]
    """Size -> workload."""


def _echo(style: str, *, sizes: tuple[str, ...], connections: tuple[int, ...]) -> dict[int, str]:
    """Echo workloads: of several sizes, or else of several numbers of connections."""
    prefix = f"echo_{style}_" if style else "echo_"
    if len(sizes) > 1:
        return {_bytes(size): f"{prefix}{size}_{connections[0]}" for size in sizes}
    return {count: f"{prefix}{sizes[0]}_{count}" for count in connections}


def _bytes(size: str) -> int:
    for letter, multiple in (("k", KIB), ("m", KIB * KIB)):
        if size.endswith(letter):
            return int(size.removesuffix(letter)) * multiple
    return int(size)


def _powers(name: str, first: int, last: int) -> dict[int, str]:
    """`name_1`, `name_10` and so on."""
    found = {}
    while first <= last:
        found[first] = f"{name}_{first}"
        first *= 10
    return found


SIZES = ("64", "1k", "16k", "100k", "1m")
MANY = (1, 10, 100, 1000, 10_000)
SOME = (1, 10, 100, 1000)
CPU = "µs of server CPU per message"

ALL = (
    Series(
        "connections",
        "Echo of 1 KiB by a Protocol",
        "connections",
        CPU,
        _echo("", sizes=("1k",), connections=MANY),
    ),
    Series(
        "connections-streams",
        "Echo of 1 KiB by read and write of streams",
        "connections",
        CPU,
        _echo("streams", sizes=("1k",), connections=SOME),
    ),
    Series(
        "connections-tls",
        "Echo of 1 KiB over TLS",
        "connections",
        CPU,
        _echo("tls", sizes=("1k",), connections=SOME),
    ),
    Series(
        "sizes",
        "Echo by a Protocol over 8 connections",
        "bytes in a message",
        CPU,
        _echo("", sizes=SIZES, connections=(8,)),
    ),
    Series(
        "sizes-streams",
        "Echo by read and write of streams over 8 connections",
        "bytes in a message",
        CPU,
        _echo("streams", sizes=SIZES, connections=(8,)),
    ),
    Series(
        "sizes-tls",
        "Echo over 8 TLS connections",
        "bytes in a message",
        CPU,
        _echo("tls", sizes=SIZES, connections=(8,)),
    ),
    Series(
        "tasks",
        "A switch between tasks",
        "tasks",
        "ns per switch",
        _powers("tasks", 10, 100_000),
    ),
    Series(
        "timers",
        "Setting a timer and cancelling it",
        "timers pending",
        "ns per timer",
        _powers("timers", 1, 1_000_000),
    ),
    Series(
        "idle",
        "Memory of an idle connection of a Protocol",
        "connections",
        "KiB per connection",
        _powers("idle_connection", 100, 10_000),
    ),
    Series(
        "idle-streams",
        "Memory of an idle connection of streams",
        "connections",
        "KiB per connection",
        _powers("idle_stream", 100, 10_000),
    ),
    Series(
        "idle-tasks",
        "Memory of a task that waits",
        "tasks",
        "KiB per task",
        _powers("idle_task", 1000, 100_000),
    ),
    Series(
        "idle-timers",
        "Memory of a pending timer",
        "timers",
        "KiB per timer",
        _powers("idle_timer", 1000, 1_000_000),
    ),
)
"""In the order of the page."""


def find(names: list[str]) -> list[Series]:
    """The series of these names, or all; raises KeyError for a name that there is not."""
    known = {series.name: series for series in ALL}
    return [known[name] for name in names] if names else list(ALL)


def workloads(series: list[Series]) -> list[str]:
    """The names of their workloads, each once."""
    return list(dict.fromkeys(name for one in series for name in one.workloads.values()))
