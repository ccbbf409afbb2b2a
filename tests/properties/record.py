"""Record what asyncio does: ``python -m tests.properties.record`` under the newest Python.

A line of the file is a program of a kind, and a mark for each line of its log: older Pythons, whose
asyncio has faults that treadle has not, are held to these marks. The programs are random, but for
those of `CLASSICS`.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import zlib
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.properties.virtual_loops import VirtualAsyncio
from tests.properties.waiting_programs import run
from tests.properties.waiting_strategies import CLASSICS, KINDS

RECORDED = Path(__file__).with_name("recorded_programs.txt")
EACH = 30  # programs of each kind
TRIED = 400
LENGTHS = range(14, 60)  # of a log that is worth a line


def mark(event):
    """Return four digits that stand for a line of a log."""
    return f"{zlib.crc32(repr(event).encode()) & 0xFFFF:04x}"


def recorded():
    """Return what is recorded: kind, program, marks."""
    return [ast.literal_eval(line) for line in RECORDED.read_text().splitlines()]


def found(kind):
    """Return random programs of this kind, the same ones each time, and their logs."""
    programs = {}

    @seed(0)
    @settings(
        max_examples=TRIED,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
        deadline=None,
    )
    @given(KINDS[kind])
    def look(program):
        log = run(program, asyncio, VirtualAsyncio)
        if len(log) in LENGTHS:
            programs[repr(program)] = program, log

    look()
    return list(programs.values())[:EACH]


def main():
    assert sys.version_info >= (3, 13), "older ones have faults"
    with RECORDED.open("w") as file:
        for kind in KINDS:
            classics = [
                (program, run(program, asyncio, VirtualAsyncio))
                for its_kind, program in CLASSICS.values()
                if its_kind == kind
            ]
            for program, log in [*classics, *found(kind)]:
                marks = " ".join(map(mark, log))
                print(repr((kind, program, marks)), file=file)


if __name__ == "__main__":
    main()
