"""Nodes for tests of backends: each a backend with a receiver that notes what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from treadle.hub.backends.base import Backend, Departure, Entry
from treadle.hub.errors import Unavailable
from treadle.hub.options import Retention

KEPT = Retention(count=100, age=600.0)
_names = itertools.count()


class Recorder:
    """Notes what a backend says, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.signals: dict[str, list[bytes]] = {}
        self.links: list[str] = []
        self._change = asyncio.Event()

    def entry(self, room: str, entry: Entry) -> None:
        self.entries.setdefault(room, []).append(entry)
        self._change.set()

    def signal(self, room: str, body: bytes) -> None:
        self.signals.setdefault(room, []).append(body)
        self._change.set()

    def lost(self, reason: str) -> None:
        self.links.append(f"lost: {reason}")
        self._change.set()

    def restored(self) -> None:
        self.links.append("restored")
        self._change.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._change.clear()
            await self._change.wait()

    def bodies(self, room: str) -> list[bytes]:
        return [entry.body for entry in self.entries.get(room, [])]

    async def heard(self, room: str, *bodies: bytes) -> list[Entry]:
        """Wait until so many entries have come; they are to be these, in order."""
        await self.until(lambda: len(self.entries.get(room, [])) >= len(bodies))
        assert self.bodies(room) == list(bodies)
        return self.entries[room]


class Node:
    """A started backend and its receiver."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name = f"node{next(_names)}"
        self.recorder = Recorder()

    async def start(self) -> Node:
        await self.backend.start(self.name, self.recorder)
        return self

    async def die(self) -> None:
        """Be gone without a word."""
        await self.backend._disconnect()  # type: ignore[attr-defined]

    async def append(self, room: str, *bodies: bytes, retention: Retention = KEPT) -> list[Entry]:
        return [(await self.backend.append(room, body, retention)).entry for body in bodies]


class Nodes:
    """Makes nodes of one kind; they are closed in the end."""

    def __init__(self, make: Callable[..., Backend]) -> None:
        self._make = make
        self._made: list[Node] = []

    async def __call__(self, **options: Any) -> Node:
        node = Node(self._make(**options))
        self._made.append(node)
        return await node.start()

    async def close(self) -> None:
        for node in self._made:
            await node.backend.close()


async def in_time(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """Ask until the answer is as it should be; the test's own patience ends a vain wait."""
    while True:
        with contextlib.suppress(Unavailable):
            answer = await ask()
            if holds(answer):
                return answer
        await asyncio.sleep(0.02)


async def buried_by(node: Node, lease: float, count: int = 1) -> list[Departure]:
    """What a living node gets of the dead, in the end."""
    found: list[Departure] = []

    async def ask() -> int:
        await node.backend.beat(lease)
        found.extend(await node.backend.bury())
        return len(found)

    await in_time(ask, lambda number: number >= count)
    return found
