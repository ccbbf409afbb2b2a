"""`python -m bench.fanout`: rooms over WebSockets, compared with other libraries for them.

What takes part are applications, not loops, which is why this is a program of its own and not a
workload of `python -m bench`. It measures, in rounds in which the contestants take turns:

- `hub_fanout`: microseconds of the server's CPU time for each delivery of a 128 B message to 5,000
  subscribers in one process. Clients and server have a core each; see bench/c/fanout_load.c.
- `idle_websockets`: KiB of resident memory for each of 15,000 connections that say nothing. Clients
  offer compression, as browsers do: uvicorn's own protocol accepts that by default, treadle.web
  never does. A row without the offer shows what that makes.
- `never_reading`: KiB by which resident memory grows while 100,000 messages are published to one
  client that does not read.

Results are printed as a table; `--json FILE` keeps everything raw, `--page FOLDER` writes
`rooms.md` and `rooms.json`. `--quick` sees that all of it works.
"""

import argparse
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from bench import compiler, cores, machine
from bench.child import last_line
from bench.echoes import HOST
from bench.rooms import CONTESTANTS, HUB_JOIN, Contestant
from bench.served import waited

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
SIZE = 128
BOUND = ((1 << 20) + (64 << 10)) / 1024
"""KiB that may wait for one client: `Limits.queue_bytes`, and the transport's high-water mark."""
FIRST = 16
"""Idle connections opened before the first reading: what a server makes once is made then."""


@dataclass(frozen=True)
class Effort:
    rounds: int
    subscribers: int
    warmup: float
    seconds: float
    idle: int
    messages: int
    """Published to the client that does not read."""


FULL = Effort(rounds=3, subscribers=5000, warmup=1.0, seconds=4.0, idle=15_000, messages=100_000)
QUICK = Effort(rounds=1, subscribers=200, warmup=0.1, seconds=0.5, idle=500, messages=5_000)


@dataclass
class Row:
    """One contestant in one measurement."""

    workload: str
    name: str
    label: str
    unit: str
    figures: list[float] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""

    @property
    def figure(self) -> float | None:
        return statistics.median(self.figures) if self.figures else None


@dataclass(frozen=True)
class Server:
    pid: int
    port: int

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=120) as response:
            return json.load(response)

    def resident(self) -> int:
        return int(self.ask("/memory")["resident"])


@contextmanager
def serving(name: str) -> Iterator[Server]:
    """A contestant's server; it ends with the block."""
    core, _ = cores.split() or (None, None)
    command = [sys.executable, "-m", "bench.rooms", name]
    with tempfile.TemporaryFile("w+") as complaints:
        with cores.on(core):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
        try:
            assert process.stdout is not None
            with process.stdout:
                facts = json.loads(process.stdout.readline() or '{"cannot": "it did not start"}')
                if "cannot" in facts:
                    raise RuntimeError(facts["cannot"])
                yield Server(process.pid, facts["port"])
        except Exception as error:
            complaints.seek(0)
            said = last_line(complaints.read())
            raise RuntimeError(f"{error}{'; the server said: ' if said else ''}{said}") from error
        finally:
            process.kill()
            process.wait()


