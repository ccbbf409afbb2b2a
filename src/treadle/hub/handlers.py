"""Coroutines of the application that answer for what clients publish."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from treadle.hub.errors import Code, Refused
from treadle.hub.hooks import Incoming

__all__ = ["Handler", "Handlers"]


class Handler:
    """One of them, and what it wants the data to be."""

    __slots__ = ("call", "pattern", "type")

    def __init__(
        self, pattern: str, call: Callable[[Incoming], Awaitable[None]], type: Any
    ) -> None:
        self.pattern = pattern
        self.call = call
        self.type = type

    def convert(self, data: Any) -> Any:
        """The data in the type that was asked for; `Refused` when it does not fit."""
        try:
            return msgspec.convert(data, self.type)
        except msgspec.ValidationError as failure:
            raise Refused(str(failure), Code.MALFORMED) from failure


class Handlers:
    """All of them, in the order in which they were named."""

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def add(self, handler: Handler) -> None:
        self._handlers.append(handler)

    def find(self, room: str) -> Handler | None:
        """The first whose pattern fits."""
        for handler in self._handlers:
            if fnmatchcase(room, handler.pattern):
                return handler
        return None
