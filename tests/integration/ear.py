"""A client of a hub that notes all that comes to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from treadle.hub.client import Client
from treadle.hub.frames import Gap, Message, Presence


class Ear:
    """It listens from the moment that it is made until the client is closed."""

    def __init__(self, client: Client) -> None:
        self.messages: list[Message] = []
        self.gaps: list[Gap] = []
        self.presence: Counter[tuple[str, str]] = Counter()
        self._change = asyncio.Event()
        self._task = asyncio.ensure_future(self._listen(client))

    async def _listen(self, client: Client) -> None:
        async for frame in client:
            if isinstance(frame, Message):
                self.messages.append(frame)
            elif isinstance(frame, Gap):
                self.gaps.append(frame)
            elif isinstance(frame, Presence):
                self.presence[frame.event, str(frame.member.info)] += 1
            self._change.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._change.clear()
            changed = asyncio.ensure_future(self._change.wait())
            await asyncio.wait([changed, self._task], return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            assert not self._task.done(), "the client was closed"

    def numbers(self, name: str) -> list[int]:
        return [message.data[1] for message in self.messages if message.data[0] == name]

    async def end(self) -> None:
        await self._task
