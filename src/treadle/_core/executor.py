"""Threads: the default executor, and a pool of its own for names.

Name resolution does not go through the default executor: a program that fills that with slow work
would stop connecting. The threads are started when first needed.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Executors", "run_aside"]

RESOLVER_THREADS = 16  # names that are looked up at the same time


class Executors:
    """The thread pools of one loop."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.default: ThreadPoolExecutor | None = None
        self._resolver: ThreadPoolExecutor | None = None
        self._default_was_shut_down = False

    def run(
        self, executor: Any, func: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Run ``func(*args)`` in `executor`, or in the default one where that is None."""
        if executor is None:
            executor = self._default_executor()
        return asyncio.wrap_future(executor.submit(func, *args), loop=self._loop)

    def resolve(self, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run ``func(*args)`` in the pool for names."""
        self._loop._check_closed()
        if self._resolver is None:
            self._resolver = _pool("treadle-names", RESOLVER_THREADS)
        return asyncio.wrap_future(self._resolver.submit(func, *args), loop=self._loop)

    def set_default(self, executor: Any) -> None:
        """Use `executor` from now on; TypeError unless it runs threads."""
        from concurrent.futures import ThreadPoolExecutor

        if not isinstance(executor, ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self.default = executor

    async def shutdown_default(self, timeout: float | None) -> None:
        """Join the default executor's threads without blocking the loop."""
        self._default_was_shut_down = True
        executor = self.default
        if executor is None:
            return
        joined = self._loop.create_future()
        thread = threading.Thread(target=self._join, args=(executor, joined))
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await joined
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=3,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()

    def close(self) -> None:
        """Let the threads end by themselves."""
        self._default_was_shut_down = True
        for executor in (self.default, self._resolver):
            if executor is not None:
                executor.shutdown(wait=False)
        self.default = None
        self._resolver = None

    def disown(self) -> None:
        """In a forked child, where the threads are not, forget the pools.

        They are not shut down: a lock of theirs may have been held by a thread at that time.
        """
        self._default_was_shut_down = True
        self.default = None
        self._resolver = None

    def _default_executor(self) -> ThreadPoolExecutor:
        if self._default_was_shut_down:
            raise RuntimeError("Executor shutdown has been called")
        if self.default is None:
            self.default = _pool("asyncio", None)
        return self.default

    def _join(self, executor: ThreadPoolExecutor, joined: asyncio.Future[Any]) -> None:
        try:
            executor.shutdown(wait=True)
        except Exception as exc:
            self._tell(_set_exception, joined, exc)
        else:
            self._tell(_set_result, joined, None)

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)


def _set_result(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: asyncio.Future[Any], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)


def run_aside(name: str, function: Callable[..., object], *args: Any) -> None:
    """Run ``function(*args)`` in a thread of its own, for which the interpreter does not wait."""
    threading.Thread(target=function, args=args, name=name, daemon=True).start()


def _pool(prefix: str, threads: int | None) -> ThreadPoolExecutor:
    # imported late: a loop that needs no threads should not pay for the import
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads, thread_name_prefix=prefix)
