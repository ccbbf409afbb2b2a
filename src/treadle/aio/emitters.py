"""Events of emitters, awaited and iterated over.

An emitter is anything with ``on(event, listener)`` and ``remove_listener(event, listener)``, such
as those of pyee. Listeners are there as soon as `once` or `on` has returned, not only when somebody
waits. They take events from any thread.

A listener never holds the iterator that the program has: so one that is dropped, because the loop
over it was left, is collected, and takes its listeners with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["CallbackError", "Emitted", "Emitter", "Listening", "on", "once"]

Overflow: TypeAlias = Literal["raise", "drop-oldest", "drop-newest"]
_OVERFLOWS = ("raise", "drop-oldest", "drop-newest")


class CallbackError(Exception):
    """A callback or an event told of an error that is no exception; ``args`` are what it said."""


class Emitter(Protocol):
    """What `once` and `on` need."""

    def on(self, event: str, listener: Any, /) -> Any:
        """Call the listener with each event."""

    def remove_listener(self, event: str, listener: Any, /) -> Any:
        """Do not call the listener any more."""


class Emitted(tuple[Any, ...]):
    """The arguments of an event, as a tuple; `event` is its name, `keywords` the named ones."""

    event: str
    keywords: dict[str, Any]

    def __new__(cls, event: str, arguments: Iterable[Any], keywords: dict[str, Any]) -> Emitted:
        emitted = super().__new__(cls, arguments)
        emitted.event = event
        emitted.keywords = keywords
        return emitted


class _Ears:
    """Listeners for several events of one emitter; told about in the loop's thread, by `hear`."""

    def __init__(self, emitter: Emitter, events: Iterable[str], hear: Callable[[Emitted], None]):
        self.emitter = emitter
        self.loop = asyncio.get_running_loop()
        self.hear: Callable[[Emitted], None] | None = hear
        self.listeners: list[tuple[str, Callable[..., None]]] = []
        try:
            for event in dict.fromkeys(events):
                listener = partial(self._emitted, event)
                emitter.on(event, listener)
                self.listeners.append((event, listener))
        except BaseException:
            self.close()
            raise

    def _emitted(self, event: str, *arguments: Any, **keywords: Any) -> None:
        emitted = Emitted(event, arguments, keywords)
        if asyncio._get_running_loop() is self.loop:
            self._pass_on(emitted)
            return
        try:
            self.loop.call_soon_threadsafe(self._pass_on, emitted)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            self.close()  # nobody can be listening

    def _pass_on(self, emitted: Emitted) -> None:
        if self.hear is not None:
            self.hear(emitted)

    def close(self) -> None:
        """Take the listeners away; may be called again."""
        self.hear = None
        while self.listeners:
            try:
                self.emitter.remove_listener(*self.listeners.pop())
            except LookupError:
                pass  # somebody removed all listeners


def _check(emitter: Emitter, events: tuple[str, ...], what: str) -> None:
    for method in ("on", "remove_listener"):
        if not callable(getattr(emitter, method, None)):
            raise TypeError(
                f"{what}() needs an emitter, with on() and remove_listener(), not {emitter!r}"
            )
    if not events:
        raise TypeError(f"{what}() needs the name of an event")


def _reason(emitted: Emitted) -> BaseException:
    """The exception that an error event stands for."""
    first = emitted[0] if len(emitted) == 1 else None
    if isinstance(first, BaseException) and not isinstance(first, StopIteration):
        return first
    return CallbackError(*emitted)


# once ----------------------------------------------------------------------------------------


def once(emitter: Emitter, *events: str, error: str | None = "error") -> asyncio.Future[Emitted]:
    """Return a future of the next event of an emitter, or of the first of several.

    It is fulfilled with the arguments of the event as a tuple, whose ``event`` is the name. An
    `error` event raises its exception, or `CallbackError` when it brings none, unless it is itself
    among the events that were asked for; None listens for no such event. Listening begins at once,
    and ends with the event or when the future is cancelled.

    >>> import treadle
    >>> from pyee.base import EventEmitter
    >>> async def main():
    ...     emitter = EventEmitter()
    ...     ready = treadle.once(emitter, "ready")
    ...     emitter.emit("ready", 42)
    ...     (answer,) = await ready
    ...     return answer
    >>> treadle.run(main())
    42
    """
    _check(emitter, events, "once")
    future: asyncio.Future[Emitted] = asyncio.get_running_loop().create_future()

    def hear(emitted: Emitted) -> None:
        ears.close()
        if future.done():
            return
        if emitted.event in events:
            future.set_result(emitted)
        else:
            future.set_exception(_reason(emitted))

    ears = _Ears(emitter, (*events, *_named(error)), hear)
    future.add_done_callback(lambda _: ears.close())
    return future


