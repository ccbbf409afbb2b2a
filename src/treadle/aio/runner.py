"""Running a program: the runner, `run`, and the policy for programs that start loops themselves."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from treadle.aio.loop import Loop, new_event_loop

__all__ = ["EventLoopPolicy", "Runner", "install", "run"]

_T = TypeVar("_T")


class Runner(asyncio.Runner):  # type: ignore[misc]
    """`asyncio.Runner` with treadle's loop: several runs on one loop, Ctrl-C as asyncio has it.

    >>> import asyncio, treadle
    >>> with treadle.Runner() as runner:
    ...     runner.run(asyncio.sleep(0, "first")), runner.run(asyncio.sleep(0, "second"))
    ('first', 'second')
    """

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        super().__init__(debug=debug, loop_factory=loop_factory or new_event_loop)


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run a coroutine to its end on a new loop and return its result; `asyncio.run` on treadle.

    Cancels what is left when it ends, closes asynchronous generators and the default executor.
    Raises RuntimeError when a loop is running in this thread already.

    >>> import asyncio, treadle
    >>> async def main():
    ...     await asyncio.sleep(0)
    ...     return "done"
    >>> treadle.run(main())
    'done'
    """
    if asyncio._get_running_loop() is not None:
        if asyncio.iscoroutine(main):
            main.close()
        raise RuntimeError("treadle.run() cannot be called from a running event loop")
    with Runner(debug=debug) as runner:
        return runner.run(main)


def _default_policy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # policies go away in Python 3.16
        return asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_default_policy()):  # type: ignore[misc]
    """An asyncio policy whose loops are treadle's.

    >>> import treadle
    >>> loop = treadle.EventLoopPolicy().new_event_loop()
    >>> type(loop)
    <class 'treadle.Loop'>
    >>> loop.close()
    """

    _loop_factory = Loop


def install(accelerate: bool = True) -> None:
    """Make treadle's loop the one that asyncio starts from now on, in this process.

    For programs that call ``asyncio.run`` themselves. Where you can, pass
    ``loop_factory=treadle.new_event_loop`` or call `treadle.run` instead.

    Puts treadle's queues, locks, streams and helpers of tasks in asyncio's place as well, as
    `treadle.accelerate` does, unless ``accelerate`` is false or that was done before; it may be
    called again. Warns with RuntimeWarning, and leaves those names alone, when something else has
    patched one of them; the loop is installed all the same.

    >>> import asyncio, treadle
    >>> treadle.install()
    >>> with asyncio.Runner() as runner:
    ...     type(runner.get_loop())
    <class 'treadle.Loop'>
    >>> asyncio.Queue
    <class 'treadle.Queue'>
    >>> _ = treadle.restore()
    >>> asyncio.set_event_loop_policy(None)  # asyncio's own again
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(EventLoopPolicy())
    if accelerate:
        _accelerate()


def _accelerate() -> None:
    from treadle.aio.acceleration import accelerate_once  # late: it loads all that is compiled

    try:
        accelerate_once()
    except RuntimeError as refusal:
        warnings.warn(
            f"{refusal}. The loop is treadle's now; to keep asyncio's names as they are without "
            "this warning, call treadle.install(accelerate=False), or treadle run --no-accelerate",
            RuntimeWarning,
            stacklevel=3,
        )
