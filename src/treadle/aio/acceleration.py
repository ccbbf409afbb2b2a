"""Putting treadle's names in asyncio's place, and giving asyncio's back.

Programs and libraries say ``asyncio.Queue`` and ``asyncio.wait_for``. While asyncio is accelerated
these names mean treadle's, in the package and in the submodules from which it has them, so that
asyncio's own code, say the streams of a subprocess, gets treadle's as well.

The rules, and what they are for:

- Only public names of loaded asyncio modules change, and only those that hold the stock object
  itself. No class of asyncio is altered, and no name is added: what this Python's asyncio lacks,
  such as ``QueueShutDown`` before 3.13, it lacks here too.
- All or nothing. Every name is looked at before the first is replaced. A name that somebody else
  has patched refuses the whole: to put ours there would undo that patch, and to leave it would mix
  two worlds in a way that nobody asked for. `restore` is as careful with what was put on ours.
- Our own modules hold asyncio's originals from their import on and never ask for these names again,
  so they work alike in both states.

Out of reach is what has been taken out of asyncio before: ``from asyncio import Queue`` binds the
stock class for good. Both kinds work side by side: ours derive from asyncio's.

Each module is changed by one `dict.update`, in which neither a signal nor another thread can come
between. Between two modules they can; then a thread sees some stock and some of ours.
"""

from __future__ import annotations

import asyncio
import sys
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from treadle import aio

__all__ = ["accelerate", "accelerate_once", "restore"]

HOMES = {
    "queues": "LifoQueue PriorityQueue Queue",
    "locks": "Barrier BoundedSemaphore Condition Event Lock Semaphore",
    "streams": "StreamReader StreamReaderProtocol StreamWriter open_connection "
    "open_unix_connection start_server start_unix_server",
    "taskgroups": "TaskGroup",
    "tasks": "as_completed gather shield sleep wait wait_for",
    "threads": "to_thread",
    "timeouts": "Timeout timeout timeout_at",
}
"""What is replaced, under the submodule of asyncio that defines it."""


class _Place(NamedTuple):
    """A public name in a module of asyncio, and what stands there in either state."""

    module: ModuleType
    name: str
    stock: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.module.__name__}.{self.name}"

    @property
    def holds(self) -> Any:
        return vars(self.module).get(self.name)


_lock = Lock()  # guards _replaced, and asyncio's names against another call of ours
_replaced: tuple[_Place, ...] = ()


def accelerate() -> tuple[str, ...]:
    """Put treadle's queues, locks, streams and helpers of tasks in asyncio's place.

    Returns the names that were replaced, such as ``"asyncio.Queue"`` and
    ``"asyncio.queues.Queue"``. Holds for the whole process, on any event loop, until `restore`;
    best called first thing, because ``from asyncio import Queue`` keeps what it got before. Objects
    made earlier keep working.

    Raises RuntimeError, and replaces nothing, when asyncio is accelerated already, or when one of
    the names is not asyncio's own because something else has patched it.

    >>> import asyncio, treadle
    >>> names = treadle.accelerate()
    >>> "asyncio.Queue" in names, asyncio.Queue is treadle.Queue
    (True, True)
    >>> treadle.restore() == names, asyncio.Queue is treadle.Queue
    (True, False)
    """
    with _lock:
        if _replaced:
            raise RuntimeError(
                "asyncio is accelerated already: call treadle.accelerate() once, or "
                "treadle.restore() first"
            )
        return _accelerate()


def accelerate_once() -> None:
    """Do as `accelerate` does, unless asyncio is accelerated already."""
    with _lock:
        if not _replaced:
            _accelerate()


def restore() -> tuple[str, ...]:
    """Give asyncio back the names that `accelerate` replaced; returns them.

    Objects that were made meanwhile keep working.

    Raises RuntimeError, and takes nothing back, when asyncio is not accelerated, or when something
    else has replaced one of the names since.

    >>> import asyncio, treadle
    >>> stock = asyncio.sleep
    >>> names = treadle.accelerate()
    >>> asyncio.sleep is stock, treadle.restore() == names, asyncio.sleep is stock
    (False, True, True)
    """
    global _replaced
    with _lock:
        if not _replaced:
            raise RuntimeError("asyncio is not accelerated: there is nothing to restore")
        for place in _replaced:
            if place.holds is not place.ours:
                raise RuntimeError(
                    f"{place} was replaced by {place.holds!r} after treadle.accelerate(): undo "
                    "that first, then call treadle.restore() again; nothing was taken back"
                )
        places = _replaced
        try:
            _put(places, "stock")
        except BaseException:  # Ctrl-C between two modules
            _put(places, "ours")
            raise
        _replaced = ()
        return tuple(map(str, places))


def _accelerate() -> tuple[str, ...]:
    global _replaced
    places = _find_places()
    try:
        _put(places, "ours")
    except BaseException:  # Ctrl-C between two modules
        _put(places, "stock")
        raise
    _replaced = places
    return tuple(map(str, places))


def _put(places: tuple[_Place, ...], which: str) -> None:
    changes: dict[ModuleType, dict[str, Any]] = {}
    for place in places:
        changes.setdefault(place.module, {})[place.name] = getattr(place, which)
    for module, values in changes.items():
        vars(module).update(values)


def _find_places() -> tuple[_Place, ...]:
    """Look for the stock objects in every module of asyncio; the package comes first."""
    pairs = {}
    for home, names in HOMES.items():
        for name in names.split():
            if hasattr(asyncio, name):  # without Unix sockets some are not there
                stock = _stock(home, name)
                pairs[id(stock)] = stock, getattr(aio, name)
    return tuple(
        _Place(module, name, *pairs[id(value)])
        for full, module in sorted(sys.modules.items())
        if isinstance(module, ModuleType) and (full == "asyncio" or full.startswith("asyncio."))
        for name, value in sorted(vars(module).items())
        if id(value) in pairs and not name.startswith("_")
    )


def _stock(home: str, name: str) -> Any:
    """Return what asyncio itself has defined; RuntimeError when it is not there any more."""
    module = sys.modules[f"asyncio.{home}"]
    for holder in (module, asyncio):
        value = getattr(holder, name, None)
        if not _is_defined_in(module, name, value) or value is not getattr(module, name):
            raise RuntimeError(
                f"{holder.__name__}.{name} is not asyncio's own: something has put {value!r} "
                "there. Undo that, or let it happen after treadle.accelerate(); nothing was "
                "replaced"
            )
    return value


def _is_defined_in(module: ModuleType, name: str, value: Any) -> bool:
    """Tell the original from a wrapper that copies its names: by what cannot be copied."""
    kind = type(value)  # a proxy lies about its __class__
    if kind is FunctionType:
        return value.__globals__ is vars(module) and value.__name__ == name
    return issubclass(kind, type) and value.__module__ == module.__name__ and value.__name__ == name
