"""Functions that call back, and coroutines: each as the other.

What `promisify` guards against, since such functions come from everywhere:

- The callback comes at once, before the function has returned; or from another thread.
- It comes after the wait was cancelled: ignored, and so it is when the loop is closed by then.
- It comes twice. The first call counts, and the second is reported to the loop's exception handler:
  an outcome was lost, which is an error in the function or in the `style` that was chosen.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, update_wrapper, wraps
from typing import Any, Literal, TypeAlias, TypeVar, overload

from treadle.aio.emitters import CallbackError, Emitted, Listening, on, once

__all__ = [
    "CallbackError",
    "Emitted",
    "Listening",
    "callbackify",
    "on",
    "once",
    "promisify",
]

R = TypeVar("R")

Style: TypeAlias = Literal["error-first", "success-failure", "result"]
Names: TypeAlias = str | tuple[str, ...] | None

_CALLBACKS: dict[str, int] = {"error-first": 1, "success-failure": 2, "result": 1}
"""The styles, and how many callbacks each has."""


# callbacks into coroutines -------------------------------------------------------------------


@overload
def promisify(
    function: Callable[..., Any],
    *,
    style: Style = ...,
    names: Names = ...,
    cancel: Callable[[Any], object] | None = ...,
) -> Callable[..., Coroutine[Any, Any, Any]]: ...


@overload
def promisify(
    function: None = None,
    *,
    style: Style = ...,
    names: Names = ...,
    cancel: Callable[[Any], object] | None = ...,
) -> Callable[[Callable[..., Any]], Callable[..., Coroutine[Any, Any, Any]]]: ...


def promisify(
    function: Callable[..., Any] | None = None,
    *,
    style: Style = "error-first",
    names: Names = None,
    cancel: Callable[[Any], object] | None = None,
) -> Callable[..., Any]:
    """Make a coroutine function of one that calls back; also a decorator.

    `style` says what the function takes after its other arguments:

    - ``"error-first"``: a callback that is called with ``(error, *results)``, error None for none;
    - ``"success-failure"``: two, one for the results and one for the error;
    - ``"result"``: one for the results of what cannot fail.

    `names` are the keywords under which the function takes them, where that is not by position. The
    await gives the result, None when there is none, or a tuple when there are several; or raises
    the error, in a `CallbackError` when it is no exception.

    When the await is cancelled, ``cancel(returned)`` is called with what the function had returned;
    what that raises goes to the loop's exception handler. A callback that comes later is ignored. A
    callback may come from any thread. A second one is reported to the loop's exception handler.

    >>> import asyncio, treadle
    >>> def divide(left, right, callback):
    ...     if right == 0:
    ...         callback(ZeroDivisionError("nobody can"))
    ...     else:
    ...         asyncio.get_running_loop().call_soon(callback, None, left / right)
    >>> treadle.run(treadle.promisify(divide)(84, 2))
    42.0
    """
    names = _checked(style, names)
    if function is None:
        return partial(promisify, style=style, names=names, cancel=cancel)
    if not callable(function):
        raise TypeError(f"promisify() takes a function that calls back, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function!r} can be awaited already: promisify() has nothing to do")

    async def call(*arguments: Any, **keywords: Any) -> Any:
        answer = _Answer()
        callbacks = answer.callbacks(style)
        if names is None:
            arguments += callbacks
        else:
            keywords.update(zip(names, callbacks, strict=True))
        return await answer.wait_for(partial(function, *arguments, **keywords), cancel)

    update_wrapper(call, function)
    return call


def _checked(style: str, names: Names) -> tuple[str, ...] | None:
    """Return the names as a tuple; raise what is wrong with either."""
    if style not in _CALLBACKS:
        raise ValueError(f"style is one of {', '.join(map(repr, _CALLBACKS))}, not {style!r}")
    if names is None:
        return None
    if isinstance(names, str):
        names = (names,)
    if len(names) != _CALLBACKS[style]:
        raise ValueError(f"style {style!r} has {_CALLBACKS[style]} callback(s): {names!r}")
    return tuple(names)


class _Answer:
    """What a function calls back with, awaited by one task."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.given_up = False  # cancelled: nothing that comes counts any more
        self.name = "the function"

    def callbacks(self, style: str) -> tuple[Callable[..., None], ...]:
        """What to hand to the function."""
        if style == "error-first":
            return (self.error_first,)
        return (self.success, self.failure)[: _CALLBACKS[style]]

    def error_first(self, error: object = None, *results: Any) -> None:
        if error is None:
            self.success(*results)
        else:
            self.failure(error)

    def success(self, *results: Any) -> None:
        value = results if len(results) > 1 else next(iter(results), None)
        self._deliver(value, None)

    def failure(self, *reasons: Any) -> None:
        first = reasons[0] if len(reasons) == 1 else None
        usable = isinstance(first, BaseException) and not isinstance(first, StopIteration)
        self._deliver(None, first if usable else CallbackError(*reasons))

    def _deliver(self, value: Any, error: BaseException | None) -> None:
        if asyncio._get_running_loop() is self.loop:
            self._settle(value, error)
            return
        try:
            self.loop.call_soon_threadsafe(self._settle, value, error)
        except RuntimeError:
            if not self.loop.is_closed():
                raise  # closed: nobody can be waiting

    def _settle(self, value: Any, error: BaseException | None) -> None:
        if self.given_up:
            return
        if not self.future.done():
            if error is None:
                self.future.set_result(value)
            else:
                self.future.set_exception(error)
        elif not self.future.cancelled():
            self._report(f"{self.name} called back twice: the second outcome is lost", error, value)

    async def wait_for(self, function: partial[Any], cancel: Callable[[Any], object] | None) -> Any:
        """Call the function and wait until it calls back."""
        self.name = getattr(function.func, "__qualname__", repr(function.func))
        try:
            returned = function()
        except BaseException as error:
            if self.future.done():  # it counts as a second call
                self._settle(None, error)
                return await self.future
            self.given_up = True
            raise
        try:
            return await self.future
        except asyncio.CancelledError:
            self.given_up = True
            if self.future.cancelled():  # otherwise it called back in the same turn
                self._run_hook(cancel, returned)
            raise

    def _run_hook(self, cancel: Callable[[Any], object] | None, returned: Any) -> None:
        if cancel is None:
            return
        try:
            cancel(returned)
        except Exception as error:
            self._report(f"the cancel hook of {self.name} failed", error)

    def _report(self, message: str, error: BaseException | None, value: Any = None) -> None:
        context: dict[str, Any] = {"message": message, "future": self.future}
        if error is not None:
            context["exception"] = error
        elif value is not None:
            context["result"] = value
        self.loop.call_exception_handler(context)


