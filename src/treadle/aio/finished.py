# cython: nonecheck=True
"""What is awaited and does not wait: no coroutine, no frame, no turn of the loop.

`async with` awaits what ``__aenter__`` and ``__aexit__`` return. Most of the time there is nothing
to wait for. A coroutine would be made, started and thrown away, to say so. An `Entry` enters its
scope when it is awaited, a `Finished` only says that nothing is left to do. Both pass for
coroutines, so that they can be made tasks as well.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from treadle._core.invoke import give

__all__ = ["Entry", "Finished", "Scope", "entry_of"]


class Scope:
    """What can be entered without waiting; the base of timeouts and task groups."""

    def _enter(self) -> None:
        raise NotImplementedError


class Entry:
    """An awaitable that enters a scope, and gives it."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Any = scope

    def __await__(self) -> Entry:
        return self

    def __iter__(self) -> Entry:
        return self

    def __next__(self) -> Any:
        self.scope._enter()
        give(self.scope)
        raise StopIteration

    def send(self, value: Any) -> Any:
        """Enter, and end."""
        self.scope._enter()
        raise StopIteration(self.scope)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise what is thrown in: nothing here catches it."""
        raise thrown(kind, value, traceback)

    def close(self) -> None:
        """Do nothing."""


class Finished:
    """An awaitable that gives None without waiting, as often as it is awaited."""

    def __await__(self) -> Finished:
        return self

    def __iter__(self) -> Finished:
        return self

    def __next__(self) -> Any:
        raise StopIteration

    def send(self, value: Any) -> Any:
        """End at once."""
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise what is thrown in: nothing here catches it."""
        raise thrown(kind, value, traceback)

    def close(self) -> None:
        """Do nothing."""


Coroutine.register(Entry)
Coroutine.register(Finished)


def entry_of(scope: Scope) -> Entry:
    """Make the entry of a scope, without the cost of parsing arguments."""
    entry: Entry = Entry.__new__(Entry)
    entry.scope = scope
    return entry


def thrown(kind: Any, value: Any, traceback: Any) -> BaseException:
    """Return the exception that the arguments of a coroutine's ``throw`` mean."""
    exc: BaseException
    if isinstance(kind, BaseException):
        exc = kind
    elif isinstance(value, BaseException):
        exc = value
    else:
        exc = kind() if value is None else kind(value)
    return exc if traceback is None else exc.with_traceback(traceback)
