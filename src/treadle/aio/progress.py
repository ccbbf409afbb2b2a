"""A progress bar on a terminal, by rich; nothing at all where stderr is none.

It is drawn when there is news, at most ten times a second by the loop's clock, and so needs no
thread of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Bar", "make_bar"]

PERIOD = 0.1  # seconds between two drawings


class Bar:
    """A bar that is not shown."""

    def start(self) -> None:
        """Begin to show it."""

    def show(self, completed: int) -> None:
        """Show how many items are done."""

    def stop(self) -> None:
        """Leave the last state on the screen; may be called again."""


class _TerminalBar(Bar):
    def __init__(self, progress: Any, description: str, total: int | None) -> None:
        self._progress = progress
        self._bar = progress.add_task(description, total=total)
        self._completed = 0
        self._drawn_at = float("-inf")

    def start(self) -> None:
        self._progress.start()

    def show(self, completed: int) -> None:
        if completed == self._completed:
            return
        self._completed = completed
        now = asyncio.get_running_loop().time()
        due = now - self._drawn_at >= PERIOD
        if due:
            self._drawn_at = now
        self._progress.update(self._bar, completed=completed, refresh=due)

    def stop(self) -> None:
        self._progress.stop()


def make_bar(progress: bool | str, total: int) -> Bar:
    """The bar that was asked for: none, with no description, or with one; `total` -1 for unknown.

    Raises ImportError when rich is missing.
    """
    if progress is False:
        return Bar()
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
    except ImportError as error:
        raise ImportError(
            'a progress bar needs rich, which is missing: pip install "treadle[cli]"'
        ) from error
    console = Console(stderr=True)
    if not console.is_terminal:
        return Bar()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return _TerminalBar(
        Progress(*columns, console=console, auto_refresh=False),
        progress if isinstance(progress, str) else "",
        None if total < 0 else total,
    )
