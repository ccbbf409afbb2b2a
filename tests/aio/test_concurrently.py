"""map_concurrent: limits, order, failures, cancellations, slow and absent consumers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.aio.works import REASON, Work, double, turns
from treadle import Promise, map_concurrent


async def numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


# results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [lambda: range(9), lambda: iter(range(9)), lambda: numbers(9)])
@pytest.mark.parametrize("limit", [1, 2, 20])
def test_awaiting_gives_the_results_in_the_order_of_the_items(run, items, limit):
    async def main():
        assert await map_concurrent(double, items(), limit=limit) == [*range(0, 18, 2)]

    run(main)


@pytest.mark.parametrize("items", [list, lambda: numbers(0)])
@pytest.mark.parametrize("ordered", [True, False])
def test_of_nothing_there_are_no_results(run, items, ordered):
    async def main():
        assert await map_concurrent(double, items(), limit=2, ordered=ordered) == []

    run(main)


def test_iterating_gives_the_results_in_order_as_soon_as_they_are_there(run):
    async def main():
        work = Work()
        async with map_concurrent(work, "abc", limit=3) as mapping:
            results = aiter(mapping)
            first = asyncio.ensure_future(anext(results))
            await turns()
            work.end("b")
            await turns()
            assert not first.done()
            work.end("a")
            assert await first == "result a"
            assert await anext(results) == "result b"
            work.end("c")
            assert await anext(results) == "result c"
            with pytest.raises(StopAsyncIteration):
                await anext(results)

    run(main)


def test_unordered_results_come_as_they_complete(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(collect(map_concurrent(work, "abc", limit=3, ordered=False)))
        for item in "cab":
            await turns()
            work.end(item)
        assert await task == ["result c", "result a", "result b"]

    run(main)


async def collect(results):
    return [result async for result in results]


def test_the_function_may_return_anything_that_can_be_awaited(run):
    async def main():
        assert await map_concurrent(Promise.resolve, range(3), limit=2) == [0, 1, 2]

    run(main)


def test_it_is_awaited_or_iterated_over_once(run):
    async def main():
        mapping = map_concurrent(double, range(3), limit=2)
        await mapping
        with pytest.raises(RuntimeError, match="once"):
            await mapping
        with pytest.raises(RuntimeError, match="once"):
            aiter(mapping)

    run(main)


@given(
    st.lists(st.integers(0, 5), max_size=12),
    st.integers(1, 4),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
def test_every_item_is_mapped_once_within_the_limits(waits, limit, more, ordered, asynchronous):
    running = set()
    begun = []
    taken = []

    async def work(item):
        running.add(item)
        begun.append(item)
        assert len(running) <= limit
        assert len(begun) - len(taken) <= limit + more
        await turns(waits[item])
        running.discard(item)
        return item

    async def main():
        items = numbers(len(waits)) if asynchronous else range(len(waits))
        results = map_concurrent(work, items, limit=limit, ahead=limit + more, ordered=ordered)
        async for result in results:
            taken.append(result)
            await turns(result % 3)

    treadle.run(main())
    assert begun == [*range(len(waits))]
    assert (taken if ordered else sorted(taken)) == begun


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 25),
)
def test_whatever_fails_and_whenever_it_is_cancelled_nothing_is_left(
    items, limit, ordered, asynchronous, cancel_after
):
    running, reports, failed = set(), [], []

    async def work(item):
        wait, good = items[item]
        running.add(item)
        try:
            await turns(wait)
        except asyncio.CancelledError:
            await turns(wait)  # cleaning up
            raise
        finally:
            running.discard(item)
        if not good:
            failed.append(item)
            raise KeyError(item)
        return item

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        source = numbers(len(items)) if asynchronous else range(len(items))
        task = asyncio.ensure_future(
            collect(map_concurrent(work, source, limit=limit, ordered=ordered))
        )
        await turns(cancel_after)
        task.cancel()
        await asyncio.wait([task])
        assert not running
        await turns()
        return task

    task = treadle.run(main())
    reported = [report["exception"].args[0] for report in reports]
    if task.cancelled():
        assert sorted(reported) == sorted(failed)
    elif task.exception() is None:
        assert sorted(task.result()) == [*range(len(items))]
        assert not failed
    else:
        assert sorted([*reported, task.exception().args[0]]) == sorted(failed)


# limits --------------------------------------------------------------------------------------


def test_no_more_run_than_the_limit_allows(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(collect(map_concurrent(work, range(6), limit=2)))
        for item in range(6):
            await turns()
            work.end(item)
        await task
        assert work.most == 2

    run(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_consumer_slows_the_work_down(run, ordered):
    async def main():
        begun = []

        async def quick(item):
            begun.append(item)
            return item

        endless = iter(int, 1)
        async with map_concurrent(quick, endless, limit=2, ahead=3, ordered=ordered) as mapping:
            results = aiter(mapping)
            await anext(results)
            await turns(20)
            assert len(begun) == 4  # one taken, three that may be ahead
            await anext(results)
            await turns(20)
            assert len(begun) == 5

    run(main)


def test_the_work_goes_on_behind_a_slow_first_item(run):
    async def main():
        work = Work()
        async with map_concurrent(work, range(9), limit=2) as mapping:
            first = asyncio.ensure_future(anext(aiter(mapping)))
            await turns()
            for item in (1, 2, 3):
                work.end(item)
                await turns()
            assert work.running == [0]  # four are running or untaken: twice the limit
            work.end(0)
            assert await first == "result 0"

    run(main)


def test_an_item_is_not_taken_before_there_is_room_for_it(run):
    async def main():
        given_out = []

        def items():
            for number in range(9):
                given_out.append(number)
                yield number

        async with map_concurrent(Work(), items(), limit=2) as mapping:
            task = asyncio.ensure_future(anext(aiter(mapping)))
            await turns()
            assert given_out == [0, 1]
        with contextlib.suppress(StopAsyncIteration):
            await task

    run(main)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0}, ValueError),
        ({"limit": 3, "ahead": 2}, ValueError),
        ({"limit": 1, "items": 5}, TypeError),
        ({"limit": 1, "function": "no function"}, TypeError),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, error):
    with pytest.raises(error):
        map_concurrent(**({"function": double, "items": []} | arguments))


# failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_failure_cancels_the_rest_and_is_raised_when_that_is_over(run, ordered):
    async def main():
        work = Work()
        task = asyncio.ensure_future(
            collect(map_concurrent(work, range(9), limit=3, ordered=ordered))
        )
        await turns()
        work.fail(1)
        with pytest.raises(ValueError, match="the reason"):
            await task
        assert work.cancelled == [0, 2]
        assert not work.running

    run(main)


def test_a_failure_cancels_the_rest_also_while_the_consumer_is_busy(run):
    async def main():
        work = Work()
        async with map_concurrent(work, range(9), limit=3) as mapping:
            results = aiter(mapping)
            first = asyncio.ensure_future(anext(results))
            await turns()
            work.end(0)
            await first
            await turns()
            work.fail(2)
            await turns(10)
            assert not work.running
            with pytest.raises(ValueError, match="the reason"):
                await anext(results)

    run(main)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_failure_of_the_items_cancels_the_rest(run, asynchronous):
    async def main():
        async def failing_later():
            yield 1
            raise REASON

        def failing():
            yield 1
            raise REASON

        work = Work()
        items = failing_later() if asynchronous else failing()
        with pytest.raises(ValueError, match="the reason"):
            await map_concurrent(work, items, limit=3)
        assert not work.running

    run(main)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("ordered", [True, False])
def test_items_that_fail_at_their_end_are_no_end(run, before, limit, ordered):
    async def main():
        def items():
            yield from range(before)
            raise REASON

        with pytest.raises(ValueError, match="the reason"):
            await map_concurrent(double, items(), limit=limit, ordered=ordered)

    run(main)


@pytest.mark.parametrize("turns_before", range(6))
def test_a_failure_is_raised_once_whenever_the_consumer_comes(run, turns_before):
    async def main():
        work = Work()
        async with map_concurrent(work, range(2), limit=2) as mapping:
            results = aiter(mapping)
            first = asyncio.ensure_future(anext(results))
            await turns()
            work.end(0)
            await first
            work.fail(1)
            for _ in range(turns_before):
                await asyncio.sleep(0)
            with pytest.raises(ValueError, match="the reason"):
                await anext(results)
        await turns()

    run(main)  # the loop of the tests takes no reports


def test_another_failure_is_reported(run, reports):
    async def main():
        other = KeyError("another")
        work = Work()
        task = asyncio.ensure_future(collect(map_concurrent(work, range(3), limit=3)))
        await turns()
        work.fail(1)
        work.fail(2, other)
        with pytest.raises(ValueError, match="the reason"):
            await task
        await turns()
        assert [report["exception"] for report in reports] == [other]

    run(main)


def test_a_call_that_is_cancelled_by_others_is_a_failure(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(collect(map_concurrent(work, range(3), limit=3)))
        await turns()
        work.gates[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not work.running

    run(main)


# cancelling and leaving ----------------------------------------------------------------------


@pytest.mark.parametrize("iterate", [collect, lambda mapping: awaited(mapping)])
def test_a_cancellation_cancels_all_and_waits_for_them(run, iterate):
    async def main():
        work = Work()
        task = asyncio.ensure_future(iterate(map_concurrent(work, range(9), limit=3)))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.cancelled == [0, 1, 2]
        assert not work.running

    run(main)


async def awaited(awaitable):
    return await awaitable


def test_a_second_cancellation_does_not_disturb_the_cleaning_up(run):
    async def main():
        work = Work()
        task = asyncio.ensure_future(awaited(map_concurrent(work, range(9), limit=3)))
        await turns()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.cancelled == [0, 1, 2]

    run(main)


def test_leaving_the_block_cancels_the_rest_and_waits_for_it(run):
    async def main():
        work = Work()
        async with map_concurrent(work, range(9), limit=3) as results:
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, end_soon(work, 0))
            async for _ in results:
                break
        assert work.cancelled == [1, 2]  # the next had not begun
        assert not work.running

    run(main)


async def end_soon(work, item):
    await turns()
    work.end(item)


def test_leaving_the_loop_alone_cancels_the_rest_soon(run):
    async def main():
        work = Work()
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, end_soon(work, 0))
        async for _ in map_concurrent(work, range(9), limit=3):
            break
        await turns(10)
        assert work.cancelled == [1, 2, 3]
        assert not work.running

    run(main)


def test_closing_before_the_beginning_is_the_end(run):
    async def main():
        async with map_concurrent(double, range(3), limit=2) as mapping:
            pass
        with pytest.raises(RuntimeError):
            await mapping
        await mapping.aclose()

    run(main)


def test_closing_ends_the_iteration_of_another_task(run):
    async def main():
        work = Work()
        mapping = map_concurrent(work, range(9), limit=3)
        task = asyncio.ensure_future(collect(mapping))
        await turns()
        await mapping.aclose()
        assert await task == []
        assert not work.running

    run(main)


def test_a_generator_of_items_is_closed(run):
    async def main():
        closed = []

        async def items():
            try:
                for number in range(9):
                    yield number
            finally:
                await asyncio.sleep(0)
                closed.append(True)

        work = Work()
        task = asyncio.ensure_future(awaited(map_concurrent(work, items(), limit=3)))
        await turns()
        work.fail(0)
        await asyncio.wait([task])
        assert isinstance(task.exception(), ValueError)
        assert closed

    run(main)


def test_items_that_ignore_their_cancellation_begin_nothing_any_more(run):
    async def main():
        async def stubborn():
            yield 0
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
            yield 1

        work = Work()
        task = asyncio.ensure_future(awaited(map_concurrent(work, stubborn(), limit=3)))
        await turns()
        work.fail(0)
        with pytest.raises(ValueError, match="the reason"):
            await task
        assert not work.running

    run(main)
