"""What is awaited, and is done already: no coroutine, no frame, no turn of the loop.

`async with` awaits what ``__aenter__`` and ``__aexit__`` return. Most of the time there is nothing
to wait for. A coroutine would be made, started and thrown away, to say so; a `Finished` only says
so. It passes for a coroutine, so it can be made a task as well.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

__all__ = ["Finished", "finished"]

class Finished:
    """An awaitable that gives `result` without waiting, as often as it is awaited."""

    def __init__(self, result: Any = None) -> None:
        self.result = result

    def __await__(self) -> Finished:
        return self

    def __iter__(self) -> Finished:
        return self

    def __next__(self) -> Any:
        if self.result is None:
            raise StopIteration
        raise StopIteration(self.result)

    def send(self, value: Any) -> Any:
        """End at once, with the result."""
        raise StopIteration(self.result)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise what is thrown in: nothing here catches it."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value.with_traceback(traceback) if traceback is not None else value

    def close(self) -> None:
        """Do nothing: it is closed."""

Coroutine.register(Finished)

def finished(result: Any) -> Finished:
    """Make one that gives `result`, without the cost of parsing arguments."""
    made: Finished = Finished.__new__(Finished)
    made.result = result
    return made
