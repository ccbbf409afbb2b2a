"""What the tour shows and how: text, code, tables, and bars that fill.

On a terminal the bars are rich's and move. Anywhere else (a file, a pipe, a CI log) each bar
becomes a plain line when it is full, and at every quarter if it is a long one. The chapters
cannot tell the difference.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

Figures = dict[str, object]
"""What a chapter measured, in the shape `--json` prints."""

LONG = 1000
"""A bar of so many steps or more reports its quarters when it cannot move."""


class TourFailed(Exception):
    """Something the tour promised did not happen. The text is a sentence for the reader."""


def check(holds: bool, sentence: str) -> None:
    """Raise TourFailed with `sentence` unless `holds`: the tour never shows unverified things."""
    if not holds:
        raise TourFailed(sentence)


class Bar:
    """One bar. `start()` starts its clock, `advance()` fills it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def start(self) -> None:
        """Start the clock, if it did not start by itself with the first step."""

    def advance(self, steps: int = 1) -> None:
        """Fill the bar by `steps`."""
        self.move_to(self.done + steps)

    def move_to(self, done: int) -> None:
        """Fill the bar up to `done` steps."""
        self.done = done


class MovingBar(Bar):
    """A bar on a terminal."""

    def __init__(self, progress: Progress, task: TaskID, total: int) -> None:
        super().__init__(total)
        self._progress = progress
        self._task = task

    def start(self) -> None:
        self._progress.start_task(self._task)

    def move_to(self, done: int) -> None:
        if self.done == 0:
            self.start()
        super().move_to(done)
        self._progress.update(self._task, completed=done)


class PlainBar(Bar):
    """A bar where nothing can move: it prints lines."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        super().__init__(total)
        self._console = console
        self._label = label
        self._started: float | None = None
        self._moved = 0.0
        self._quarter = 0  # the last quarter that was printed

    def start(self) -> None:
        if self._started is None:
            self._started = self._moved = perf_counter()

    def move_to(self, done: int) -> None:
        self.start()
        super().move_to(done)
        self._moved = perf_counter()
        quarter = 4 * done // self.total
        if quarter > self._quarter and (quarter == 4 or self.total >= LONG):
            self.print()
        self._quarter = quarter

    def print(self) -> None:
        """Print how full the bar is now."""
        seconds = 0.0 if self._started is None else self._moved - self._started
        self._console.print(
            f"  {self._label}: {self.done:,} of {self.total:,} after {seconds:.2f} s",
            highlight=False,
        )


class Count(ProgressColumn):
    """How many steps are done: `37/1,000`."""

    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed):,}/{int(task.total or 0):,}", style="cyan")


class Seconds(ProgressColumn):
    """The bar's own time in seconds; rich's column shows whole seconds only."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text("" if elapsed is None else f"{elapsed:6.2f} s", style="dim")


class Bars:
    """A group of bars that move together; made by `Stage.bars`."""

    def __init__(self, console: Console, progress: Progress | None) -> None:
        self._console = console
        self._progress = progress
        self._bars: list[Bar] = []

    def add(self, label: str, total: int) -> Bar:
        """A new, empty bar."""
        bar: Bar
        if self._progress is None:
            bar = PlainBar(self._console, label, total)
        else:
            task = self._progress.add_task(f"  {label}", start=False, total=total)
            bar = MovingBar(self._progress, task, total)
        self._bars.append(bar)
        return bar

    def refresh(self) -> None:
        """Draw now. Needed only for bars that were made with `by_hand=True`."""
        if self._progress is not None:
            self._progress.refresh()

    def close(self) -> None:
        """Plain bars that never filled say how far they got."""
        for bar in self._bars:
            if isinstance(bar, PlainBar) and bar.done < bar.total:
                bar.print()


class Stage:
    """Where the tour speaks. `console` decides between animation and plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str, explanation: str) -> None:
        """A heading and a few sentences."""
        self._console.print()
        self._console.print(Rule(f"[bold]{title}[/bold]", align="left"))
        self._console.print(textwrap.dedent(explanation).strip().replace("\n", " "))
        self._console.print()

    def say(self, text: str = "") -> None:
        """A line of result; `[bold]` and friends are rich's markup."""
        line = Text.from_markup(text)
        self._console.print(Padding(line, (0, 0, 0, 2), expand=False) if text else "")

    def code(self, *parts: Callable[..., Any] | type) -> None:
        """Show the source of functions or classes: the code that is about to run, not a copy."""
        for part in parts:
            source = textwrap.dedent(inspect.getsource(part)).rstrip()
            syntax = Syntax(source, "python", theme="ansi_dark", background_color="default")
            self._console.print(Padding(syntax, (0, 0, 1, 4), expand=False))

    def table(
        self, title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], *, right: int = 99
    ) -> None:
        """A table; the columns from index `right` on are numbers and are set to the right."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index >= right else "left")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print(Padding(table, (0, 0, 1, 2), expand=False))

    @contextmanager
    def bars(self, *, by_hand: bool = False) -> Iterator[Bars]:
        """Bars for the length of a `with` block.

        rich redraws them from a thread of its own. Where that thread would disturb a
        measurement, `by_hand=True` leaves the drawing to `Bars.refresh`.
        """
        if not self._console.is_terminal:
            plain = Bars(self._console, None)
            yield plain
            plain.close()
            return
        columns = TextColumn("{task.description}"), BarColumn(32), Count(), Seconds()
        with Progress(*columns, console=self._console, auto_refresh=not by_hand) as progress:
            yield Bars(self._console, progress)
