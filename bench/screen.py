"""Rows and progress on the terminal: with rich if it is installed and someone looks, else plainly.

Progress goes to stderr, so that stdout holds the table or the JSON alone.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

try:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Table

    RICH = True
except ImportError:
    RICH = False


class Reporter(Protocol):
    """Told what is about to run."""

    def __call__(self, stage: str, detail: str, left: int) -> None:
        """`left` is how many runs there are going to be, this one included."""


@contextmanager
def progress(quiet: bool) -> Iterator[Reporter]:
    """A bar, or a line for each new stage where a bar cannot be drawn.

    `quiet` asks for the bar or nothing.
    """
    if RICH and sys.stderr.isatty():
        with _bar() as reporter:
            yield reporter
    elif quiet:
        yield lambda stage, detail, left: None
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Reporter]:
    """It draws itself between runs only: a thread that did so meanwhile would disturb them."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("", total=None)
        made = 0

        def report(stage: str, detail: str, left: int) -> None:
            nonlocal made
            what = f"{stage} {detail}"
            bar.update(task, completed=made, total=made + left, description=what, refresh=True)
            made += 1

        yield report
        bar.update(task, completed=made, total=made, description="done", refresh=True)


class _Lines:
    """A line whenever the stage changes."""

    def __init__(self) -> None:
        self._made = 0
        self._stage = ""

    def __call__(self, stage: str, detail: str, left: int) -> None:
        if stage != self._stage:
            self._stage = stage
            print(f"[{self._made}/{self._made + left}] {stage}", file=sys.stderr, flush=True)
        self._made += 1


def show(
    headings: Sequence[str], numeric: frozenset[str], groups: Iterable[list[list[str]]]
) -> None:
    """Print a table whose groups of rows are set apart."""
    found = list(groups)
    drawn = RICH and sys.stdout.isatty() and _draw(headings, numeric, found)
    if not drawn:
        _print(headings, numeric, found)


def _draw(headings: Sequence[str], numeric: frozenset[str], groups: list[list[list[str]]]) -> bool:
    """Draw the table with rich; False, and nothing drawn, where it would cut figures off."""
    console, table = Console(), Table()
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numeric else "left")
    for rows in groups:
        for row in rows:
            table.add_row(*row)
        table.add_section()
    fits = console.measure(table).maximum <= console.width
    if fits:
        console.print(table, markup=False)
    return fits


def _print(headings: Sequence[str], numeric: frozenset[str], groups: list[list[list[str]]]) -> None:
    rows = [list(headings), *(row for group in groups for row in group)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if heading in numeric else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        )
        return "  ".join(cells).rstrip()

    print(line(headings))
    for group in groups:
        print()
        for row in group:
            print(line(row))
