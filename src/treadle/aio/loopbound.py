# cython: nonecheck=True
"""What queues and locks share: the loop whose tasks wait for them.

As in asyncio, one belongs to the loop on which something first had to wait for it, not to the one
on which it was made; until then it may be used without a loop. The loop is looked up only in order
to wait.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import events
from typing import Any, TypeVar

from treadle._core.invoke import is_settled, own_methods, settle
from treadle.aio.operation import Owner
from treadle.aio.shortcuts import new_future

__all__ = ["LoopBound", "discard", "face", "keeps", "wake_next"]

Face = TypeVar("Face", bound=type)
_running_loop = events._get_running_loop  # asyncio's C function
_faces: set[type] = set()  # the public classes
_binding = threading.Lock()  # two loops in two threads may meet


class LoopBound(Owner):
    """Belongs to the first loop on which it is waited for."""

    _loop: Any  # None until then

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; RuntimeError where another one has waited before."""
        loop = _running_loop()
        if self._loop is None:
            with _binding:
                if self._loop is None:
                    self._loop = loop
        if loop is not self._loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        return loop  # type: ignore[no-any-return]

    def future(self) -> asyncio.Future[Any]:
        """Make a future to wait for (RuntimeError as above)."""
        loop = _running_loop()
        if loop is None or loop is not self._loop:
            loop = self._get_loop()
        return new_future(loop)  # type: ignore[no-any-return]


def face(cls: Face) -> Face:
    """Decorate a public class, whose methods are those of its core."""
    inherited = {name for base in cls.__mro__[1:-1] for name in vars(base)}  # without `object`
    own_methods(cls, inherited - vars(cls).keys())
    _faces.add(cls)
    return cls


def keeps(cls: type, names: list[str]) -> bool:
    """Return True if a class overrides none of these methods of the public class it comes from."""
    for base in cls.__mro__:
        if base in _faces:
            return all(getattr(cls, name) is getattr(base, name) for name in names)
    return False


def discard(waiters: Any, future: Any) -> bool:
    """Take a future out of those that wait; return False if it was not among them."""
    if not waiters:
        return False
    if waiters[0] is future:
        waiters.popleft()
        return True
    try:
        waiters.remove(future)
    except ValueError:
        return False
    return True


def wake_next(waiters: Any) -> bool:
    """Take out the first that still waits, and wake it; return False if there is none."""
    while waiters:
        future = waiters.popleft()
        if not is_settled(future):
            settle(future, None)
            return True
    return False
