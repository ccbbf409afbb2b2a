"""Promise.all_, any_, race and all_settled, and what JavaScript makes of nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.aio.promises import REASON, VALUE, after_turns, fulfilled, outcome, rejected, turns
from treadle import Promise
from treadle.aio.combining import Settled

COMBINATORS = ["all_", "any_", "race", "all_settled"]


def test_all_gives_the_values_of_promises_awaitables_and_values_in_order(run):
    async def main():
        late = fulfilled("late", when="later")
        items = [late, asyncio.sleep(0, "coroutine"), "value", fulfilled("early")]
        assert await Promise.all_(items) == ["late", "coroutine", "value", "early"]

    run(main)


def test_all_is_rejected_with_the_first_rejection_and_the_others_go_on(run):
    async def main():
        gate = Promise(lambda resolve, reject: None)
        promise = Promise.all_([gate, rejected(when="later"), rejected(KeyError(), "later")])
        assert await outcome(promise) == ("rejected", REASON)
        assert gate.state == "pending"

    run(main)


def test_any_gives_the_first_value(run):
    async def main():
        items = [rejected(), fulfilled("late", when="later"), fulfilled("early")]
        assert await Promise.any_(items) == "early"

    run(main)


def test_any_is_rejected_with_all_reasons_in_order(run):
    async def main():
        late = rejected(KeyError("late"), "later")
        with pytest.raises(ExceptionGroup) as raised:
            await Promise.any_([late, rejected()])
        assert [type(error) for error in raised.value.exceptions] == [KeyError, ValueError]

    run(main)


def test_any_has_a_group_for_cancellations_too(run):
    async def main():
        cancelled, _, _ = Promise.with_resolvers()
        cancelled.cancel()
        how, reason = await outcome(Promise.any_([cancelled]))
        assert how == "rejected"
        assert type(reason) is BaseExceptionGroup

    run(main)


@pytest.mark.parametrize(("make", "expected"), [(fulfilled, VALUE), (rejected, REASON)])
def test_race_follows_the_first_to_be_settled(run, make, expected):
    async def main():
        never = Promise(lambda resolve, reject: None)
        assert (await outcome(Promise.race([never, make(when="later")])))[1] is expected

    run(main)


def test_all_settled_tells_how_each_ended(run):
    async def main():
        assert await Promise.all_settled([rejected(when="later"), fulfilled(), 5]) == [
            Settled("rejected", reason=REASON),
            Settled("fulfilled", value=VALUE),
            Settled("fulfilled", value=5),
        ]

    run(main)


def test_of_nothing_all_and_all_settled_are_fulfilled_with_nothing_at_once(run):
    async def main():
        for combine in (Promise.all_, Promise.all_settled):
            promise = combine([])
            assert promise.state == "fulfilled"
            assert await promise == []

    run(main)


def test_of_nothing_any_is_rejected_at_once(run):
    async def main():
        promise = Promise.any_([])
        assert promise.state == "rejected"
        with pytest.raises(ValueError, match="no items"):
            await promise

    run(main)


def test_of_nothing_a_race_is_never_decided(run):
    async def main():
        promise = Promise.race([])
        await turns()
        assert promise.state == "pending"

    run(main)


@pytest.mark.parametrize("name", COMBINATORS)
def test_what_the_items_raise_rejects(run, name):
    async def main():
        def items():
            yield Promise(lambda resolve, reject: None)
            raise REASON

        assert await outcome(getattr(Promise, name)(items())) == ("rejected", REASON)

    run(main)


@pytest.mark.parametrize("name", COMBINATORS)
def test_the_rejections_of_the_items_are_not_reported_when_the_promise_is_handled(run, name):
    async def main():
        items = [Promise.reject(ValueError(number)) for number in range(3)]
        await outcome(getattr(Promise, name)(items))

    run(main)  # the loop of the tests takes no reports


ITEMS = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=6)


@given(ITEMS)
def test_any_mixture_ends_as_its_definition_says(items):
    """An item is whether it is fulfilled, and after how many turns; its value is its index."""

    async def main():
        promises = []
        for index, (good, when) in enumerate(items):
            promise, resolve, reject = Promise.with_resolvers()
            promise.catch(lambda _: None)
            after_turns(when, *((resolve, index) if good else (reject, KeyError(index))))
            promises.append(promise)
        combined = [getattr(Promise, name)(promises) for name in COMBINATORS]
        return [await outcome(promise) for promise in combined]

    def first(indexes):
        return min(indexes, key=lambda index: items[index][1])

    def plain(result):
        how, what = result
        if isinstance(what, ExceptionGroup):
            return how, [error.args[0] for error in what.exceptions]
        return how, what.args[0] if isinstance(what, KeyError) else what

    everything = range(len(items))
    good = [index for index in everything if items[index][0]]
    bad = [index for index in everything if not items[index][0]]
    together, some, quickest, settled = treadle.run(main())
    assert plain(together) == (("rejected", first(bad)) if bad else ("fulfilled", list(everything)))
    assert plain(some) == (("fulfilled", first(good)) if good else ("rejected", bad))
    winner = first(everything)
    assert plain(quickest) == ("fulfilled" if items[winner][0] else "rejected", winner)
    assert [one.status == "fulfilled" for one in settled[1]] == [good for good, _ in items]
