"""The table at the end: the same work in three ways, and what a bare callback costs.

The work: so many requests over so many connections, and the server answers each a millisecond
after it came. Server and clients run in one process, so nobody's cost is hidden: the CPU time is
that of the whole conversation. Connections are open before the clock starts.

Against noise: a first round of each loop is not counted, the two take turns at going first, the
table shows each one's median round, and nothing is drawn while a clock runs. The uncounted round
matters most to asyncio, which reads into a fresh 256 KB buffer each time: in a young process that
can cost it twice as much, until the allocator has found room to keep.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import statistics
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter, process_time, sleep

import treadle

from .lines import LineProtocol
from .listening import listening
from .scale import Scale
from .stage import Figures, Stage, check

TITLE = "8 · The same work, three ways"
EXPLANATION = """
    One after the other, with blocking sockets, as a program without concurrency would; then
    with all connections at once on asyncio's own event loop; then the same code on treadle.
    The server answers every request after one millisecond. All figures are of this run on this
    machine, with server and clients in one process.
"""

DELAY = 0.001
CHAINS = 100
"""The pure-loop row keeps so many callbacks waiting at any time, as a busy server does."""

LABELS = {"blocking": "one by one *", "asyncio": "asyncio", "treadle": "treadle"}

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
# asyncio.new_event_loop would make a treadle loop as well where treadle is installed
LOOPS: dict[str, LoopFactory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "treadle": treadle.new_event_loop,
}


@dataclass(frozen=True)
class Cost:
    """What a piece of work took, in seconds."""

    elapsed: float
    cpu: float  # user and system time of the whole process


@dataclass(frozen=True)
class Row:
    """One way of doing all the requests. `measured` of them were really done, the rest scaled."""

    way: str
    requests: int
    measured: int
    elapsed_s: float
    requests_per_s: float
    cpu_s: float


class Stopwatch:
    """Measures the body of a `with` block, with the rubbish of earlier work taken out first."""

    cost: Cost

    def __enter__(self) -> Stopwatch:
        gc.collect()
        self._cpu, self._wall = process_time(), perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cost = Cost(perf_counter() - self._wall, process_time() - self._cpu)


# One after the other


def receive_line(sock: socket.socket) -> bytes:
    """One line from a blocking socket; empty if the other side has closed."""
    line = b""
    while not line.endswith(b"\n"):
        data = sock.recv(100)
        if not data:
            return b""
        line += data
    return line


def serve_blocking(listener: socket.socket) -> None:
    """A server for one client: wait for a request, work for a millisecond, answer."""
    connection, _ = listener.accept()
    with connection:
        while line := receive_line(connection):
            sleep(DELAY)
            connection.sendall(b"done " + line)


def run_blocking(requests: int) -> Cost:
    """`requests` requests in a row over one connection, with blocking sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        server = threading.Thread(target=serve_blocking, args=[listener], daemon=True)
        server.start()
        with socket.create_connection(listener.getsockname()) as client, Stopwatch() as watch:
            for number in range(requests):
                client.sendall(b"%d\n" % number)
                answer = receive_line(client)
                check(answer == b"done %d\n" % number, f"Request {number} got {answer!r}.")
        server.join()
    return watch.cost


# All at once, on a loop


class Answerer(LineProtocol):
    """The server's side of one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the loop, whose timers make the delay."""
        super().connection_made(transport)
        self._later = asyncio.get_running_loop().call_later

    def line_received(self, line: bytes) -> None:
        """Answer in a millisecond."""
        self._later(DELAY, self.transport.write, b"done " + line + b"\n")


class Asker(LineProtocol):
    """One of the clients: asks, verifies the answer, asks again."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._number = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Ask the first question."""
        self.transport.write(b"0\n")

    def line_received(self, line: bytes) -> None:
        """Verify, then ask the next question or be done."""
        if line != b"done %d" % self._number:
            self.done.set_exception(ConnectionError(f"request {self._number} got {line!r}"))
            return
        self._number += 1
        if self._number < self._requests:
            self.transport.write(b"%d\n" % self._number)
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody may hang up before the last answer."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up too early"))


async def run_concurrent(scale: Scale) -> Cost:
    """All requests over all connections at once, on the loop that runs this."""
    loop = asyncio.get_running_loop()
    async with listening(await loop.create_server(Answerer, "127.0.0.1", 0)) as port:
        askers: list[Asker] = []
        for _ in range(scale.connections):
            connected = loop.create_connection(
                lambda: Asker(scale.requests_each), "127.0.0.1", port
            )
            askers.append((await connected)[1])
        with Stopwatch() as watch:
            for asker in askers:
                asker.start()
            await asyncio.gather(*(asker.done for asker in askers))
        for asker in askers:
            asker.transport.close()
    return watch.cost


