"""The engine of `map_concurrent`: a feeder, its workers, and those who take the results.

One task, the feeder, takes the items and starts a task for each as there is room. Whoever iterates
waits for the next result. All three sides change the state below, and each step that may make
another go on tells it: a worker's end gives the feeder room, and a result taken does.

The first failure is kept and everything is cancelled at once. The one who iterates then waits for
all to be over before it raises, so nothing of the work outlives the iteration.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
)
from operator import length_hint
from types import AsyncGeneratorType, TracebackType
from typing import Any, Generic, TypeVar, cast

from treadle.aio.progress import Bar, make_bar
from treadle.aio.tasks import wait

__all__ = ["Mapping", "awaited_to_the_end"]

T = TypeVar("T")
R = TypeVar("R")


async def awaited_to_the_end(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all are done, also when this is cancelled meanwhile; that is raised afterwards."""
    pending = {future for future in futures if not future.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        try:
            _, pending = await wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            pending = {future for future in pending if not future.done()}
    if cancelled is not None:
        raise cancelled


class Mapping(Generic[R]):
    """What `map_concurrent` returns: to be awaited or iterated over, once."""

    def __init__(
        self,
        function: Callable[[T], Awaitable[R]],
        items: Iterable[T] | AsyncIterable[T],
        *,
        limit: int,
        ordered: bool,
        ahead: int | None,
        progress: bool | str,
        total: int | None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"map_concurrent() takes a coroutine function, not {function!r}")
        if not isinstance(items, (Iterable, AsyncIterable)):
            raise TypeError(f"map_concurrent() takes items to iterate over, not {items!r}")
        if limit < 1:
            raise ValueError(f"limit is a number of calls from 1, not {limit!r}")
        if ahead is None:
            ahead = 2 * limit
        if ahead < limit:
            raise ValueError(f"ahead cannot be less than limit={limit}: {ahead!r}")
        if total is None:
            total = length_hint(items, -1)
        bar = make_bar(progress, total)
        self._work = _Work(function, items, limit, ahead, ordered, bar)
        self._begun = False

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._all(self._begin()).__await__()

    def __aiter__(self) -> AsyncIterator[R]:
        return self._begin()

    def _begin(self) -> AsyncGenerator[R, None]:
        if self._begun:
            raise RuntimeError("map_concurrent() can be awaited or iterated over once")
        self._begun = True
        return self._iterate()

    @staticmethod
    async def _all(results: AsyncGenerator[R, None]) -> list[R]:
        return [result async for result in results]

    async def _iterate(self) -> AsyncGenerator[R, None]:
        work = self._work
        try:
            work.start()
            while (task := await work.next()) is not None:
                yield cast(R, task.result())
        finally:
            await work.stop()

    async def aclose(self) -> None:
        """Cancel what is running and wait for it; there are no more results."""
        self._begun = True
        await self._work.stop()

    async def __aenter__(self) -> Mapping[R]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Work:
    """What is running, and what has come of it."""

    def __init__(
        self,
        function: Callable[[Any], Awaitable[Any]],
        items: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        ahead: int,
        ordered: bool,
        bar: Bar,
    ) -> None:
        self.function = function
        self.items = items
        self.limit = limit
        self.ahead = ahead
        self.ordered = ordered
        self.bar = bar
        self.feeder: asyncio.Task[None] | None = None
        self.running: dict[asyncio.Task[Any], None] = {}  # in the order of their beginning
        self.waiting: deque[asyncio.Task[Any]] = deque()  # for being taken, in that order
        self.fed = False  # there are no more items
        self.untaken = 0  # running or with a result
        self.completed = 0
        self.failure: BaseException | None = None  # the first; raised once
        self.cancelled = False  # nothing may begin any more
        self.stopped = False  # there are no more results
        self.room: asyncio.Future[None] | None = None  # what the feeder waits for
        self.news: asyncio.Future[None] | None = None  # what the one who iterates waits for

    # the feeder and its workers --------------------------------------------------------------

    def start(self) -> None:
        if self.stopped:
            return
        self.loop = asyncio.get_running_loop()
        self.bar.start()
        self.feeder = self.loop.create_task(self._feed())
        self.feeder.add_done_callback(self._fed)

    async def _feed(self) -> None:
        await self._room()
        if not isinstance(self.items, AsyncIterable):
            for item in self.items:
                self._begin(item)
                await self._room()
            return
        iterator = aiter(self.items)
        try:
            async for item in iterator:
                self._begin(item)
                await self._room()
        finally:
            if isinstance(iterator, AsyncGeneratorType):
                await iterator.aclose()

    async def _room(self) -> None:
        while len(self.running) >= self.limit or self.untaken >= self.ahead:
            self.room = self.loop.create_future()
            await self.room

    def _begin(self, item: Any) -> None:
        if self.cancelled:  # and the items take no notice
            raise asyncio.CancelledError
        task = self.loop.create_task(_call(self.function, item))
        self.untaken += 1
        self.running[task] = None
        if self.ordered:
            self.waiting.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task, None)
        self.completed += 1
        if self._went_well(task):
            if not self.ordered:
                self.waiting.append(task)
            _tell(self.room)
        _tell(self.news)

    def _fed(self, feeder: asyncio.Task[None]) -> None:
        self.fed = self._went_well(feeder)
        _tell(self.news)

    def _went_well(self, task: asyncio.Task[Any]) -> bool:
        """Look at how a task ended; the first failure cancels all others."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return True
        if not self.cancelled:
            self.failure = error
            self._cancel()
        else:
            self._report(error)
        return False

    def _report(self, error: BaseException) -> None:
        """Tell of a failure that nobody is there to take."""
        if not isinstance(error, asyncio.CancelledError):
            message = "a call of map_concurrent() failed while all were being cancelled"
            self.loop.call_exception_handler({"message": message, "exception": error})

    def _cancel(self) -> None:
        """Cancel all, once: what they do about it must not be disturbed."""
        if self.cancelled:
            return
        self.cancelled = True
        if self.feeder is not None:
            self.feeder.cancel()
        for task in self.running:
            task.cancel()

    # the one who iterates --------------------------------------------------------------------

    async def next(self) -> asyncio.Task[Any] | None:
        """Return the next task that is done, or None at the end."""
        while True:
            self.bar.show(self.completed)
            if self.failure is not None:
                await self._all_over()
            if self.failure is not None:
                failure, self.failure = self.failure, None
                try:
                    raise failure
                finally:
                    del failure  # its traceback holds this frame
            if self.stopped:
                return None
            # what is done may not have been looked at: its done-callback does that, a turn later
            if self.waiting and self.waiting[0] not in self.running:
                self.untaken -= 1
                _tell(self.room)
                return self.waiting.popleft()
            if self.fed and not self.waiting and not self.running:
                return None
            self.news = self.loop.create_future()
            await self.news

    async def stop(self) -> None:
        """Cancel what is running and wait for it."""
        self.stopped = True
        self._cancel()
        self.waiting.clear()
        _tell(self.news)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            self._report(failure)
        try:
            await self._all_over()
        finally:
            self.bar.stop()

    async def _all_over(self) -> None:
        tasks: list[asyncio.Future[Any]] = list(self.running)
        if self.feeder is not None:
            tasks.append(self.feeder)
        await awaited_to_the_end(tasks)


async def _call(function: Callable[[Any], Awaitable[Any]], item: Any) -> Any:
    return await function(item)


def _tell(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
