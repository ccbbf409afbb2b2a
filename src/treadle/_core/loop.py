# cython: nonecheck=True
"""The loop's life: started, stopped, closed, and what it reports when something fails.

Everything here happens rarely; what happens per callback is in ``wheel.py``.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import traceback
import warnings
import weakref
from asyncio import base_events
from collections.abc import AsyncGenerator, Callable
from typing import Any

from treadle._core import fork
from treadle._core.clock import Clock
from treadle._core.executor import Executors
from treadle._core.log import logger
from treadle._core.signals import Signals
from treadle._core.watch import Watches
from treadle._core.wheel import Wheel
from treadle._drivers.base import MADE_ELSEWHERE, Driver

__all__ = ["LoopCore"]

_ExceptionHandler = Callable[[Any, dict[str, Any]], object]
# asyncio's own, by which libraries (anyio) know the task that a program runs in. It stops the loop,
# except for SystemExit and KeyboardInterrupt: these have left it already.
_stop_loop_of = base_events._run_until_complete_cb  # type: ignore[attr-defined]
_ORIGIN_DEPTH = 10  # frames kept for a coroutine that nobody awaited; debug mode


class LoopCore(Wheel):
    """A loop without sockets: scheduling, lifecycle, signals, executors, raw descriptors."""

    def __init__(self, driver: Driver, clock: Clock) -> None:
        Wheel.__init__(self, driver, clock)
        self._exception_handler: _ExceptionHandler | None = None
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgens_shutdown = False
        self._old_asyncgen_hooks: Any = None
        self._old_origin_depth: int | None = None
        self._executors = Executors(self)
        self._signals = Signals(self)
        self._watches = Watches(self)
        self._scratch: Any = None  # memory that TLS connections share; made by the first of them
        self._children: Any = None  # child processes; made with the first of them
        self._inherited = False  # made in another process, of which this one is a fork
        self._never_run: Any = None  # what was scheduled there; kept, see `_leave_behind`
        try:
            driver.open()
        except BaseException:
            self._closed = True  # it never was open: there is nothing to close or to warn of
            raise
        fork.remember(self)
        self.set_debug(asyncio.coroutines._is_debug_mode())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} running={self.is_running()} closed={self.is_closed()} "
            f"debug={self.get_debug()}>"
        )

    @property
    def driver_name(self) -> str:
        """The name of the driver that waits for the kernel: ``epoll`` or ``selector``."""
        return self._driver.name

    # running -------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until `stop` is called."""
        self._check_closed()
        self._check_not_running()
        try:
            self._start()
            self._turn_forever()
        finally:
            self._finish()
        if self._inherited:
            self._check_closed()  # a forked child came back into its parent's loop

    def run_until_complete(self, future: Any) -> Any:
        """Run until `future` (a coroutine is made a task) is done; return its result."""
        self._check_closed()
        self._check_not_running()
        ours = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)  # type: ignore[call-overload]
        if ours:
            # if it does not finish, an exception says so; no need for a warning as well
            future._log_destroy_pending = False
        future.add_done_callback(_stop_loop_of)
        try:
            self.run_forever()
        except BaseException:
            if ours and future.done() and not future.cancelled():
                future.exception()  # it is being raised; do not report it as never retrieved
            raise
        finally:
            future.remove_done_callback(_stop_loop_of)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def stop(self) -> None:
        """Stop after this turn: every callback that is ready now still runs."""
        self._stopping = True

    def is_running(self) -> bool:
        """Say whether the loop runs now."""
        return self._thread_id != 0

    def is_closed(self) -> bool:
        """Say whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Drop what is scheduled and give back what the loop holds; it must not be running.

        Does not wait for threads of the executors.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        if self._debug:
            logger.debug("Close %r", self)
        self._closed = True
        self._signals.close()
        if self._children is not None:
            self._children.close()
        self._drop_scheduled()
        self._executors.close()
        self._driver.close_driver()
        self._scratch = None

    def _check_not_running(self) -> None:
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def _start(self) -> None:
        self._thread_id = threading.get_ident()
        self._track_origins(self._debug)
        self._old_asyncgen_hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_begins, finalizer=self._asyncgen_dropped)
        self._signals.start()
        asyncio._set_running_loop(self)  # type: ignore[arg-type]

    def _finish(self) -> None:
        try:
            self._end_turn()  # an exception may have cut the last one off
        finally:
            self._finish_run()

    def _finish_run(self) -> None:
        self._stopping = False
        self._thread_id = 0
        self._signals.finish()
        self._forget_running()

    def _leave_behind(self) -> None:
        """In a forked child, make this loop useless here without any effect on the parent.

        May be called while the loop runs, by a callback that forks. What is scheduled is taken out,
        or it would run in both processes; it is not dropped, or destructors would run in both.
        """
        self._inherited = True
        if self._closed:
            return
        self._closed = True
        self._stopping = True
        self._never_run = self._take_scheduled()
        self._end_turn()  # of a closed loop: what is held is forgotten
        self._driver.disown()
        self._signals.disown()
        self._executors.disown()
        if self._children is not None:
            self._children.disown()
        if self._thread_id == threading.get_ident():
            self._forget_running()
        self._thread_id = 0

    def _forget_running(self) -> None:
        asyncio._set_running_loop(None)
        self._track_origins(False)
        if self._old_asyncgen_hooks is not None:
            sys.set_asyncgen_hooks(*self._old_asyncgen_hooks)
            self._old_asyncgen_hooks = None

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError(MADE_ELSEWHERE if self._inherited else "Event loop is closed")

    # executors -----------------------------------------------------------------------------

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run ``func(*args)`` in a thread and return a future of its result.

        Cancelling the future forgets the call if it has not begun; a thread that runs it goes on.
        """
        self._check_closed()
        if self._debug:
            self._check_executor_call(func)
        return self._executors.run(executor, func, args)

    def set_default_executor(self, executor: Any) -> None:
        """Use `executor`, a ThreadPoolExecutor, where `run_in_executor` is given None."""
        self._executors.set_default(executor)

    def _check_executor_call(self, func: Any) -> None:
        if asyncio.iscoroutine(func) or inspect.iscoroutinefunction(func):
            raise TypeError(f"coroutines cannot be used with run_in_executor(): {func!r}")
        if not callable(func):
            raise TypeError(f"a callable object was expected by run_in_executor(), got {func!r}")

    # asynchronous generators ---------------------------------------------------------------

    def _asyncgen_begins(self, agen: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shutdown:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after "
                "loop.shutdown_asyncgens() call",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        self._asyncgens.add(agen)

    def _asyncgen_dropped(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.discard(agen)
        if not self._closed:
            # called by the garbage collector, from whatever thread it runs in
            self.call_soon_threadsafe(self.create_task, agen.aclose())

    # debug mode ----------------------------------------------------------------------------

    def get_debug(self) -> bool:
        """Say whether debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Switch debug mode: callers are checked, slow callbacks reported, origins kept."""
        self._debug = bool(enabled)
        if self.is_running():
            self.call_soon_threadsafe(self._track_origins, self._debug)

    def _track_origins(self, enabled: bool) -> None:
        if enabled == (self._old_origin_depth is not None):
            return
        if enabled:
            self._old_origin_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
        elif self._old_origin_depth is not None:
            sys.set_coroutine_origin_tracking_depth(self._old_origin_depth)
            self._old_origin_depth = None

    def _report_slow(self, handle: Any, seconds: float) -> None:
        owner = getattr(handle._callback, "__self__", None)
        what = repr(owner) if isinstance(owner, asyncio.Task) else str(handle)
        logger.warning("Executing %s took %.3f seconds", what, seconds)

    # task factory and exception handler ----------------------------------------------------

    def set_task_factory(self, factory: Callable[..., Any] | None) -> None:
        """Have ``factory(loop, coro)`` make the tasks; None for asyncio's own class."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._tasks.factory = factory

    def get_task_factory(self) -> Callable[..., Any] | None:
        """Return the task factory, or None."""
        factory: Callable[..., Any] | None = self._tasks.factory
        return factory

    def get_exception_handler(self) -> _ExceptionHandler | None:
        """Return the exception handler, or None for the default one."""
        return self._exception_handler

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        """Have ``handler(loop, context)`` hear of failures that have no caller."""
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log a failure with all that `context` tells; see asyncio's documentation of the keys."""
        message = context.get("message") or "Unhandled exception in event loop"
        exc = context.get("exception")
        handle = self._current_handle
        if "source_traceback" not in context and handle is not None and handle._source_traceback:
            context["handle_traceback"] = handle._source_traceback
        lines = [message]
        details = sorted(set(context) - {"message", "exception"})
        lines += [f"{key}: {_describe(key, context[key])}" for key in details]
        info = None if exc is None else (type(exc), exc, exc.__traceback__)
        logger.error("\n".join(lines), exc_info=info)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report a failure that has no caller, in the context of the task or handle it is about."""
        if self._exception_handler is None:
            self._call_default_handler(context, "Exception in default exception handler")
            return
        try:
            self._call_custom_handler(self._exception_handler, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._call_default_handler(
                {
                    "message": "Unhandled error in exception handler",
                    "exception": exc,
                    "context": context,
                },
                "Exception in default exception handler while handling an unexpected error "
                "in custom exception handler",
            )

    def _call_custom_handler(self, handler: _ExceptionHandler, context: dict[str, Any]) -> None:
        subject: Any = None
        for key in ("task", "future", "handle"):
            subject = context.get(key)
            if subject is not None:
                break
        run_in = subject.get_context() if hasattr(subject, "get_context") else None
        if run_in is not None and hasattr(run_in, "run"):
            run_in.run(handler, self, context)
        else:
            handler(self, context)

    def _call_default_handler(self, context: dict[str, Any], failure: str) -> None:
        try:
            self.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            logger.error(failure, exc_info=True)

    # signals and raw descriptors -----------------------------------------------------------

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(*args)`` in the loop when the process gets the signal `sig`."""
        self._signals.add(sig, callback, args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Take the handler of `sig` off; False when there was none."""
        return self._signals.remove(sig)

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(*args)`` whenever `fd` can be read; replaces an earlier callback."""
        self._watches.add_reader(fd, callback, args)

    def remove_reader(self, fd: Any) -> bool:
        """Stop watching `fd` for reading; False when it was not watched."""
        return self._watches.remove_reader(fd)

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(*args)`` whenever `fd` can be written; replaces an earlier callback."""
        self._watches.add_writer(fd, callback, args)

    def remove_writer(self, fd: Any) -> bool:
        """Stop watching `fd` for writing; False when it was not watched."""
        return self._watches.remove_writer(fd)


def _describe(key: str, value: Any) -> str:
    if key == "source_traceback":
        return "Object created at (most recent call last):\n" + _traceback_text(value)
    if key == "handle_traceback":
        return "Handle created at (most recent call last):\n" + _traceback_text(value)
    return repr(value)


def _traceback_text(value: Any) -> str:
    return "".join(traceback.format_list(value)).rstrip()
