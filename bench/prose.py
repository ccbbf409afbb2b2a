"""The words and tables of the page of results, but for growth."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench import growth, markdown
from bench.loops import BASELINE, LABELS, NODE, PURE, STOCK, SUBJECT
from bench.record import Block, Record, Row
from bench.results import STEADY, Spread
from bench.table import number
from bench.workloads import CATALOGUE

GROUPS = {
    "micro": "Operations",
    "echo": "Echo",
    "handshakes": "TLS handshakes",
    "program": "Programs that people run",
    "idle": "Memory of connections",
    "memory": "Memory of tasks and timers",
    "spawn": "Processes",
    "import": "Import",
    "startup": "Starting up",
}
"""Kind of workload -> heading; a kind that is not here has its own name."""

NOTES = {
    "echo": [
        "*sleeps* is how often the server gave its core away to wait, per 1,000 messages. Near 0",
        "it has always found messages lying ready; near 1,000 it slept for each of them, and its",
        "cost has the kernel's part of falling asleep and waking in it: compare rows in which it",
        "is alike. The generator never sleeps, so that no server has to wake it. Before the load",
        "each Python server frees one large block of memory; without that, the C library gives",
        "the 256 KiB into which asyncio and others receive back to the kernel at each message.",
        "[What both change](../../bench/README.md#a-fair-echo).",
    ],
}
"""Kind of workload -> what is to be known of its figures."""


def opening(records: Sequence[Record]) -> list[str]:
    names = ", ".join(dict.fromkeys(_labels(records)))
    return [
        f"{names}:",
        "side by side, taking turns, each run in a fresh process. Every figure is a cost: lower is",
        "better. [bench/README.md](../../bench/README.md) says what is measured and how;",
        "`make bench` measures on your machine and writes this page.",
        "",
        "Figures are medians over the rounds, with the extremes beside them. Ratios are taken",
        f"within each round. Where they lie apart by more than {STEADY:.0%} of their median, no",
        "ratio is printed but their extremes, and the word *unsteady*.",
        "",
    ]


def _labels(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        for block in record.blocks.values():
            yield from (row.label for row in block.rows)


def run(record: Record) -> list[str]:
    """Where, when and with what."""
    machine = record.machine
    took_part = {row.loop for block in record.blocks.values() for row in block.rows}
    packages = ", ".join(
        f"{LABELS.get(name, name) if name == NODE else name} {version}"
        for name, version in record.versions.items()
        # others have no version but that of the checkout or of Python
        if name in took_part and name not in (STOCK, PURE) and version[:1] in "v0123456789"
    )
    facts = [
        ["date", ", ".join(record.dates)],
        ["processor", f"{machine['processor']}, {machine['cores']} core(s)"],
        ["kernel", f"{machine['system']} {machine['kernel']} {machine['architecture']}"],
        ["libc", str(machine["libc"])],
        [record.implementation, record.build],
        ["versions", packages],
        ["rounds", _rounds(record)],
    ]
    if any(block.kind == "program" for block in record.blocks.values()):
        parts = ", ".join(f"{name} {version}" for name, version in record.packages.items())
        facts.insert(-1, ["programs", parts or "nothing that they need is here"])
    lines = [f"## {record.implementation} {record.version}", ""]
    lines += markdown.table(["", ""], facts) + [""]
    lines += [f"- {remark}" for remark in record.remarks]
    return lines + [""] if record.remarks else lines


def _rounds(record: Record) -> str:
    counts = [row.rounds for block in record.blocks.values() for row in block.rows if row.rounds]
    if not counts:
        return "none"
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}, as the time allowed"


def targets(record: Record) -> list[str]:
    """Every row that has a limit; those missed come first."""
    if not record.targets:
        return []
    missed = [found for found in record.targets if found["verdict"] != "met"]
    met = [found for found in record.targets if found["verdict"] == "met"]
    lines = ["## Targets", ""]
    if not record.targets_apply:
        lines += ["The targets are not set for these versions: what follows is no verdict.", ""]
    lines += [
        f"{len(met)} of {len(record.targets)} are met. A limit without a unit is a part of",
        f"{BASELINE}'s cost in the same round.",
        "",
    ]
    rows = [
        [
            _code(found["workload"]),
            f"≤ {found['limit_text']}",
            "" if found["measured"] is None else number(found["measured"]),
            f"**{found['verdict']}**" if found in missed else found["verdict"],
            found["remark"],
        ]
        for found in (*missed, *met)
    ]
    return lines + markdown.table(["workload", "limit", "measured", "", ""], rows) + [""]


def ahead(record: Record) -> list[str]:
    """Every row in which a peer costs less than the subject."""
    pairs = [(block, *pair) for block in record.blocks.values() for pair in block.ahead()]
    lines = [f"## Where others are ahead of {SUBJECT}", ""]
    loops = [pair for pair in pairs if pair[1].python]
    others = [pair for pair in pairs if not pair[1].python]
    if loops:
        lines += [*_ahead(loops), ""]
    else:
        lines += ["No loop for Python programs is, in any row of this run.", ""]
    if others:
        lines += ["Programs that are not Python, which do the same:", "", *_ahead(others), ""]
    return lines


def _ahead(pairs: Sequence[tuple[Block, Row, Row]]) -> list[str]:
    rows = []
    for block, peer, own in pairs:
        assert peer.figure is not None
        assert own.figure is not None
        figures = [f"{number(row.figure.median)} {block.unit}" for row in (peer, own) if row.figure]
        rows.append([_code(block.name), peer.label, *figures, ratio(peer.to_subject)])
    headings = ["workload", "ahead", "its cost", f"{SUBJECT}'s", f"its part of {SUBJECT}'s"]
    return markdown.table(headings, rows)


def rows(record: Record) -> list[str]:
    """Everything that is not shown under growth alone."""
    grown = set(growth.workloads(list(growth.ALL))) - CATALOGUE.keys()
    blocks = [block for name, block in record.blocks.items() if name not in grown]
    order = {kind: i for i, kind in enumerate(GROUPS)}
    blocks.sort(key=lambda block: order.get(block.kind, len(order)))
    lines = ["## Every row", ""] if blocks else []
    for kind, found in groupby(blocks, key=lambda block: block.kind):
        group = list(found)
        lines += [f"### {GROUPS.get(kind, kind.capitalize())}", ""]
        lines += [*NOTES[kind], ""] if kind in NOTES else []
        side_by_side = [block for block in group if not block.under_load]
        lines += _matrix(side_by_side)
        for block in group:
            if block.under_load:
                lines += _detailed(block)
    return lines


def _matrix(blocks: Sequence[Block]) -> list[str]:
    """One line for each workload."""
    if not blocks:
        return []
    labels = {row.loop: row.label for block in blocks for row in block.rows}
    table = [
        [
            _code(block.name),
            block.unit,
            *(_figure(block.row(loop)) for loop in labels),
            _own_ratio(block),
            _measured_rounds(block),
        ]
        for block in blocks
    ]
    headings = ["workload", "", *labels.values(), f"{SUBJECT} / {BASELINE}", "rounds"]
    explained = [f"- `{block.name}`: {block.what}" for block in blocks]
    return [*markdown.table(headings, table), "", *explained, ""]


def _detailed(block: Block) -> list[str]:
    """One line for each contestant, with throughput and latency."""
    table = [
        [
            row.label,
            _figure(row),
            ratio(row.to_baseline),
            _also(row, "per_second", 0),
            *(_also(row, key, None) for key in ("p50_us", "p90_us", "p99_us")),
            _also(row, "server_sleeps_per_1000", None),
            str(row.rounds),
        ]
        for row in block.rows
    ]
    headings = ["", f"{block.unit}", f"/ {BASELINE}", "per second"]
    headings += ["p50 µs", "p90 µs", "p99 µs", "sleeps", "rounds"]
    for column, key in ((7, "server_sleeps_per_1000"), (5, "p90_us")):
        if not any(key in row.also for row in block.rows):
            for cells in (headings, *table):
                del cells[column]
    return [f"**`{block.name}`**: {block.what}", "", *markdown.table(headings, table), ""]


def _figure(row: Row | None) -> str:
    if row is None:
        return ""
    if row.figure is None:
        return (row.obstacle or "no figure").partition(":")[0]
    median = number(row.figure.median)
    if row.rounds < 2:
        return median
    return f"{median} <sub>{number(row.figure.low)}..{number(row.figure.high)}</sub>"


def ratio(found: Spread | None) -> str:
    """A ratio, or why there is none."""
    if found is None:
        return ""
    if not found.steady:
        return f"*unsteady* {found.low:.2f}..{found.high:.2f}"
    return f"{found.median:.2f}"


def _own_ratio(block: Block) -> str:
    own = block.row(SUBJECT)
    return ratio(own.to_baseline) if own else ""


def _measured_rounds(block: Block) -> str:
    return str(max((row.rounds for row in block.rows), default=0))


def _also(row: Row, key: str, digits: int | None) -> str:
    value = row.also.get(key)
    if value is None:
        return ""
    return number(value) if digits is None else f"{value:,.{digits}f}"


def _code(name: str) -> str:
    return f"`{name}`"
