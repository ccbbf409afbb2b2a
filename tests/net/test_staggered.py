"""The race between connection attempts: one winner, the losers closed, nobody forgotten."""

from __future__ import annotations

import asyncio

import pytest

from treadle._net.connect import staggered

pytestmark = [pytest.mark.treadle_only]


class Prize:
    """Stands for a socket."""

    closed = 0

    def close(self):
        self.closed += 1


class Attempt:
    """An attempt that ends when the test says so."""

    def __init__(self, loop):
        self.outcome = loop.create_future()
        self.started = loop.create_future()
        self.cancelled = False

    async def __call__(self):
        self.started.set_result(None)
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.fixture
def attempts(loop):
    return [Attempt(loop) for _ in range(3)]


async def test_the_first_to_succeed_wins_and_the_others_are_never_started(loop, attempts):
    prize = Prize()
    attempts[0].outcome.set_result(prize)
    assert await staggered(attempts, None) == (prize, [])
    assert not attempts[1].started.done()
    assert prize.closed == 0


async def test_without_a_delay_the_next_starts_only_after_a_failure(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, None))
    await attempts[0].started
    for _ in range(5):
        await asyncio.sleep(0)
    assert not attempts[1].started.done()
    attempts[0].outcome.set_exception(OSError("first"))
    await attempts[1].started
    attempts[1].outcome.set_result("sock")
    assert await race == ("sock", [])


def test_with_a_delay_the_next_starts_that_much_later(virtual):
    loop, clock = virtual
    attempts = [Attempt(loop) for _ in range(3)]
    started = []

    async def race():
        for attempt in attempts:
            attempt.started.add_done_callback(lambda _: started.append(clock.ns))
        attempts[2].started.add_done_callback(lambda _: attempts[0].outcome.set_result("sock"))
        return await staggered(attempts, 0.25)

    assert loop.run_until_complete(race()) == ("sock", [])
    assert [ns // 1_000_000 for ns in started] == [0, 250, 500]


async def test_the_losers_are_cancelled_and_waited_for(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    prize = Prize()
    attempts[1].outcome.set_result(prize)
    assert await race == (prize, [])
    assert attempts[0].cancelled
    assert attempts[2].cancelled
    assert prize.closed == 0


async def test_of_two_that_succeed_at_once_one_is_closed(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    prizes = [Prize(), Prize()]
    attempts[0].outcome.set_result(prizes[0])
    attempts[2].outcome.set_result(prizes[1])
    winner, failures = await race
    assert failures == []
    assert sorted(prize.closed for prize in prizes) == [0, 1]
    assert winner.closed == 0


async def test_failures_are_in_the_order_of_the_attempts(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    errors = [OSError(str(number)) for number in range(3)]
    for number in (2, 0, 1):
        attempts[number].outcome.set_exception(errors[number])
        await asyncio.sleep(0)
    assert await race == (None, errors)


async def test_no_attempts_have_no_winner(loop):
    assert await staggered([], None) == (None, [])


async def test_an_interrupt_in_an_attempt_ends_the_race(loop, attempts):
    class Stop(BaseException):
        pass

    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    attempts[1].outcome.set_exception(Stop())
    with pytest.raises(Stop):
        await race
    assert attempts[0].cancelled
    assert attempts[2].cancelled


async def test_cancelling_the_race_cancels_every_attempt(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert all(attempt.cancelled for attempt in attempts)


async def test_a_prize_won_at_the_moment_of_cancelling_is_closed(loop, attempts):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    prize = Prize()
    attempts[1].outcome.set_result(prize)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert prize.closed == 1 or attempts[1].cancelled


@pytest.mark.parametrize("turns", range(8))
async def test_a_prize_is_closed_or_returned_whenever_the_race_is_cancelled(loop, attempts, turns):
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    prizes = [Prize() for _ in attempts]
    for attempt, prize in zip(attempts, prizes, strict=True):
        attempt.outcome.set_result(prize)
    for _ in range(turns):
        await asyncio.sleep(0)
    race.cancel()
    try:
        winner, _ = await race
    except asyncio.CancelledError:
        winner = None
    for attempt, prize in zip(attempts, prizes, strict=True):
        assert prize is winner or prize.closed == 1 or attempt.cancelled
        assert prize.closed <= 1


async def test_a_prize_is_closed_even_when_the_race_is_cancelled_twice(loop, attempts):
    """The second cancellation comes while the first one waits for the attempts."""

    class Slow(Attempt):
        async def __call__(self):
            try:
                return await super().__call__()
            except asyncio.CancelledError:
                await loop_is_free
                raise

    loop_is_free = loop.create_future()
    attempts[0] = Slow(loop)
    race = asyncio.ensure_future(staggered(attempts, 0))
    await attempts[2].started
    prize = Prize()
    attempts[1].outcome.set_result(prize)
    for _ in range(2):
        await asyncio.sleep(0)
        race.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    race.cancel()
    loop_is_free.set_result(None)
    try:
        winner, _ = await race
    except asyncio.CancelledError:
        winner = None
    assert prize is winner or prize.closed == 1 or attempts[1].cancelled