@contextmanager
def clients(
    server: Server, contestant: Contestant, *numbers: float, headers: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """The load generator, on the other core: `numbers` are CLIENTS SIZE WARMUP SECONDS."""
    built = compiler.build("fanout_load")
    if built.path is None:
        raise RuntimeError(built.obstacle)
    language = contestant.language
    words = [language.path, headers, language.join, language.ready]
    words += [language.prefix, language.suffix]
    command = [str(built.path), str(server.port), *map(str, numbers), str(server.pid), *words]
    _, core = cores.split() or (None, None)
    pipe = subprocess.PIPE
    with cores.on(core):
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(out: IO[str] | None) -> dict[str, Any]:
    """The line of a load generator."""
    assert out is not None
    facts: dict[str, Any] = json.loads(out.readline() or '{"error": "the load generator died"}')
    if "error" in facts:
        raise RuntimeError(str(facts["error"]))
    return facts


def fan_out(name: str, effort: Effort) -> tuple[float, dict[str, Any]]:
    """Microseconds of the server's CPU time per delivery."""
    numbers = (effort.subscribers, SIZE, effort.warmup, effort.seconds)
    with serving(name) as server, clients(server, CONTESTANTS[name], *numbers) as load:
        before = waited(server.pid)
        facts = told(load.stdout)
        facts["server_waited"] = waited(server.pid) - before
        facts["resident"] = server.resident()
    return facts["cpu_ns"] / facts["messages"] / 1000, facts


def idle(name: str, effort: Effort, headers: str) -> tuple[float, dict[str, Any]]:
    """KiB of resident memory per connection."""
    contestant = CONTESTANTS[name]
    with serving(name) as server:
        with clients(server, contestant, FIRST, 0, 0, 0, headers=headers) as few:
            told(few.stdout)
            before = server.resident()
            with clients(server, contestant, effort.idle, 0, 0, 0, headers=headers) as many:
                told(many.stdout)
                after = server.resident()
    facts = {"connections": effort.idle, "resident_before": before, "resident_after": after}
    return (after - before) / effort.idle / 1024, facts


def never_reading(name: str, effort: Effort) -> tuple[float, dict[str, Any]]:
    """KiB by which a server grows that publishes to a client that does not read."""
    with serving(name) as server, socket.socket() as peer:
        server.ask(f"/publish/{effort.messages // 10}")  # the room's history is full
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect((HOST, server.port))
        join_and_stop_reading(peer)
        before = server.resident()
        counts = server.ask(f"/publish/{effort.messages}")
        after = server.resident()
    facts = {"messages": effort.messages, "resident_before": before, "resident_after": after}
    return (after - before) / 1024, facts | counts


def join_and_stop_reading(peer: socket.socket) -> None:
    peer.sendall(
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
    )
    _hear(peer, b"\r\n\r\n")
    join = HUB_JOIN.encode()
    peer.sendall(bytes([0x81, 0x80 | len(join), 0, 0, 0, 0]) + join)
    _hear(peer, b'"joined"')


def _hear(peer: socket.socket, what: bytes) -> None:
    heard = b""
    while what not in heard:
        more = peer.recv(4096)
        if not more:
            raise RuntimeError("the server closed the connection")
        heard += more


Measure = Callable[[str, Effort], tuple[float, dict[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """A row of the table: who is measured, and how."""

    workload: str
    name: str
    unit: str
    measure: Measure
    remark: str = ""


def offered(name: str, effort: Effort) -> tuple[float, dict[str, Any]]:
    return idle(name, effort, OFFER)


def not_offered(name: str, effort: Effort) -> tuple[float, dict[str, Any]]:
    return idle(name, effort, "")


DELIVERY = "us CPU per delivery"
CONNECTION = "KiB per connection"
ENTRIES = (
    *(
        Entry("hub_fanout", name, DELIVERY, fan_out)
        for name in ("hub", "hub-uvloop", "hub-pull", "socketio", "litestar")
    ),
    Entry("idle_websockets", "hub", CONNECTION, offered),
    Entry("idle_websockets", "silent-web", CONNECTION, offered),
    Entry("idle_websockets", "silent", CONNECTION, offered, "compressed"),
    Entry("idle_websockets", "silent", CONNECTION, not_offered, "not compressed"),
    Entry("never_reading", "hub", "KiB more", never_reading),
    Entry("never_reading", "hub-pull", "KiB more", never_reading),
)


@dataclass(frozen=True)
class Verdict:
    """A target, and whether it was met."""

    target: str
    ratio: float | None
    met: bool


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    figures = {(row.workload, row.label): row.figure for row in rows if row.figure is not None}

    def ratio(workload: str, mine: str, others: Sequence[str]) -> float | None:
        own = figures.get((workload, label_of(mine)))
        found = [figures[workload, other] for other in others if (workload, other) in figures]
        return own / min(found) if own is not None and len(found) == len(others) else None

    half = ratio("hub_fanout", "hub", [label_of("socketio"), label_of("litestar")])
    third = ratio("idle_websockets", "hub", [label_of("silent", "compressed")])
    plain = ratio("idle_websockets", "silent-web", [label_of("silent", "not compressed")])
    held = figures.get(("never_reading", label_of("hub")))
    deaf = None if held is None else held / BOUND
    return [
        Verdict("hub_fanout: at most half of the better other", half, _at_most(half, 1 / 2)),
        Verdict("idle_websockets: a third below uvicorn's default", third, _at_most(third, 2 / 3)),
        Verdict(
            "the silent application, a third below, nothing compressed",
            plain,
            _at_most(plain, 2 / 3),
        ),
        Verdict("never_reading: no more than its bound", deaf, _at_most(deaf, 1)),
    ]


def _at_most(ratio: float | None, limit: float) -> bool:
    return ratio is not None and ratio <= limit


def label_of(name: str, remark: str = "") -> str:
    return CONTESTANTS[name].label + (f", {remark}" if remark else "")


def run(effort: Effort, only: Sequence[str], say: Callable[[str], None]) -> list[Row]:
    """All rounds. In each, every contestant has a fresh process."""
    entries = [entry for entry in ENTRIES if not only or entry.workload in only]
    rows = [
        Row(entry.workload, entry.name, label_of(entry.name, entry.remark), entry.unit)
        for entry in entries
    ]
    for turn in range(effort.rounds):
        order = list(zip(entries, rows, strict=True))
        for entry, row in order[turn:] + order[:turn]:
            try:
                figure, detail = entry.measure(entry.name, effort)
            except (RuntimeError, OSError) as error:
                row.trouble = str(error)
                say(f"{row.workload} {row.label}: {error}")
                continue
            row.figures.append(figure)
            row.details.append(detail)
            say(f"{row.workload} {row.label}: {figure:.2f} {row.unit}")
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    lines = ["| measurement | who | median | least | most | unit |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.figure is None:
            lines.append(f"| {row.workload} | {row.label} | {row.trouble} | | | |")
        else:
            spread = f"{min(row.figures):.2f} | {max(row.figures):.2f}"
            lines.append(
                f"| {row.workload} | {row.label} | {row.figure:.2f} | {spread} | {row.unit} |"
            )
    return lines


def judged(found: Sequence[Verdict]) -> list[str]:
    lines = ["| target | ratio | |", "|---|---|---|"]
    for verdict in found:
        ratio = "not measured" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        lines.append(f"| {verdict.target} | {ratio} | {'met' if verdict.met else 'missed'} |")
    return lines


def page(results: dict[str, Any]) -> str:
    """The page of what was measured, and nothing else than that."""
    rows = [Row(**row) for row in results["rows"]]
    effort, facts = results["effort"], results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n".join(
        [
            "# Rooms over WebSockets",
            "",
            "Made by `python -m bench.fanout --page`; see bench/README.md for what is measured.",
            "",
            f"{facts['date']}, {facts['processor']}, Python {results['python']}; {versions}.",
            f"{effort['subscribers']} subscribers, {effort['idle']} idle connections, "
            f"{effort['messages']} messages to the client that does not read; "
            f"{effort['rounds']} rounds.",
            *(f"Beware: {remark}." for remark in results["remarks"]),
            "",
            *table(rows),
            "",
            *judged(verdicts(rows)),
            "",
        ]
    )


def versions() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for package in ("uvicorn", "websockets", "uvloop", "python-socketio", "litestar", "msgspec"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench.fanout", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small and short; not for quoting")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--only", default="", help="some measurements, with commas between")
    parser.add_argument("--json", type=Path, help="keep everything raw in this file")
    parser.add_argument("--page", type=Path, help="write rooms.md and rooms.json into this folder")
    parser.add_argument("--check", action="store_true", help="status 1 when a target is missed")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = Effort(**asdict(effort) | {"rounds": options.rounds})
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    facts, remarks = machine.facts(), machine.remarks()
    rows = run(effort, [name for name in options.only.split(",") if name], _tell)
    results = {
        "machine": facts,
        "remarks": remarks,
        "python": sys.version.split()[0],
        "versions": versions(),
        "effort": asdict(effort),
        "rows": [asdict(row) for row in rows],
        "verdicts": [asdict(verdict) for verdict in verdicts(rows)],
    }
    print("\n".join([*table(rows), "", *judged(verdicts(rows)), *remarks]))
    raw = json.dumps(results, indent=1) + "\n"
    if options.json:
        options.json.write_text(raw)
    if options.page:
        options.page.mkdir(parents=True, exist_ok=True)
        (options.page / "rooms.json").write_text(raw)
        (options.page / "rooms.md").write_text(page(results))
    missed = not all(verdict.met for verdict in verdicts(rows))
    return int(options.check and missed)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
