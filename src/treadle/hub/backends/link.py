"""A connection to a broker that is made again whenever it breaks.

**Hazards.** A broker may go away with a word (EOF, RST) or without one: behind a firewall that
forgot the connection, packets vanish, and TCP notices after a quarter of an hour. So whoever serves
a link has to ask for an answer now and then, and give up on silence. What is half open when an
attempt fails or is cancelled has to be shut.

**Design.** One task owns the connection for its whole life: open, serve until broken, shut, wait,
open again. Nobody else opens or shuts it. Others wait in `ready` with a deadline of their own.
Between attempts the wait grows up to `LONGEST_WAIT`, and differs from node to node, so that a
hundred nodes do not come back in the same moment; the difference is made from the node's name, for
nothing in here throws dice.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import blake2b
from typing import Any, ParamSpec, TypeVar

from treadle.hub.errors import HubClosed, Unavailable

__all__ = ["Link", "all_of", "end", "explain", "waits", "within_timeout"]

P = ParamSpec("P")
T = TypeVar("T")

FIRST_WAIT = 0.05
LONGEST_WAIT = 2.0


def waits(name: str, attempt: int) -> float:
    """Seconds to wait before an attempt, of which the first is 0: between a half and the whole of
    what is doubled each time.

    >>> [round(waits("node", n), 2) <= 0.05 * 2**n for n in range(3)]
    [True, True, True]
    """
    whole: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt, 16))
    dice = int.from_bytes(blake2b(f"{name} {attempt}".encode(), digest_size=4).digest())
    return whole * (0.5 + dice / 2**33)


class Link(ABC):
    """Subclasses say how to open, serve and shut; callbacks are told of each change.

    `up` is awaited before the link counts as ready, and may use it; when it fails or takes longer
    than `timeout`, the link is opened again. Then `on_ready` is called (not for the first time),
    and `chore` runs beside what comes, until it is done or the link breaks; it may take long, and
    fail. `down` is called once for each time that a link which was up broke.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self.name = name  # differs from node to node
        self.timeout = timeout
        self.up: Callable[[], Awaitable[None]] | None = None
        self.on_ready: Callable[[], None] | None = None
        self.chore: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.down: Callable[[str], None] | None = None
        self._ready = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._opener: asyncio.Task[Any] | None = None  # who opens it now, and need not wait
        self._closed = False

    # to be filled in -------------------------------------------------------------------------

    @abstractmethod
    async def open(self) -> None:
        """Connect and subscribe to all that is wanted; may be cancelled by a timeout."""

    @abstractmethod
    async def serve(self) -> None:
        """Return or raise when the connection is broken."""

    @abstractmethod
    async def shut(self) -> None:
        """Let go of whatever is open, at once. Called after each `open`, however it ended."""

    # -----------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        return self._ready.is_set()

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def start(self) -> None:
        """Connect for the first time; raises `Unavailable` if that is impossible now."""
        try:
            await self._attempt()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise Unavailable(f"{self.name}: {explain(error)}") from error
        self._ready.set()
        self._owner = asyncio.create_task(self._live(), name=f"treadle.hub link {self.name}")

    async def ready(self) -> None:
        """Wait until the link is up. Without a deadline: that is the caller's."""
        if self._closed:
            raise HubClosed("the backend is closed")
        if self._opener is not None and self._opener is asyncio.current_task():
            return
        await self._ready.wait()
        if self._closed:
            raise HubClosed("the backend is closed")

    async def close(self) -> None:
        """Shut it for good."""
        self._closed = True
        self._ready.set()  # whoever waits is to see that it is closed
        owner, self._owner = self._owner, None
        while owner is not None and not owner.done():
            owner.cancel()
            # more than once, for nats-py swallows a cancellation where it waits to write
            await asyncio.wait([owner], timeout=self.timeout)

    async def _attempt(self) -> None:
        self._opener = asyncio.current_task()
        try:
            async with asyncio.timeout(self.timeout):
                await self.open()
                if self.up is not None:
                    await self.up()
        except BaseException:
            await self._shut()
            raise
        finally:
            self._opener = None

    async def _live(self) -> None:
        try:
            while True:
                reason = await self._serve()
                self._ready.clear()
                if self.down is not None:
                    self.down(reason)
                await self._shut()
                await self._reopen()
                self._ready.set()
                if self.on_ready is not None:
                    self.on_ready()
        finally:
            await self._shut()

    async def _serve(self) -> str:
        """Serve until the link is broken, and say why it is."""
        chore = None if self.chore is None else asyncio.create_task(self.chore())
        try:
            await self.serve()
        except Exception as error:
            return explain(error)
        finally:
            if chore is not None:
                await end(chore)
        return "the connection was closed"

    async def _reopen(self) -> None:
        attempt = 0
        while True:
            await asyncio.sleep(waits(self.name, attempt))
            attempt += 1
            try:
                await self._attempt()
            except Exception:
                continue
            return

    async def _shut(self) -> None:
        """Shut, and see to it that this ends and raises nothing."""
        try:
            async with asyncio.timeout(self.timeout):
                await self.shut()
        except Exception:
            pass


async def all_of(*awaitables: Awaitable[T]) -> list[T]:
    """Wait for all, then raise the first failure; none is left running."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    found = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for it, whatever becomes of it."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def explain(error: BaseException) -> str:
    """A reason that says something also for exceptions without words.

    >>> explain(TimeoutError()), explain(OSError("gone"))
    ('TimeoutError', 'gone')
    """
    return str(error) or type(error).__name__


def within_timeout(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A method of something with a `_timeout`: when it takes longer, it raises `Unavailable`."""

    @functools.wraps(call)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        seconds: float = args[0]._timeout  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(seconds):
                return await call(*args, **kwargs)
        except TimeoutError as error:
            raise Unavailable(f"no answer within {seconds:g} s") from error

    return bounded
