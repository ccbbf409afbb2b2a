"""The server of the showcase's game, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from showcase.game import ABANDONED, ROOMS, Games
from showcase.turns import Alone
from treadle.hub import Hub, MemoryBackend, MemoryBroker, Message, Refused

STILL = {"dx": 0, "dy": 0}


class Rota:
    """Whose turn it is, as the test says."""

    def __init__(self):
        self.holder = None

    def of(self, me):
        rota = self

        class Turns(Alone):
            async def take(self, name):
                rota.holder = rota.holder or me
                return rota.holder == me

            async def give_up(self, name):
                if rota.holder == me:
                    rota.holder = None

        return Turns()


@asynccontextmanager
async def serving(backend=None, turns=None):
    async with Hub(backend, rooms=ROOMS) as hub:
        games = Games(hub, turns or Alone())
        async with games.running():
            yield hub, games


async def state(client):
    """The newest state that a client was told."""
    await asyncio.sleep(0.2)
    frames = [frame for frame in await client.waiting() if isinstance(frame, Message)]
    return frames[-1].data


def test_thirty_times_a_second_players_are_told_the_state(run):
    async def main():
        async with serving() as (hub, _):
            ada = await hub.client()
            await ada.join("game:field")
            await ada.publish("game:field", STILL)
            first = (await ada.message()).data["tick"]
            await asyncio.sleep(1)
            return (await state(ada))["tick"] - first

    assert run(main) == pytest.approx(36, abs=2)


def test_a_slow_player_gets_the_newest_state_and_no_queue_of_old_ones(run):
    async def main():
        async with serving() as (hub, _):
            ada = await hub.client()
            await ada.join("game:field")
            await ada.publish("game:field", STILL)
            await asyncio.sleep(3)
            frames = await ada.waiting()
            states = [frame for frame in frames if isinstance(frame, Message)]
            assert len(states) == 1
            assert states[0].data["tick"] > 80
            assert hub.stats().coalesced > 80

    run(main)


def test_what_one_player_does_another_one_sees(run):
    async def main():
        async with serving() as (hub, _):
            ada, bob = await hub.client(), await hub.client()
            for client in (ada, bob):
                await client.join("game:field")
                await client.publish("game:field", STILL)
            before = {name: x for name, x, _, _ in (await state(bob))["crafts"]}
            side = 1 if before[ada.name] < 700 else -1
            await ada.publish("game:field", {"dx": side, "dy": 0})
            after = {name: x for name, x, _, _ in (await state(bob))["crafts"]}
            assert (after[ada.name] - before[ada.name]) * side > 0
            assert after[bob.name] == before[bob.name]

    run(main)


@pytest.mark.parametrize("wish", [{"dx": 2, "dy": 0}, {"dx": 0}, "left", {**STILL, "x": 1}, None])
def test_a_wish_that_is_none_is_refused(run, wish):
    async def main():
        async with serving() as (hub, games):
            ada = await hub.client()
            await ada.join("game:field")
            with pytest.raises(Refused):
                await ada.publish("game:field", wish)
            assert games.worlds == {}

    run(main)


def test_who_left_is_taken_out_of_the_game(run):
    async def main():
        async with serving() as (hub, _):
            ada, bob = await hub.client(), await hub.client()
            for client in (ada, bob):
                await client.join("game:field")
                await client.publish("game:field", STILL)
            bob.close()
            await asyncio.sleep(1)
            assert [craft[0] for craft in (await state(ada))["crafts"]] == [ada.name]

    run(main)


def test_a_game_that_everybody_left_ends_and_begins_anew(run):
    async def main():
        async with serving() as (hub, games):
            for _ in range(2):
                ada = await hub.client()
                await ada.join("game:field")
                await ada.publish("game:field", STILL)
                assert (await state(ada))["tick"] < 30
                assert list(games.worlds) == ["field"]
                ada.close()
                await asyncio.sleep(3 * ABANDONED)
                assert games.worlds == {}
            assert hub.stats().rooms == 0

    run(main)


def test_one_of_two_processes_runs_the_game_and_the_other_takes_over(run):
    async def main():
        broker, rota = MemoryBroker(), Rota()
        async with (
            serving(MemoryBackend(broker), rota.of("one")) as (one, here),
            serving(MemoryBackend(broker), rota.of("two")) as (two, there),
        ):
            ada, bob = await one.client(), await two.client()
            for client in (ada, bob):
                await client.join("game:field")
                await client.publish("game:field", STILL)
            assert {craft[0] for craft in (await state(ada))["crafts"]} == {ada.name, bob.name}
            assert (list(here.worlds), list(there.worlds)) == (["field"], [])
            rota.holder = "two"
            await asyncio.sleep(2.5)
            assert (list(here.worlds), list(there.worlds)) == ([], ["field"])
            await ada.publish("game:field", STILL)
            assert ada.name in {craft[0] for craft in (await state(bob))["crafts"]}

    run(main)
