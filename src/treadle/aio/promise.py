"""Promises: results that do not exist yet, with `then` beside ``await``.

What `then` does is defined by the Promises/A+ text (https://promisesaplus.com); the numbers in the
comments are its clauses. Where it leaves things open, JavaScript is followed as long as asyncio is
not contradicted.

- A handler never runs before `then` has returned: it is a callback of the loop, in the context that
  `then` was called in. Handlers run in the order in which they were registered, and awaiting tasks
  wake in the same order. Adopting another promise takes a turn of the loop for each link, so no
  chain is too long for the stack.
- A thenable is anything but a class with a callable ``then``; it is asked for it once, and called
  in a turn of its own, so that `resolve` never runs strange code. An awaitable is adopted too:
  futures are watched, everything else is run as a task, which belongs to the promise.
- A promise belongs to a loop, as a future does. `resolve` and `reject` may be called in any thread.

Unhandled rejections are reported as asyncio does it, when the promise is collected, and not as Node
does it, after the turn in which it was rejected: it is usual in Python to start something first and
to await it much later, and an alarm that may be false is soon ignored. For this to be in time a
reason must not hold its promise: our own frames are taken out of its traceback, those that user
code was called from forget the promise as they end (a frame holds the one that called it), and
`resolve` and `reject` forget it with their first call.

Nothing here is compiled, see docs/design/three-styles.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast

from treadle.aio.combining import Combination, Settled
from treadle.aio.origins import origin, place
from treadle.aio.reasons import caught, check_reason, raise_what_ends_a_loop

__all__ = ["Promise", "Resolvers", "Settled"]

T = TypeVar("T")

State: TypeAlias = Literal["pending", "fulfilled", "rejected"]
PENDING: State = "pending"
FULFILLED: State = "fulfilled"
REJECTED: State = "rejected"

Resolve: TypeAlias = Callable[[Any], None]
Reject: TypeAlias = Callable[[BaseException], None]
Executor: TypeAlias = Callable[[Resolve, Reject], object]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})
"""What most promises are fulfilled with: nothing to ask these for."""

_running: set[asyncio.Future[Any]] = set()  # the tasks of promises; a loop may hold its weakly


class Promise(Generic[T]):
    """A value that will come, or an exception in its place.

    ``Promise(executor)`` calls ``executor(resolve, reject)`` at once; what that raises rejects the
    promise. ``resolve(value)`` fulfils it, or makes it follow a promise, thenable or awaitable;
    ``reject(error)`` takes an exception. The first call of either counts. Both may be called in
    any thread. It needs a running loop, or one as `loop`.

    Awaiting gives the value or raises the exception. A task that is cancelled while it awaits stops
    waiting, the promise goes on: use `cancel`. A rejection that nobody has asked for when the
    promise is collected goes to the loop's exception handler, with the place where the promise was
    made; a cancellation does not.

    >>> import asyncio, treadle
    >>> def later(resolve, reject):
    ...     asyncio.get_running_loop().call_later(0.01, resolve, 20)
    >>> async def main():
    ...     promise = treadle.Promise(later).then(lambda number: number + 1)
    ...     return await promise * 2
    >>> treadle.run(main())
    42
    """

    __module__ = "treadle"
    __slots__ = (
        "__weakref__",
        "_follows",  # the promise whose outcome this one will take, or None
        "_handled",  # somebody has asked for the outcome
        "_loop",
        "_made_at",  # code and offset of who made it
        "_reactions",  # what waits for the outcome, in order: _Reaction or asyncio.Future
        "_stack",  # where it was made, in the loop's debug mode, or None
        "_state",
        "_task",  # the task that runs what it was resolved with; it belongs to this promise
        "_traceback",  # of the reason, as it was when it became the reason
        "_value",  # the value or the reason
    )

    _state: State
    _value: Any
    _reactions: list[_Reaction | asyncio.Future[None]]
    _follows: Promise[Any] | None
    _task: asyncio.Future[Any] | None
    _stack: traceback.StackSummary | None
    _traceback: TracebackType | None

    def __init__(
        self, executor: Executor, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if not callable(executor):
            raise TypeError(
                f"a promise is made from a function of resolve and reject, not {executor!r}: "
                "Promise.resolve() takes values, Promise.from_awaitable() what can be awaited"
            )
        self._begin(loop)
        resolvers = _Resolving(self)
        try:
            returned = executor(resolvers.resolve, resolvers.reject)
        except BaseException as error:
            resolvers.fail(caught(error))
            raise_what_ends_a_loop(error)
            return
        finally:
            del self, resolvers
        if isinstance(returned, Coroutine):
            returned.close()
            raise TypeError(
                "a promise's executor is an ordinary function: "
                "Promise.from_awaitable() takes coroutines"
            )

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if loop is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                raise RuntimeError(
                    "a promise is made while its loop runs: make it in a coroutine, or pass loop="
                ) from None
        self._loop = loop
        self._state = PENDING
        self._value = None
        self._reactions = []
        self._follows = self._task = self._traceback = None
        self._handled = False
        self._made_at = origin()
        self._stack = traceback.extract_stack(sys._getframe(1)) if loop.get_debug() else None

    @classmethod
    def _pending(cls, loop: asyncio.AbstractEventLoop | None = None) -> Promise[T]:
        promise = cls.__new__(cls)
        promise._begin(loop)
        return promise

    @classmethod
    def _resolved_with(cls, x: Any) -> Promise[Any]:
        promise = cls._pending()
        try:
            promise._resolve(x)
            return promise
        finally:
            del promise

    # making promises -------------------------------------------------------------------------

    @classmethod
    def resolve(cls, value: Any = None) -> Promise[Any]:
        """Return a promise of the value; one that is a promise already is returned as it is."""
        if isinstance(value, Promise):
            return value
        return cls._resolved_with(value)

    @classmethod
    def reject(cls, reason: BaseException) -> Promise[Any]:
        """Return a promise that is rejected with the exception."""
        check_reason(reason)
        promise = cls._pending()
        promise._settle(REJECTED, reason)
        return promise

    @classmethod
    def with_resolvers(cls) -> Resolvers[Any]:
        """Return a pending promise and the two functions that settle it."""
        promise = cls._pending()
        resolving = _Resolving(promise)
        return Resolvers(promise, resolving.resolve, resolving.reject)

    @classmethod
    def from_awaitable(cls, awaitable: Awaitable[T]) -> Promise[T]:
        """Return a promise of what the awaitable gives.

        A future or task is watched and remains its owner's. A coroutine and any other awaitable is
        begun, as a task that belongs to the promise: `cancel` cancels it.
        """
        if not inspect.isawaitable(awaitable):
            raise TypeError(
                f"{awaitable!r} cannot be awaited: Promise.resolve() takes values as well"
            )
        return cls._resolved_with(awaitable)

    @classmethod
    def from_callback(
        cls,
        function: Callable[..., Any],
        *arguments: Any,
        style: Any = "error-first",
        cancel: Callable[[Any], object] | None = None,
    ) -> Promise[Any]:
        """Return a promise of what a function calls back with; it is called in the next turn.

        `style` and `cancel` are those of `promisify`; `Promise.cancel` runs the cancel hook.
        """
        from treadle.aio.callbacks import promisify  # late: few promises need it

        return cls.from_awaitable(promisify(function, style=style, cancel=cancel)(*arguments))

    # using them ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``"pending"``, ``"fulfilled"`` or ``"rejected"``."""
        return self._state

    def then(
        self,
        on_fulfilled: Callable[[T], Any] | None = None,
        on_rejected: Callable[[BaseException], Any] | None = None,
    ) -> Promise[Any]:
        """Have one of two functions called with the outcome; return a promise of what it returns.

        What a handler returns resolves the new promise, and may be a coroutine; what it raises
        rejects it. Without the handler in question the new promise takes over the outcome. Must be
        called in the loop's thread.
        """
        derived = type(self)._pending(self._loop)
        self._subscribe(
            _Reaction(
                derived,
                on_fulfilled if callable(on_fulfilled) else None,  # 2.2.1
                on_rejected if callable(on_rejected) else None,
                contextvars.copy_context(),
            )
        )
        return derived

    def catch(self, on_rejected: Callable[[BaseException], Any]) -> Promise[Any]:
        """``then(None, on_rejected)``."""
        return self.then(None, on_rejected)

    def finally_(self, function: Callable[[], Any]) -> Promise[T]:
        """Have a function called, without arguments, when the promise is settled either way.

        The new promise has the outcome of this one, once the function, and what it returned if that
        can be waited for, is done. Only what goes wrong there replaces the outcome.
        """
        if not callable(function):
            return self.then()

        def passed_on(value: T) -> Promise[T]:
            return type(self).resolve(function()).then(lambda _: value)

        def raised_on(reason: BaseException) -> Promise[Any]:
            return type(self).resolve(function()).then(lambda _: type(self).reject(reason))

        return self.then(passed_on, raised_on)

    def cancel(self, msg: object = None) -> bool:
        """Ask for the end; return whether it was still pending.

        A promise that runs a coroutine cancels that, and ends as the coroutine ends: with
        `asyncio.CancelledError`, or otherwise if it refuses. Any other promise is rejected with
        `asyncio.CancelledError` at once. What it was waiting for (a promise, somebody else's task,
        the caller of `resolve`) is not touched: later outcomes are ignored. Promises derived with
        `then` are rejected through this one; those that it was derived from go on.
        """
        if self._state != PENDING:
            return False
        if self._task is not None:
            return bool(self._task.cancel(msg))
        self._settle(
            REJECTED, asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        )
        return True

    def __await__(self) -> Generator[Any, None, T]:
        if self._state == PENDING:
            waiter = self._loop.create_future()
            self._reactions.append(waiter)
            try:
                yield from waiter
            finally:
                if waiter in self._reactions:  # cancelled
                    self._reactions.remove(waiter)
        self._handled = True  # not before: a cancelled wait has seen nothing
        if self._state == REJECTED:
            try:
                raise self._value.with_traceback(self._traceback)
            finally:
                del self  # the traceback holds this frame
        return cast(T, self._value)

    def __repr__(self) -> str:
        outcome = "" if self._state == PENDING else f": {self._value!r}"
        return f"<Promise {self._state}{outcome}>"

    def __del__(self) -> None:
        if getattr(self, "_state", PENDING) != REJECTED or self._handled:
            return
        if isinstance(self._value, asyncio.CancelledError):
            return
        context = {
            "message": f"Promise was rejected and nobody asked; made at {place(self._made_at)}",
            "exception": self._value,
            "promise": self,
        }
        if self._stack is not None:
            context["source_traceback"] = self._stack
        self._loop.call_exception_handler(context)

    # combining them --------------------------------------------------------------------------

    @classmethod
    def all_(cls, items: Iterable[Any]) -> Promise[list[Any]]:
        """Return a promise of all values, in the order of the items: promises, awaitables, values.

        The first rejection rejects it; the others go on. Of nothing: fulfilled with ``[]``.
        """
        return Combination(cls._pending()).run(items, Combination.keep_value)

    @classmethod
    def all_settled(cls, items: Iterable[Any]) -> Promise[list[Settled]]:
        """Return a promise of how each item ended, in their order; it is never rejected."""
        return Combination(cls._pending()).run(
            items, Combination.keep_settled, Combination.keep_failed
        )

    @classmethod
    def any_(cls, items: Iterable[Any]) -> Promise[Any]:
        """Return a promise of the first value; the others go on.

        When all are rejected, so is it, with an `ExceptionGroup` in the order of the items, or a
        `BaseExceptionGroup` with cancellations in it. Of nothing: rejected with `ValueError`, since
        no group can be empty.
        """
        combination = Combination(cls._pending(), Combination.reject_with_all)
        return combination.run(items, None, Combination.keep_reason)

    @classmethod
    def race(cls, items: Iterable[Any]) -> Promise[Any]:
        """Return a promise that follows the first item to be settled; the others go on.

        Of nothing: pending for ever, as in JavaScript.
        """
        promise = cls._pending()
        combination = Combination(promise, lambda _: None)
        return combination.run(items, None)

    # settling --------------------------------------------------------------------------------

    def _resolve(self, x: Any) -> None:
        """The resolution procedure, 2.3; whoever calls it has made sure that nobody did before."""
        if self._state != PENDING:  # cancelled
            _discard(x)
        elif type(x) in _PLAIN:
            self._settle(FULFILLED, x)  # 2.3.4
        elif isinstance(x, Promise):
            self._follow(x)
        elif asyncio.isfuture(x):
            self._watch(x)
        elif isinstance(x, type):  # its functions are not methods of it
            self._settle(FULFILLED, x)
        else:
            try:
                then = getattr(x, "then", None)  # 2.3.3.1
            except BaseException as error:  # 2.3.3.2
                self._settle(REJECTED, caught(error))
                raise_what_ends_a_loop(error)
                del self
                return
            if callable(then):
                self._loop.call_soon(self._call, then)
            elif inspect.isawaitable(x):
                self._run(x)
            else:
                self._settle(FULFILLED, x)  # 2.3.4

    def _follow(self, other: Promise[Any]) -> None:
        """Take over another promise's outcome, 2.3.2."""
        if other._loop is not self._loop:
            self._refuse(other)
            return
        link: Promise[Any] | None = other
        while link is not None:
            if link is self:  # 2.3.1, also over several links
                self._settle(REJECTED, TypeError("a promise cannot wait for itself"))
                return
            link = link._follows
        self._follows = other
        other._subscribe(_Reaction(self, None, None, None))

    def _watch(self, future: asyncio.Future[Any]) -> None:
        if future.get_loop() is not self._loop:
            self._refuse(future)
            return
        future.add_done_callback(self._take)

    def _refuse(self, strange: object) -> None:
        self._settle(REJECTED, ValueError(f"{strange!r} belongs to another loop"))

    def _run(self, awaitable: Awaitable[Any]) -> None:
        """Run an awaitable as a task of this promise."""
        if not isinstance(awaitable, Coroutine):
            awaitable = _awaited(awaitable)
        self._task = self._loop.create_task(awaitable)
        _running.add(self._task)
        self._task.add_done_callback(self._take)

    def _take(self, future: asyncio.Future[Any]) -> None:
        _running.discard(future)
        self._task = None
        if self._state != PENDING:
            return  # cancelled, and has not asked
        if future.cancelled():
            error: BaseException | None
            try:
                future.result()  # makes the error, with its message
            except asyncio.CancelledError as cancelled:
                error = caught(cancelled)
        else:
            error = future.exception()
        if error is not None:
            self._settle(REJECTED, error)
        else:
            self._resolve(future.result())

    def _call(self, then: Callable[[Resolve, Reject], object]) -> None:
        """Have a thenable call back, 2.3.3.3."""
        resolving = _Resolving(self)
        try:
            then(resolving.resolve, resolving.reject_with_anything)
        except BaseException as error:
            resolving.fail(caught(error))  # 2.3.3.3.4
            raise_what_ends_a_loop(error)
        finally:
            del self, then, resolving

    def _reject(self, reason: BaseException) -> None:
        self._settle(REJECTED, reason)

    def _settle(self, state: State, value: Any) -> None:
        if self._state != PENDING:  # 2.1.2.1, 2.1.3.1
            return
        self._state = state
        self._value = value
        self._follows = None
        if state == REJECTED:
            self._traceback = value.__traceback__
        reactions, self._reactions = self._reactions, []
        for reaction in reactions:
            self._schedule(reaction)

    def _subscribe(self, reaction: _Reaction) -> None:
        self._handled = True
        if self._state == PENDING:
            self._reactions.append(reaction)
        else:
            self._schedule(reaction)

    def _schedule(self, reaction: _Reaction | asyncio.Future[None]) -> None:
        if isinstance(reaction, _Reaction):
            self._loop.call_soon(
                reaction.run, self._state, self._value, context=reaction.context
            )  # 2.2.4
        elif not reaction.done():
            reaction.set_result(None)


