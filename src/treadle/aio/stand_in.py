"""The base of the classes that stand in asyncio's place."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

__all__ = ["StandIn"]


class StandIn(metaclass=ABCMeta):  # noqa: B024  for its hook only; nothing is abstract
    """A class of treadle's whose instances are, for `isinstance`, also those of asyncio's class.

    Ours derive from asyncio's, so ours pass where asyncio's are asked for. The other direction is
    met once asyncio is accelerated: a library has bound ``StreamReader`` before, and then what it
    made is asked for being an ``asyncio.StreamReader``, which is ours. asyncio's StreamWriter asks
    in this way. A class derived from ours answers for itself only.
    """

    __slots__ = ()

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        if cls.__module__ == "treadle":
            for base in cls.__bases__:
                if base.__module__.startswith("asyncio."):
                    return issubclass(other, base)
        return NotImplemented
