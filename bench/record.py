"""What a JSON of this benchmark says, for the page: files read, checked, and put together."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.document import SCHEMA
from bench.loops import BASELINE, SUBJECT
from bench.results import Spread


class RecordError(Exception):
    """A file that no page can be made from; says why."""


@dataclass(frozen=True)
class Row:
    """One contestant's figures in one workload."""

    loop: str
    label: str
    python: bool
    """Whether it is a loop for Python programs."""
    rounds: int
    figure: Spread | None
    to_baseline: Spread | None
    to_subject: Spread | None
    also: dict[str, float]
    obstacle: str | None


@dataclass(frozen=True)
class Block:
    """A workload and its rows."""

    name: str
    what: str
    kind: str
    unit: str
    rows: list[Row]

    def row(self, loop: str) -> Row | None:
        return next((row for row in self.rows if row.loop == loop), None)

    @property
    def under_load(self) -> bool:
        """Whether there is a throughput to tell of."""
        return any("per_second" in row.also for row in self.rows)

    def ahead(self) -> Iterator[tuple[Row, Row]]:
        """The peers whose median is below the subject's, each with the subject's row."""
        own = self.row(SUBJECT)
        if own is None or own.figure is None:
            return
        for row in self.rows:
            if row.loop.startswith(SUBJECT) or row.figure is None:
                continue
            # the median of the ratios, as the table has it; where there are none, of the figures
            lower = row.figure.median < own.figure.median
            if row.to_subject is not None:
                lower = row.to_subject.median < 1
            if lower:
                yield row, own


@dataclass(frozen=True)
class Record:
    """Everything that was measured under one interpreter on one machine."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    dates: list[str]
    implementation: str
    version: str
    build: str
    versions: dict[str, str]
    packages: dict[str, str]
    """What the real programs are made of, with the versions."""
    blocks: dict[str, Block]
    targets: list[dict[str, Any]]
    targets_apply: bool
    remarks: list[str]

    @property
    def place(self) -> tuple[str, ...]:
        """What has to be the same for figures to stand on one page side by side."""
        keys = ("processor", "cores", "kernel", "architecture")
        return (self.build, *(str(self.machine.get(key)) for key in keys))

    def with_more(self, other: "Record") -> "Record":
        """Both; where they measured the same workload, the other one counts."""
        again = {target["workload"] for target in other.targets}
        kept = [target for target in self.targets if target["workload"] not in again]
        return replace(
            other,
            dates=[*self.dates, *other.dates],
            blocks={**self.blocks, **other.blocks},
            targets=[*kept, *other.targets],
            remarks=list(dict.fromkeys([*self.remarks, *other.remarks])),
        )


def read(files: Sequence[Path]) -> list[Record]:
    """One record for each machine and interpreter, in the order of the files."""
    found: dict[tuple[str, ...], Record] = {}
    for file in files:
        for record in _records(file):
            earlier = found.get(record.place)
            found[record.place] = earlier.with_more(record) if earlier else record
    return list(found.values())


def _records(file: Path) -> Iterator[Record]:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{file} is no JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise RecordError(
            f"{file}: a page is made from schema {SCHEMA}, this is {schema}; "
            "python -m bench --json FILE writes it"
        )
    for found in content["interpreters"]:
        yield Record(
            machine=content["machine"],
            settings=content["settings"],
            dates=[content["machine"]["date"]],
            implementation=found["implementation"],
            version=found["version"],
            build=found["build"],
            versions=found["versions"],
            packages=found.get("packages", {}),
            blocks={name: _block(name, block) for name, block in found["workloads"].items()},
            targets=found["targets"],
            targets_apply=found["targets_apply"],
            remarks=[*content["remarks"], *found["remarks"]],
        )


def _block(name: str, found: dict[str, Any]) -> Block:
    rows = [_row(loop, row) for loop, row in found["loops"].items()]
    return Block(name, found["what"], found["kind"], found["unit"], rows)


def _row(loop: str, found: dict[str, Any]) -> Row:
    return Row(
        loop=loop,
        label=found["label"],
        python=found["python"],
        rounds=found["rounds"],
        figure=_spread(found["figure"]),
        to_baseline=_spread(found[f"ratio_to_{BASELINE}"]),
        to_subject=_spread(found[f"ratio_to_{SUBJECT}"]),
        also=found["also"],
        obstacle=found["obstacle"],
    )


def _spread(found: dict[str, float] | None) -> Spread | None:
    return Spread(found["median"], found["low"], found["high"]) if found else None
