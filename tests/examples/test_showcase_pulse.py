"""The figures of the showcase, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from showcase.pulse import ROOM, ROOMS, LoopLag, beating
from treadle.hub import Hub, Message


def test_once_a_second_the_figures_are_told(run):
    async def main():
        async with Hub(rooms=ROOMS) as hub, beating(hub):
            ada = await hub.client()
            await ada.join(ROOM)
            await asyncio.sleep(10.5)
            frames = [f.data for f in await ada.waiting() if isinstance(f, Message)]
            assert len(frames) == 10
            assert {f["node"] for f in frames} == {hub.node}
            assert frames[-1]["connections"] == frames[-1]["rooms"] == 1
            assert frames[-1]["backend"] == "up"

    run(main)


def test_rates_are_of_the_last_second_only(run):
    async def main():
        async with Hub(rooms=ROOMS) as hub, beating(hub):
            await asyncio.sleep(0)  # it has looked for the first time
            for _ in range(40):
                await hub.publish("somewhere", 1)
            await asyncio.sleep(2.5)
            first, second = await hub.history(ROOM)
            assert first.data["published"] == pytest.approx(40)
            assert second.data["published"] == pytest.approx(1)  # the figures themselves

    run(main)


def test_a_page_that_is_opened_later_gets_what_was_before(run):
    async def main():
        async with Hub(rooms=ROOMS) as hub, beating(hub):
            await asyncio.sleep(100)
            ada = await hub.client()
            await ada.join(ROOM, history=600)
            await asyncio.sleep(0.5)
            frames = [f for f in await ada.waiting() if isinstance(f, Message)]
            assert len(frames) == pytest.approx(100, abs=1)

    run(main)


class SlowLoop:
    """A loop whose callbacks run when the test says so."""

    now = 0.0
    due = None

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.due = (when, callback)
        return self

    def cancel(self):
        self.due = None

    def run_at(self, when):
        self.now = when
        self.due[1]()


def test_lag_is_how_late_the_worst_callback_was():
    loop = SlowLoop()
    lag = LoopLag(loop)
    loop.run_at(loop.due[0])
    assert lag.take() == 0
    for late in (0.01, 0.3, 0.02):
        loop.run_at(loop.due[0] + late)
    assert lag.take() == pytest.approx(0.3)
    assert lag.take() == 0
    lag.stop()
    assert loop.due is None