# coroutines into callbacks -------------------------------------------------------------------


@overload
def callbackify(
    function: Callable[..., Awaitable[R]], *, style: Style = ..., names: Names = ...
) -> Callable[..., asyncio.Task[R]]: ...


@overload
def callbackify(
    function: None = None, *, style: Style = ..., names: Names = ...
) -> Callable[[Callable[..., Awaitable[R]]], Callable[..., asyncio.Task[R]]]: ...


def callbackify(
    function: Callable[..., Awaitable[Any]] | None = None,
    *,
    style: Style = "error-first",
    names: Names = None,
) -> Callable[..., Any]:
    """Make a function that calls back of a coroutine function; also a decorator.

    `style` and `names` say what it takes after its other arguments, as for `promisify`:
    ``"error-first"`` calls back with ``(error, None)`` or ``(None, result)``,
    ``"success-failure"`` with the result or with the error, ``"result"`` with the result alone,
    errors going to the loop's exception handler.

    It must be called while the loop runs, in its thread, and returns the task, whose cancellation
    is called back as an `asyncio.CancelledError`. The callback runs in a turn of its own, with the
    caller's context. What it raises goes to the loop's exception handler.

    >>> import asyncio, treadle
    >>> @treadle.callbackify
    ... async def double(number):
    ...     return 2 * number
    >>> async def main():
    ...     await double(21, print)
    ...     await asyncio.sleep(0)  # the callback runs after those who await
    >>> treadle.run(main())
    None 42
    """
    names = _checked(style, names)
    if function is None:
        return partial(callbackify, style=style, names=names)
    if not callable(function):
        raise TypeError(f"callbackify() takes a coroutine function, not {function!r}")
    wrapped = function

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> asyncio.Task[Any]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                f"{wrapped!r} is called while a loop runs, in its thread: "
                "use loop.call_soon_threadsafe() from others"
            ) from None
        arguments, callbacks = _taken(arguments, keywords, style, names)
        task = loop.create_task(_awaited(partial(wrapped, *arguments, **keywords)))
        task.add_done_callback(partial(_call_back, loop, style, callbacks))
        return task

    return call


def _taken(
    arguments: tuple[Any, ...], keywords: dict[str, Any], style: str, names: Names
) -> tuple[tuple[Any, ...], tuple[Callable[..., Any], ...]]:
    """Return the arguments without the callbacks, and those."""
    count = _CALLBACKS[style]
    if names is None:
        callbacks, arguments = arguments[-count:], arguments[:-count]
    else:
        callbacks = tuple(keywords.pop(name, None) for name in names)
    if len(callbacks) < count or not all(map(callable, callbacks)):
        where = "last, after the other arguments" if names is None else f"as {', '.join(names)}"
        raise TypeError(f"style {style!r} takes {count} callback(s) {where}, not {callbacks!r}")
    return arguments, callbacks


async def _awaited(function: Callable[[], Awaitable[R]]) -> R:
    return await function()


def _call_back(
    loop: asyncio.AbstractEventLoop,
    style: str,
    callbacks: tuple[Callable[..., Any], ...],
    task: asyncio.Task[Any],
) -> None:
    """Tell how a task ended."""
    error: BaseException | None
    result = None
    try:
        error = task.exception()
        if error is None:
            result = task.result()
    except asyncio.CancelledError as cancelled:
        error = cancelled
    try:
        if style == "error-first":
            callbacks[0](error, result)
        elif error is None:
            callbacks[0](result)
        elif style == "success-failure":
            callbacks[1](error)
        elif not isinstance(error, asyncio.CancelledError):
            _report(loop, "a coroutine failed that calls back with results only", error, task)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as raised:
        _report(loop, f"the callback {callbacks!r} failed", raised, task)


def _report(
    loop: asyncio.AbstractEventLoop, message: str, error: BaseException, task: asyncio.Task[Any]
) -> None:
    loop.call_exception_handler({"message": message, "exception": error, "task": task})
