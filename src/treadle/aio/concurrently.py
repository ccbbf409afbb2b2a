"""Many coroutines at once: over the items of an iterable, or against each other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from treadle.aio.mapping import Mapping, awaited_to_the_end
from treadle.aio.retrying import retry

__all__ = ["Mapping", "map_concurrent", "race", "retry"]

T = TypeVar("T")
R = TypeVar("R")


def map_concurrent(
    function: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    limit: int,
    ordered: bool = True,
    ahead: int | None = None,
    progress: bool | str = False,
    total: int | None = None,
) -> Mapping[R]:
    """Await ``function(item)`` for all items, at most `limit` of them at the same time.

    What it returns can be awaited, for the list of results, or iterated over with ``async for``,
    for each result as it comes: in the order of the items, or with ``ordered=False`` as they
    complete. Either, and once.

    Nothing begins before the one or the other. An item is taken when there is room for it: fewer
    than `limit` are running, and fewer than `ahead` (by default twice the limit) are running or
    have a result that the loop over them has not taken. So a slow consumer slows the work down, and
    the items may be endless. An asynchronous generator of items is closed at the end.

    The first failure, of a call or of the items, cancels all others, waits for them, and is raised
    by the next step of the iteration in place of results that were not taken yet. What fails while
    it is being cancelled goes to the loop's exception handler. Cancelling the await or the
    iteration cancels and waits in the same way. Leaving ``async for`` early has the rest cancelled
    soon; ``async with map_concurrent(...) as results:`` has it cancelled and awaited at the end of
    the block, as does ``aclose()``.

    `progress` shows a bar on a terminal's stderr, with a description if it is a text; `total` is
    the number of items where they have no length. It needs rich: ``pip install "treadle[cli]"``.

    >>> import asyncio, treadle
    >>> async def square(number):
    ...     await asyncio.sleep(0)
    ...     return number * number
    >>> async def main():
    ...     print(await treadle.map_concurrent(square, range(5), limit=2))
    ...     async with treadle.map_concurrent(square, range(5), limit=2) as squares:
    ...         async for number in squares:
    ...             if number > 3:
    ...                 return number
    >>> treadle.run(main())
    [0, 1, 4, 9, 16]
    4
    """
    return Mapping(
        function,
        items,
        limit=limit,
        ordered=ordered,
        ahead=ahead,
        progress=progress,
        total=total,
    )


async def race(*awaitables: Awaitable[T]) -> T:
    """Return the result of the awaitable that finishes first, or raise its exception.

    The others are cancelled and awaited before this returns; what they would have given is dropped,
    but an exception that one raises because it was cancelled goes to the loop's exception handler.
    Of several that finish in the same turn the first to finish wins. When the race is cancelled all
    are cancelled and awaited. A promise that loses goes on, since it is its awaiting that is
    cancelled.

    >>> import asyncio, treadle
    >>> async def main():
    ...     return await treadle.race(asyncio.sleep(60, "tortoise"), asyncio.sleep(0, "hare"))
    >>> treadle.run(main())
    'hare'
    """
    _check_awaitable(awaitables)
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[asyncio.Future[T]] = loop.create_future()

    def finish(runner: asyncio.Future[T]) -> None:
        if not finished.done():
            finished.set_result(runner)

    runners = {asyncio.ensure_future(awaitable): None for awaitable in dict.fromkeys(awaitables)}
    for runner in runners:
        runner.add_done_callback(finish)
    try:
        winner = await finished
    finally:
        for runner in runners:
            runner.remove_done_callback(finish)
        await _lose(runners)
    return winner.result()


async def _lose(runners: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel those that are not done, and wait for them."""
    losers = [runner for runner in runners if not runner.done()]
    for runner in runners:
        if runner in losers:
            runner.cancel()
        elif not runner.cancelled():
            runner.exception()  # asked for, though nobody wants to know
    try:
        await awaited_to_the_end(losers)
    finally:
        for loser in losers:
            if not loser.cancelled() and (error := loser.exception()) is not None:
                loser.get_loop().call_exception_handler(
                    {
                        "message": "a loser of a race failed when it was cancelled",
                        "exception": error,
                        "future": loser,
                    }
                )


def _check_awaitable(awaitables: tuple[Any, ...]) -> None:
    """Refuse what cannot race, before anything has begun."""
    wrong = [thing for thing in awaitables if not inspect.isawaitable(thing)]
    if awaitables and not wrong:
        return
    for thing in awaitables:
        if isinstance(thing, Coroutine):
            thing.close()
    if wrong:
        raise TypeError(f"race() takes what can be awaited, not {wrong[0]!r}")
    raise ValueError("race() of nothing would never end")