async def run_callbacks(scale: Scale) -> Cost:
    """Nothing but callbacks that ask for the next: what the loop itself costs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    left = scale.callbacks

    def again() -> None:
        nonlocal left
        left -= 1
        if left >= CHAINS:
            loop.call_soon(again)
        elif left == 0:
            done.set_result(None)

    with Stopwatch() as watch:
        for _ in range(CHAINS):
            loop.call_soon(again)
        await done
    return watch.cost


# The table


def on(factory: LoopFactory, work: Coroutine[None, None, Cost]) -> Cost:
    """Run `work` on a new loop from `factory`."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def median(costs: Sequence[Cost]) -> Cost:
    """The middle of the rounds, for each figure by itself."""
    return Cost(
        statistics.median(cost.elapsed for cost in costs),
        statistics.median(cost.cpu for cost in costs),
    )


def row(way: str, requests: int, measured: int, cost: Cost) -> Row:
    """A row of the table; scaled up if only a share of the requests was measured."""
    factor = requests / measured
    elapsed, cpu = cost.elapsed * factor, cost.cpu * factor
    return Row(way, requests, measured, elapsed, requests / elapsed, cpu)


def measure(stage: Stage, scale: Scale) -> tuple[list[Row], dict[str, float]]:
    """Run everything: the rows of the table, and callbacks per second for each loop."""
    requests = scale.connections * scale.requests_each
    works = (run_concurrent, run_callbacks)
    costs: dict[str, list[tuple[Cost, ...]]] = {name: [] for name in LOOPS}
    with stage.bars(by_hand=True) as bars:
        bar = bars.add("measuring", 1 + len(LOOPS) * (1 + scale.rounds))
        bars.refresh()
        blocking_cost = run_blocking(scale.blocking_share)
        bar.advance()
        for turn in range(1 + scale.rounds):
            for name in sorted(LOOPS, reverse=turn % 2 == 1):
                bars.refresh()
                costs[name].append(tuple(on(LOOPS[name], work(scale)) for work in works))
                bar.advance()
        bars.refresh()
    counted = {name: rounds[1:] for name, rounds in costs.items()}
    rows = [row("blocking", requests, scale.blocking_share, blocking_cost)]
    rates = {}
    for name, rounds in counted.items():
        concurrent, callbacks = (median(column) for column in zip(*rounds, strict=True))
        rows.append(row(name, requests, requests, concurrent))
        rates[name] = scale.callbacks / callbacks.elapsed
    return rows, rates


def times(ratio: float) -> str:
    """A ratio with as many digits as mean something."""
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def cells(line: Row, callbacks_per_s: float | None) -> tuple[str, ...]:
    """One row of the table as it is printed."""
    return (
        LABELS[line.way],
        f"{line.elapsed_s:.2f} s",
        f"{line.requests_per_s:,.0f}",
        f"{line.cpu_s:.2f} s",
        f"{1e6 * line.cpu_s / line.requests:.0f} µs",
        "" if callbacks_per_s is None else f"{callbacks_per_s:,.0f}",
    )


def print_table(stage: Stage, scale: Scale, rows: list[Row], rates: dict[str, float]) -> None:
    """The table, what was scaled, and what it says about treadle: good or bad."""
    columns = ("", "elapsed", "requests/s", "CPU time", "CPU each", "callbacks/s")
    title = f"{rows[0].requests:,} requests, 1 ms each, over {scale.connections} connections"
    printed = (cells(line, rates.get(line.way)) for line in rows)
    stage.table(title, columns, printed, right=1)
    stage.say(
        f"* blocking sockets; measured on {rows[0].measured:,} requests over one connection and "
        f"scaled to all."
    )
    if not treadle.COMPILED:
        stage.say("This is the plain treadle, without its compiled modules: slower than it can be.")
    if scale.rounds < 3:
        stage.say("With numbers as small as these the figures are rough.")
    plain, ours = rows[1], rows[2]
    stage.say(
        f"treadle against asyncio: [bold]{times(ours.requests_per_s / plain.requests_per_s)}"
        f"[/bold] times the requests per second, [bold]{times(ours.cpu_s / plain.cpu_s)}[/bold] "
        f"times the CPU time, [bold]{times(rates['treadle'] / rates['asyncio'])}[/bold] times "
        f"the callbacks per second."
    )


def show(stage: Stage, scale: Scale) -> Figures:
    """Measure and print. Runs outside of any loop, because it makes its own."""
    rows, rates = measure(stage, scale)
    print_table(stage, scale, rows, rates)
    return {
        "requests": [asdict(line) for line in rows],
        "callbacks_per_s": {name: round(rate) for name, rate in rates.items()},
        "rounds": scale.rounds,
    }
