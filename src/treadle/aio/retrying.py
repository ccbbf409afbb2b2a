"""Trying again: the waits are tenacity's, the clock and the sleep are the loop's.

tenacity rather than stamina, which is built on it: stamina measures its timeout with a clock of its
own and can be switched off for the whole process.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar, overload

from treadle.aio.tasks import sleep

__all__ = ["retry"]

P = ParamSpec("P")
R = TypeVar("R")

On: TypeAlias = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
)


@overload
def retry(
    function: Callable[P, Awaitable[R]],
    *,
    on: On = ...,
    attempts: int | None = ...,
    timeout: float | None = ...,
    wait: float = ...,
    factor: float = ...,
    wait_max: float = ...,
    jitter: float = ...,
) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def retry(
    function: None = None,
    *,
    on: On = ...,
    attempts: int | None = ...,
    timeout: float | None = ...,
    wait: float = ...,
    factor: float = ...,
    wait_max: float = ...,
    jitter: float = ...,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]: ...


def retry(
    function: Callable[..., Awaitable[Any]] | None = None,
    *,
    on: On = Exception,
    attempts: int | None = 10,
    timeout: float | None = 45.0,
    wait: float = 0.1,
    factor: float = 2.0,
    wait_max: float = 5.0,
    jitter: float = 1.0,
) -> Callable[..., Any]:
    """Make a coroutine function that tries again when it fails; ``retry(f)(x)``, or a decorator.

    `on` says after which exceptions: a class, a tuple of classes, or a function of the exception
    that returns whether. `asyncio.CancelledError`, `SystemExit` and `KeyboardInterrupt` are never
    among them.

    After attempt n it waits ``wait * factor ** (n - 1)`` seconds, at most `wait_max`, and a random
    part of `jitter` more. It gives up after `attempts` calls, or when the next would begin
    more than `timeout` seconds after the first did; None is no limit. A call under way is never
    interrupted: put a timeout into the function, or around the whole. The last exception is raised
    as it is, with a note of how often it was tried. A cancellation ends the call or the wait.

    Needs tenacity: ``pip install "treadle[retry]"``.

    >>> import treadle
    >>> answers = iter([ConnectionError("too early"), ConnectionError("still"), "hello"])
    >>> @treadle.retry(on=ConnectionError, attempts=3, wait=0.01, jitter=0)
    ... async def fetch():
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> treadle.run(fetch())
    'hello'
    """
    options = {"attempts": attempts, "timeout": timeout, "wait": wait, "factor": factor}
    options |= {"wait_max": wait_max, "jitter": jitter}
    _check(on, options)
    tenacity = _tenacity()
    if function is None:
        return partial(retry, on=on, **options)
    if not callable(function):
        raise TypeError(f"retry() takes a coroutine function, not {function!r}: retry(f)(x)")
    wrapped = function
    waits = tenacity.wait_exponential(multiplier=wait, max=wait_max, exp_base=factor)
    waits += tenacity.wait_random(0, jitter)
    again = tenacity.retry_if_exception(partial(_wanted, on))

    @wraps(wrapped)
    async def call(*arguments: Any, **keywords: Any) -> Any:
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def attempt() -> Any:
            awaitable = wrapped(*arguments, **keywords)
            if not inspect.isawaitable(awaitable):
                raise _NotAwaitableError(awaitable)
            return await awaitable

        def exhausted(state: Any) -> bool:
            if attempts is not None and state.attempt_number >= attempts:
                return True
            next_at = loop.time() + state.upcoming_sleep
            return timeout is not None and next_at - begin > timeout

        def give_up(state: Any) -> Any:
            error = state.outcome.exception()
            seconds = loop.time() - begin
            error.add_note(f"retry() gave up after {state.attempt_number} calls in {seconds:.3g} s")
            return state.outcome.result()

        retrying = tenacity.AsyncRetrying(
            sleep=sleep,
            stop=exhausted,
            wait=waits,
            retry=again,
            retry_error_callback=give_up,
        )
        try:
            return await retrying(attempt)
        except _NotAwaitableError as error:
            raise TypeError(
                f"retry() takes functions to await, but {wrapped!r} returned {error.args[0]!r}"
            ) from None

    return call


class _NotAwaitableError(BaseException):
    """The function returned what cannot be awaited; nothing to try again."""


def _wanted(on: On, error: BaseException) -> bool:
    never = (asyncio.CancelledError, SystemExit, KeyboardInterrupt, _NotAwaitableError)
    if isinstance(error, never):
        return False
    if isinstance(on, (type, tuple)):
        return isinstance(error, on)
    return bool(on(error))


def _check(on: On, options: dict[str, Any]) -> None:
    classes = on if isinstance(on, tuple) else (on,)
    if isinstance(on, (type, tuple)):
        for kind in classes:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"on= takes exception classes, not {kind!r}")
    elif not callable(on):
        raise TypeError(f"on= takes exception classes or a function of the exception, not {on!r}")
    attempts = options["attempts"]
    if attempts is not None and attempts < 1:
        raise ValueError(f"attempts= is a number of calls from 1, or None, not {attempts!r}")
    for name, value in options.items():
        if value is not None and value < 0:
            raise ValueError(f"{name}= cannot be negative: {value!r}")


def _tenacity() -> Any:
    try:
        import tenacity
    except ImportError as error:
        raise ImportError(
            'retry() needs tenacity, which is missing: pip install "treadle[retry]"'
        ) from error
    return tenacity