class Resolvers(NamedTuple, Generic[T]):
    """What `Promise.with_resolvers` returns."""

    promise: Promise[T]
    resolve: Resolve
    reject: Reject


class _Resolving:
    """The two functions that settle a promise, of which the first call counts, 2.3.3.3.3."""

    __slots__ = ("loop", "promise")

    promise: Promise[Any] | None  # None when it is decided

    def __init__(self, promise: Promise[Any]) -> None:
        self.loop = promise._loop
        self.promise = promise

    def resolve(self, value: Any = None) -> None:
        self._decide(Promise._resolve, value)

    def reject(self, reason: BaseException) -> None:
        check_reason(reason)
        self.fail(reason)

    def reject_with_anything(self, reason: Any) -> None:
        """What a thenable of somebody else gets, who may have other ideas of reasons."""
        try:
            check_reason(reason)
        except TypeError as error:
            reason = caught(error)
        self.fail(reason)

    def fail(self, reason: BaseException) -> None:
        self._decide(Promise._reject, reason)

    def _decide(self, how: Callable[[Promise[Any], Any], None], what: Any) -> None:
        if asyncio._get_running_loop() is not self.loop:  # another thread, or before the loop runs
            self.loop.call_soon_threadsafe(self._decide, how, what)
        elif self.promise is None:
            _discard(what)
        else:
            promise, self.promise = self.promise, None
            how(promise, what)


class _Reaction:
    """What to do when a promise is settled: call a handler, and resolve the derived promise."""

    __slots__ = ("context", "derived", "on_fulfilled", "on_rejected")

    def __init__(
        self,
        derived: Promise[Any],
        on_fulfilled: Callable[[Any], Any] | None,
        on_rejected: Callable[[BaseException], Any] | None,
        context: contextvars.Context | None,
    ) -> None:
        self.derived = derived
        self.on_fulfilled = on_fulfilled
        self.on_rejected = on_rejected
        self.context = context

    def run(self, state: State, value: Any) -> None:
        handler = self.on_fulfilled if state == FULFILLED else self.on_rejected
        if handler is None:
            self.derived._settle(state, value)  # 2.2.7.3, 2.2.7.4
            return
        derived = self.derived
        try:
            result = handler(value)
        except BaseException as error:
            derived._settle(REJECTED, caught(error))  # 2.2.7.2
            raise_what_ends_a_loop(error)
        else:
            derived._resolve(result)  # 2.2.7.1
        finally:
            del self, derived


def _discard(value: object) -> None:
    """Let go of what a promise was resolved with too late."""
    if isinstance(value, Coroutine):
        value.close()


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
