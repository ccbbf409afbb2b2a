# cython: boundscheck=False, wraparound=False, nonecheck=True
"""The wheel: one turn of the loop, and everything that a program does a million times.

One turn: ask the driver for events and let it dispatch them (`_poll`), queue the timers that are
due (`_expire`), run exactly the handles that are ready now (`ReadyQueue.run`), have connections
send what they hold (`_end_turn`). What a callback queues runs in the next turn, so I/O is never
locked out by callbacks that queue callbacks. The first turn of a run begins with what was queued
before it (`_first_turn`).

When to ask the driver. A system call per turn would cost several times what running a callback
costs. While handles are ready, the driver is asked only when the last time was `POLL_EVERY_NS` ago
or `MAX_SKIPS` turns were made without it (`_polls_now`): I/O waits no longer than that, and a chain
of callbacks pays for it once in a hundred turns. A deadline that is near makes every turn read the
clock; one that is far is seen at the same looks as the driver. A program whose callbacks were short
and suddenly become long delays both by `LONGEST_STRIDE` of the long ones, once. With nothing ready
the driver waits until the next deadline.

Waking up. `_idle` is set before the ready queue is looked at for the last time, and another thread
queues before it looks at `_idle`. Whoever comes second sees the other, so no wake-up is lost and a
busy loop is not woken at all. `_wake_sent` keeps a burst of calls down to one write.

The wheel knows nothing of sockets, signals, executors or how a loop is started and closed.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from asyncio import format_helpers
from collections.abc import Callable
from contextvars import Context
from typing import Any

from treadle._core.clock import Clock, deadline_after
from treadle._core.handles import Handle, TimerHandle, new_timer_handle
from treadle._core.hooks import HookPoints, Hooks
from treadle._core.invoke import (
    current_context,
    make_future,
    make_task,
    task_is_done,
    unregister,
)
from treadle._core.ready import Owner, ReadyQueue, quicken_owner
from treadle._core.tasks import TaskKeeper
from treadle._core.timers import TimerQueue
from treadle._drivers.base import Connection, Driver

__all__ = ["Wheel"]

POLL_EVERY_NS = 50_000  # a ready callback may delay I/O by this much
MAX_SKIPS = 256  # turns without asking the driver, for clocks that stand still
LONGEST_STRIDE = 16  # turns between two looks at the clock
NEAR_NS = 1_000_000  # the clock is read in every turn when a deadline is nearer than this
SLOW_NS = 20_000  # turns between two looks that took longer than this are slow
LONGEST_WAIT_NS = 24 * 3600 * 1_000_000_000  # some kernels dislike more


class Wheel(Owner):
    """Ready queue, timers, tasks, driver and clock, turning together."""

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock  # what deadlines are counted in
        self._given_clock = clock  # what `time` reads
        self._ready = ReadyQueue(self)
        self._timers = TimerQueue()
        self._tasks = TaskKeeper()
        self._hooks: HookPoints | None = None  # None while nobody listens
        self._future_keywords = {"loop": self}
        self._as_made = False  # no method was replaced: treadle.aio may go around them
        self._own_time = False  # `time` was replaced: deadlines are counted in what it tells
        self._debug = False
        self._closed = False
        self._stopping = False  # the current turn is the last one
        self._idle = False  # about to wait, or waiting, in the driver
        self._wake_sent = False  # the driver has been told to wake up
        self._thread_id = 0  # of the thread that runs the loop; 0 while it does not run
        self._now = 0  # nanoseconds; the last time the clock was read between turns
        self._last_poll = 0  # nanoseconds
        self._skips = 0  # turns since then
        self._stride = 1  # turns between two looks at the clock
        self._next_look = 0  # value of `_skips` at which the clock is read
        self._turns = 1  # number of the turn under way; compared, never counted with
        self._unsent: list[Connection] = []  # what they hold is sent when the turn ends
        self._current_handle: Handle | None = None  # for error reports in debug mode
        self.slow_callback_duration = 0.1  # seconds; debug mode reports callbacks that take longer

    def _go_by(self, clock: Clock | None) -> None:
        """Read this clock, which goes by a replaced `time`; None: the one given at first."""
        self._own_time = clock is not None
        self._clock = self._given_clock if clock is None else clock

    # scheduling ----------------------------------------------------------------------------

    def time(self) -> float:
        """Return seconds on the loop's monotonic clock."""
        return self._given_clock.now_ns() / 1e9

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call ``callback(*args)`` in the next turn, after everything queued before it.

        Not safe from other threads or signal handlers: see `call_soon_threadsafe`. Raises
        RuntimeError when the loop is closed.
        """
        handle: asyncio.Handle = self.queue_soon(callback, args, context)
        return handle

    def queue_soon(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Any:
        """Do what ``call_soon(callback, *args, context=context)`` does."""
        if self._closed or self._debug or self._hooks is not None:
            return self._queue_watched(callback, args, context)
        return self._ready.add(callback, args, context)

    def _queue_watched(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Any:
        if self._closed or self._debug:
            self._check_call(callback, "call_soon", True)
        handle = self._ready.add(callback, args, context)
        if self._debug:
            self._trace(handle)
        if self._hooks is not None:
            self._hooks.tell("handle_queued", handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Like `call_soon`, from any thread or signal handler; wakes the loop when it waits."""
        if self._closed or self._debug:
            self._check_call(callback, "call_soon_threadsafe", False)
        handle = self._ready.add(callback, args, context)
        if self._debug:
            self._trace(handle)
        if self._hooks is not None:
            self._hooks.tell("handle_queued", handle)
        if self._idle and not self._wake_sent:
            self._wake_sent = True
            self._driver.wake()
        return handle  # type: ignore[return-value]

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback(*args)`` after `delay` seconds, never earlier.

        Timers run by deadline; those with equal deadlines in the order in which they were set.
        """
        if delay is None:
            raise TypeError("delay must not be None")
        if self._closed or self._debug:
            self._check_call(callback, "call_later", True)
        return self._set_timer_in(delay, callback, args, context)  # type: ignore[return-value]

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback(*args)`` when `time` has reached `when`, never earlier."""
        if when is None:
            raise TypeError("when cannot be None")
        if self._closed or self._debug:
            self._check_call(callback, "call_at", True)
        return self._set_timer_at(when, callback, args, context)  # type: ignore[return-value]

    def _set_timer_in(
        self, seconds: float, callback: Any, args: tuple[Any, ...], context: Any
    ) -> TimerHandle:
        if self._own_time:
            return self._set_timer_at(self.time() + seconds, callback, args, context)
        now = self._clock.now_ns()
        deadline = deadline_after(now, seconds)
        return self._set_timer(now / 1e9 + seconds, deadline, callback, args, context)

    def _set_timer_at(
        self, when: float, callback: Any, args: tuple[Any, ...], context: Any
    ) -> TimerHandle:
        return self._set_timer(when, deadline_after(0, when, when), callback, args, context)

    def _set_timer(
        self,
        when: float,
        deadline: int,
        callback: Any,
        args: tuple[Any, ...],
        context: Any,
    ) -> TimerHandle:
        handle: TimerHandle = new_timer_handle(
            when,
            deadline,
            callback,
            args,
            self,
            current_context() if context is None else context,
            self._timers,
        )
        if self._debug:
            self._trace(handle)
        self._timers.push(handle)
        return handle

    # futures and tasks ---------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future that belongs to this loop."""
        return make_future(self._future_keywords)

    def create_task(self, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        """Run a coroutine as a task, which the loop keeps alive until it is done.

        Takes the keywords that this Python's ``asyncio.Task`` takes: ``name``, ``context`` and,
        since 3.12, ``eager_start``.
        """
        if self._closed:
            self._check_closed()
        task: Any = self._tasks.create(self, coro, keywords)
        if self._hooks is not None:
            self._hooks.tell("task_created", task)
        return task  # type: ignore[no-any-return]

    def start_task(self, coro: Any) -> Any:
        """Do what ``create_task(coro)`` does."""
        if self._closed:
            self._check_closed()
        task: Any
        if self._debug or self._tasks.factory is not None:
            task = self._tasks.create(self, coro, {})
        else:
            task = make_task(coro, self._future_keywords)
            self._tasks.hold(task)
        if self._hooks is not None:
            self._hooks.tell("task_created", task)
        return task

    def _queue_handle(self, handle: Handle) -> None:
        """Queue a handle that the caller keeps for more than one call."""
        self._ready.push(handle)

    def _drop_scheduled(self) -> None:
        self._ready.clear()
        self._timers.clear()

    def _take_scheduled(self) -> list[Handle]:
        """Take everything out without dropping it."""
        taken: list[Handle] = list(self._timers.heap)
        while self._ready.count > 0:
            taken.append(self._ready.pop())
        self._timers.clear()
        return taken

    # one turn ------------------------------------------------------------------------------

    def _turn_forever(self) -> None:
        self._turn_until_stopped()

    def _turn_until_stopped(self) -> None:
        ready = self._ready
        timers = self._timers
        if ready.count > 0 and self._first_turn():
            return
        while True:
            if ready.count == 0 or self._polls_now():
                self._poll()
            if timers.heap:
                first = timers.heap[0]
                if first.deadline < self._now + NEAR_NS:
                    self._now = self._clock.now_ns()
                    self._expire()
            self._run_ready(ready.count)
            if self._stopping:
                return

    def _first_turn(self) -> bool:
        """Run what was queued before the run, and only then ask the driver; True when stopped.

        Programs rely on that order: they send, and then run a task that gets ready to receive. A
        run that ends with this turn has asked the driver too; what the driver queues still runs in
        it, what the callbacks queued does not.
        """
        ready = self._ready
        self._now = self._clock.now_ns()
        self._expire()
        self._run_ready(ready.count)
        if self._closed:  # in a child that a callback forked
            return True
        if not self._stopping:
            return False
        later = [ready.pop() for _ in range(ready.count)]
        try:
            self._poll()
        finally:
            count = ready.count
            for handle in later:
                ready.push(handle)
        self._run_ready(count)
        return True

    def _run_ready(self, count: int) -> None:
        if self._debug:
            self._run_timed(count)
        else:
            self._ready.run(count)
        self._turns += 1
        if self._unsent:
            self._end_turn()

    def _await_turn_end(self, connection: Connection) -> None:
        """Call ``connection.turn_ended`` once, after the callbacks of this turn."""
        self._unsent.append(connection)

    def _end_turn(self) -> None:
        """Have connections send what they hold.

        An exception that passes leaves the others in the list, which the end of the run sends.
        """
        done = 0
        try:
            while done < len(self._unsent):  # a report of a failure may run user code, which writes
                connection = self._unsent[done]
                done += 1
                connection.turn_ended()
        finally:
            del self._unsent[:done]

    def _polls_now(self) -> bool:
        """Decide, while handles are ready, whether the driver is asked in this turn.

        The clock is read every `_stride` turns only: reading it costs about as much as a short
        callback. Turns that prove slow take the stride back to one at once, fast ones double it.
        """
        if self._stopping:
            return True
        self._skips += 1
        if self._skips < self._next_look:
            return False
        now = self._clock.now_ns()
        if now - self._now > SLOW_NS:
            self._stride = 1
        elif self._stride < LONGEST_STRIDE:
            self._stride *= 2
        self._now = now
        self._next_look = self._skips + self._stride
        return now - self._last_poll >= POLL_EVERY_NS or self._skips >= MAX_SKIPS

    def _poll(self) -> None:
        """Ask the driver, and wait for it when nothing is ready; notes the time."""
        timeout = 0
        self._wake_sent = False  # also when the last wait was interrupted
        if self._ready.count == 0 and not self._stopping:
            timeout = self._time_to_wait()
        if timeout != 0:
            self._idle = True
            if self._ready.count > 0:  # a thread slipped in
                timeout = 0
        if self._hooks is not None:
            self._hooks.tell("poll_begins", timeout)
            self._end_turn()  # what hooks wrote
        self._driver.wait(timeout)
        self._idle = False
        if self._hooks is not None:
            self._hooks.tell("poll_ends")
        self._now = self._last_poll = self._clock.now_ns()
        self._skips = 0
        self._next_look = self._stride

    def _time_to_wait(self) -> int:
        """Return nanoseconds until the next deadline, 0 when it has passed, -1 without one."""
        deadline = self._timers.next_deadline()
        if not self._timers.heap:
            return -1
        now = self._clock.now_ns()
        if deadline <= now:
            return 0
        if deadline - now > LONGEST_WAIT_NS:
            return LONGEST_WAIT_NS
        return deadline - now

    def _expire(self) -> None:
        """Queue the timers that are due, by deadline, then in the order in which they were set."""
        while True:
            handle = self._timers.pop_due(self._now)
            if handle is None:
                return
            self._ready.push(handle)

    def _run_timed(self, count: int) -> None:
        """Run handles in debug mode: say so when one takes long."""
        while count > 0 and self._ready.count > 0:
            count -= 1
            handle = self._ready.pop()
            if handle._cancelled:
                continue
            started = self._clock.now_ns()
            self._current_handle = handle
            try:
                self._ready.run_handle(handle)
            finally:
                self._current_handle = None
            seconds = (self._clock.now_ns() - started) / 1e9
            if seconds >= self.slow_callback_duration:
                self._report_slow(handle, seconds)
            del handle  # see ReadyQueue.run_handle

    def _run_now(self, handle: Handle) -> None:
        """Run a handle outside of its turn, for ``Handle._run``."""
        self._ready.run_handle(handle)

    # what the ready queue tells ------------------------------------------------------------

    def step_begins(self, task: Any) -> None:
        """Hear that a task is about to be resumed."""
        if self._hooks is not None:
            self._hooks.tell("step_begins", task)

    def step_ended(self, task: Any) -> None:
        """Hear that a task waits again or is done; let go of it in the second case."""
        if task_is_done(task):
            self._tasks.discard(task)
            unregister(task)
        if self._hooks is not None:
            self._hooks.tell("step_ends", task)

    def callback_failed(self, handle: Handle, exc: BaseException) -> None:
        """Report what a callback raised."""
        callback = format_helpers._format_callback_source(handle._callback, handle._args)
        context = {
            "message": f"Exception in callback {callback}",
            "exception": exc,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    # checks and reports --------------------------------------------------------------------

    def _check_closed(self) -> None:
        raise NotImplementedError

    def _check_call(self, callback: Any, method: str, same_thread: bool) -> None:
        self._check_closed()
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(
                f"coroutines cannot be used with {method}(): "
                f"make a task with create_task() instead of {callback!r}"
            )
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
        if same_thread and self._thread_id and self._thread_id != threading.get_ident():
            raise RuntimeError(
                "Non-thread-safe operation invoked on an event loop other than the current one: "
                "use call_soon_threadsafe()"
            )

    def _trace(self, handle: Handle) -> None:
        """Note where a handle was made; frames of the loop itself are left out."""
        frame: Any = sys._getframe()
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        handle._source_traceback = format_helpers.extract_stack(frame)

    def _report_slow(self, handle: Handle, seconds: float) -> None:
        raise NotImplementedError

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report a failure that has no caller; see `asyncio.loop.call_exception_handler`."""
        raise NotImplementedError

    # hooks ---------------------------------------------------------------------------------

    def add_hooks(self, hooks: Hooks) -> None:
        """Tell `hooks` what happens in this loop from now on."""
        if self._hooks is None:
            self._hooks = HookPoints(self)
            self._ready.watched = True
        self._hooks.add(hooks)

    def remove_hooks(self, hooks: Hooks) -> None:
        """Stop telling `hooks`; ValueError when it was not told."""
        points = self._hooks
        if points is None or not points.remove(hooks):
            raise ValueError(f"{hooks!r} has not been added to this loop")
        if not points.members:
            self._hooks = None
            self._ready.watched = False


quicken_owner(Wheel.call_soon, Wheel.create_task)
