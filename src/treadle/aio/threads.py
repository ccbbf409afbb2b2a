"""Threads: a function that blocks, run where it does no harm."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["to_thread"]

_running_loop = asyncio.get_running_loop
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def to_thread(func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run ``func(*args, **kwargs)`` in a thread of the loop's default executor.

    It sees the context variables of the caller, as they are now. Returns what it returns, raises
    what it raises. A cancellation forgets the call if it has not begun; a thread that runs it goes
    on, and its result is dropped.

    >>> import threading, treadle
    >>> async def main():
    ...     return await treadle.to_thread(threading.current_thread) is threading.main_thread()
    >>> treadle.run(main())
    False
    """
    loop = _running_loop()
    call = functools.partial(contextvars.copy_context().run, func, *args, **kwargs)
    return await loop.run_in_executor(None, call)
