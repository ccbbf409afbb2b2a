"""The game's server: thirty times a second the world moves on, and everybody is told.

**Who decides.** The server alone. A page says where its player wants to go; what becomes of that it
learns as everybody does. A page that lies gets no further than one that does not.

**What is sent.** The whole state each time, under one key in a room that coalesces: a page that is
slow gets fewer states, each of them new, and never a queue of old ones.

**Several processes.** One of them runs a game, and which one is a matter of `turns.py`. What pages
want is published to a room of the servers' own, `steer:NAME`; the process whose turn it is listens
there. When it dies, another one begins the game anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec

from showcase.turns import RENEW, Turns
from showcase.world import World
from treadle.hub import NO_HISTORY, Gap, Hub, Incoming, RoomOptions, Unavailable

ROOMS = {
    "game:*": RoomOptions(history=NO_HISTORY, when_full="coalesce"),
    "steer:*": RoomOptions(history=NO_HISTORY, when_full="coalesce", presence=False),
}
TICK = 1 / 30  # seconds
LOOK = 15  # ticks between two looks at who is still here
HOPELESS = 0.5  # seconds behind, from which on lost time is not made up for
ABANDONED = 5.0  # seconds without a wish, after which a process takes no interest in a game

Push = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Steer(msgspec.Struct, forbid_unknown_fields=True):
    """What a page sends, when it changes and once a second."""

    dx: Push
    dy: Push


class Games:
    """The games that players of this process are in, and those that it runs."""

    def __init__(self, hub: Hub, turns: Turns) -> None:
        self.worlds: dict[str, World] = {}
        """The ones that run here."""
        self._hub = hub
        self._turns = turns
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wished: dict[str, float] = {}  # when a player here wished something, by game
        hub.on_publish("game:*", type=Steer)(self._wish)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run games as long as this is open."""
        try:
            yield
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await self._turns.close()

    async def _wish(self, message: Incoming) -> None:
        game = message.room.partition(":")[2]
        self._wished[game] = self._hub.now()
        if game not in self._tasks:
            task = asyncio.create_task(self._attend(game))
            self._tasks[game] = task
            task.add_done_callback(lambda _: self._tasks.pop(game, None))
        wish = (message.data.dx, message.data.dy)
        await self._hub.publish(f"steer:{game}", wish, key=message.client, sender=message.client)

    async def _attend(self, game: str) -> None:
        """Run a game whenever it is our turn, as long as somebody here plays."""
        while self._hub.now() - self._wished[game] < ABANDONED:
            if await self._turns.take(game):
                try:
                    await self._run(game)
                finally:
                    await self._turns.give_up(game)
            else:
                await asyncio.sleep(RENEW)

    async def _run(self, game: str) -> None:
        """Be the one who decides, until nobody plays or it is no longer our turn."""
        world = self.worlds[game] = World()
        try:
            async with (
                await self._hub.subscribe(f"steer:{game}") as wishes,
                asyncio.TaskGroup() as group,
            ):

                async def listen() -> None:
                    async for wish in wishes:
                        if not isinstance(wish, Gap) and wish.sender is not None:
                            world.steer(wish.sender, *wish.data)

                listening = group.create_task(listen())
                keeping = group.create_task(self._keep_turn(game))
                await self._tick(game, world, keeping)
                listening.cancel()
                keeping.cancel()
        finally:
            del self.worlds[game]

    async def _keep_turn(self, game: str) -> None:
        """Return when it is lost."""
        while await self._turns.take(game):
            await asyncio.sleep(RENEW)

    async def _tick(self, game: str, world: World, keeping: asyncio.Task[None]) -> None:
        room = f"game:{game}"
        due = self._hub.now()
        empty = 0
        while not keeping.done() and empty < ABANDONED / TICK / LOOK:
            look = world.tick % LOOK == 0
            world.step(TICK)
            try:
                if look:
                    here = {member.client for member in await self._hub.members(room)}
                    empty = 0 if here else empty + 1
                    for player in world.crafts.keys() - here:
                        world.leave(player)
                    for player in here:
                        world.join(player)
                await self._hub.publish(room, world.snapshot(), key="state")
            except Unavailable:
                pass  # the game goes on; pages see it when the backend is back
            due += TICK
            late = self._hub.now() - due
            if late > HOPELESS:
                due += late
            await asyncio.sleep(max(0.0, -late))