def _named(error: str | None) -> tuple[str, ...]:
    return () if error is None else (error,)


# on ------------------------------------------------------------------------------------------


class _Buffer:
    """The events between an emitter and those who iterate."""

    def __init__(
        self,
        events: tuple[str, ...],
        until: tuple[str, ...],
        size: int | None,
        overflow: Overflow,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.events = events
        self.until = until
        self.size = size
        self.overflow = overflow
        self.items: deque[Emitted] = deque()
        self.waiters: deque[asyncio.Future[None]] = deque()
        self.dropped = 0
        self.ended = False
        self.failure: BaseException | None = None  # raised once, after the items
        self.ears: _Ears | None = None

    def hear(self, emitted: Emitted) -> None:
        if emitted.event in self.events:
            self._keep(emitted)
        else:
            self.end(None if emitted.event in self.until else _reason(emitted))

    def _keep(self, emitted: Emitted) -> None:
        if self.size is not None and len(self.items) >= self.size:
            self.dropped += 1
            if self.overflow == "raise":
                self.end(asyncio.QueueFull(f"{self.size} events wait already: {emitted.event!r}"))
                return
            if self.overflow == "drop-newest":
                return
            self.items.popleft()
        self.items.append(emitted)
        self._wake()

    def _wake(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def end(self, failure: BaseException | None = None) -> None:
        """Hear no more; who has taken the items gets the failure, or the end."""
        if self.ended:
            return
        self.ended = True
        self.failure = failure
        if self.ears is not None:
            self.ears.close()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    async def next(self) -> Emitted:
        while not self.items and not self.ended:
            waiter = self.loop.create_future()
            self.waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and self.items:
                    self._wake()  # somebody else takes what this one was woken for
                raise
        if self.items:
            return self.items.popleft()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration


class Listening:
    """What `on` returns: an asynchronous iterator and context manager."""

    def __init__(self, buffer: _Buffer) -> None:
        self._buffer = buffer

    @property
    def dropped(self) -> int:
        """How many events found no room in the buffer, so far."""
        return self._buffer.dropped

    def __aiter__(self) -> Listening:
        return self

    async def __anext__(self) -> Emitted:
        try:
            return await self._buffer.next()
        finally:
            del self  # a traceback holds this frame

    def close(self) -> None:
        """Take the listeners away and forget the buffered events; whoever waits sees the end."""
        self._buffer.items.clear()
        self._buffer.end()
        self._buffer.failure = None

    async def aclose(self) -> None:
        """`close`, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> Listening:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._buffer.end()


def on(
    emitter: Emitter,
    *events: str,
    buffer: int | None = 1024,
    overflow: Overflow = "raise",
    error: str | None = "error",
    until: str | Iterable[str] = (),
) -> Listening:
    """Iterate over the events of an emitter, of one or several names, in the order of emission.

    Each is the tuple of its arguments, whose ``event`` is the name. Events that come while nobody
    waits are kept, at most `buffer` of them, or any number with None. One that finds no room is
    counted in ``dropped``, and `overflow` says what happens: ``"raise"`` delivers what is kept and
    then raises `asyncio.QueueFull`, ``"drop-oldest"`` and ``"drop-newest"`` lose one and go on.

    An `error` event ends the iteration: what was emitted before is delivered, then its exception
    raised, or `CallbackError` when it brings none; unless it is among the events that were asked
    for; None listens for no such event. The events in `until` end it without one.

    Listening begins at once. The listeners are taken away when the iteration ends, by ``close()``,
    at the end of ``async with``, and when the iterator is dropped, as by a ``break`` or a
    cancellation. A cancelled wait loses no event, and the iteration may go on after it. Several
    tasks may iterate: each event goes to one of them.

    >>> import treadle
    >>> from pyee.base import EventEmitter
    >>> async def main():
    ...     emitter = EventEmitter()
    ...     async with treadle.on(emitter, "data", until="end") as events:
    ...         for number in 1, 2, 3:
    ...             emitter.emit("data", number)
    ...         emitter.emit("end")
    ...         return [number async for (number,) in events]
    >>> treadle.run(main())
    [1, 2, 3]
    """
    _check(emitter, events, "on")
    if buffer is not None and buffer < 1:
        raise ValueError(f"buffer is a number of events from 1, or None for any, not {buffer!r}")
    if overflow not in _OVERFLOWS:
        raise ValueError(f"overflow is one of {', '.join(_OVERFLOWS)}, not {overflow!r}")
    ends = (until,) if isinstance(until, str) else tuple(until)
    kept = _Buffer(events, ends, buffer, overflow)
    kept.ears = _Ears(emitter, (*events, *ends, *_named(error)), kept.hear)
    return Listening(kept)
