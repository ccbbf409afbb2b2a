"""The editor's server: a replica of each text that somebody edits, which pages synchronise with.

A text is a CRDT: changes can arrive in any order, and twice, and everybody ends with the same text.
So what a page did while it was offline is merged when it is back, and there is nothing to lock.

**A change** is checked by applying it to the replica here, and is then published to the room, whose
history brings it to pages that were away for a moment.

**A page that opens** asks with `Sync`: it says what it has, and gets the rest, addressed to it
alone, together with what the replica has, so that it can send in turn what is missing here.

**Several processes** each have a replica, which listens to the room as pages do. A new one asks the
others on the room `sync:NAME`, which is the servers' own; they answer with a change. A text lives
as long as one process that has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from pycrdt import Doc, Text

from treadle.hub import (
    NO_HISTORY,
    Code,
    Gap,
    Hub,
    Incoming,
    Refused,
    Retention,
    RoomOptions,
    Subscription,
    Unavailable,
)

ROOMS = {
    "pad:*": RoomOptions(history=Retention(count=2000, age=3600), when_full="catch_up"),
    "cursors:*": RoomOptions(history=NO_HISTORY, when_full="coalesce", presence=False),
    "sync:*": RoomOptions(history=NO_HISTORY, presence=False),
}
MOST_PADS = 200
LONGEST_TEXT = 500_000  # characters
RECENT = 100  # changes that a process may be behind the room
NOTHING = b"\x00\x00"  # the change that changes nothing

Bytes = Annotated[bytes, msgspec.Meta(max_length=1 << 18)]
Cursor = Annotated[bytes, msgspec.Meta(max_length=4096)]


class Change(msgspec.Struct, tag="change", tag_field="do"):
    """What somebody wrote."""

    update: Bytes


class Sync(msgspec.Struct, tag="sync", tag_field="do"):
    """What a page has; it wants the rest."""

    vector: Bytes


class Pad:
    """The replica of one text."""

    def __init__(self) -> None:
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get("text", type=Text)

    @property
    def text(self) -> str:
        return str(self._text)

    @property
    def vector(self) -> bytes:
        """What is known here, in short."""
        return self._doc.get_state()

    def apply(self, update: bytes) -> None:
        """Merge a change; `Refused` when it is none."""
        if len(self._text) + len(update) > LONGEST_TEXT:
            raise Refused(f"a text has at most {LONGEST_TEXT} characters")
        try:
            self._doc.apply_update(update)
        except Exception as failure:  # what pycrdt raises it does not say
            raise Refused("this is no change of a text", Code.MALFORMED) from failure

    def since(self, vector: bytes) -> bytes:
        """What somebody lacks who has `vector`."""
        try:
            return self._doc.get_update(vector)
        except Exception as failure:
            raise Refused("this is no state of a text", Code.MALFORMED) from failure


class Pads:
    """All texts that were opened in this process."""

    def __init__(self, hub: Hub) -> None:
        self.open: dict[str, Pad] = {}
        self._hub = hub
        self._opening = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        hub.on_publish("pad:*", type=Change | Sync)(self._answer)
        hub.on_publish("cursors:*", type=Cursor)(self._show_cursor)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the replicas up to date as long as this is open."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    # --- pages

    async def _answer(self, message: Incoming) -> None:
        name = message.room.partition(":")[2]
        pad = await self._pad(name)
        client = message.client
        if isinstance(message.data, Change):
            pad.apply(message.data.update)
            dedupe = None if message.dedupe is None else f"{client}:{message.dedupe}"
            change = {"update": message.data.update}
            await self._hub.publish(
                message.room, change, sender=client, exclude=client, dedupe=dedupe
            )
        else:
            await self._catch_up(message.room, pad)
            answer = {"update": pad.since(message.data.vector), "vector": pad.vector}
            await self._hub.publish(message.room, answer, to=client)

    async def _catch_up(self, room: str, pad: Pad) -> None:
        """Apply what the room's history has, perhaps from other processes, and `_follow` not yet.

        The page joined the room before it asked, so it misses nothing that comes later.
        """
        for change in await self._hub.history(room, RECENT):
            if "update" in change.data:
                pad.apply(change.data["update"])

    async def _show_cursor(self, message: Incoming) -> None:
        client = message.client
        await self._hub.publish(
            message.room, message.data, key=client, sender=client, exclude=client
        )

    # --- replicas

    async def _pad(self, name: str) -> Pad:
        """The replica of a text, which is made when there is none yet."""
        async with self._opening:
            if name not in self.open:
                if len(self.open) >= MOST_PADS:
                    raise Refused("there are too many texts already")
                pad = Pad()
                changes = await self._hub.subscribe(f"pad:{name}")
                questions = await self._hub.subscribe(f"sync:{name}")
                self.open[name] = pad
                self._tasks += [
                    asyncio.create_task(self._follow(name, pad, changes)),
                    asyncio.create_task(self._inform(name, pad, questions)),
                ]
                await self._ask(name, pad)
            return self.open[name]

    async def _ask(self, name: str, pad: Pad) -> None:
        """Ask the other processes for what is not known here."""
        question = {"node": self._hub.node, "vector": pad.vector}
        await self._hub.publish(f"sync:{name}", question)

    async def _follow(self, name: str, pad: Pad, changes: Subscription) -> None:
        async with changes:
            async for change in changes:
                try:
                    if isinstance(change, Gap):
                        await self._ask(name, pad)
                    elif "update" in change.data and change.to is None:
                        pad.apply(change.data["update"])
                except (Refused, Unavailable):
                    continue  # the next one may be better

    async def _inform(self, name: str, pad: Pad, questions: Subscription) -> None:
        """Tell other processes what they lack."""
        async with questions:
            async for question in questions:
                if isinstance(question, Gap) or question.data["node"] == self._hub.node:
                    continue
                try:
                    update = pad.since(question.data["vector"])
                    if update != NOTHING:
                        await self._hub.publish(f"pad:{name}", {"update": update})
                except (Refused, Unavailable):
                    continue
