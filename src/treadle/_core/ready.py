"""The ready queue: makes handles, keeps them in order, runs them.

This is the plain twin. Its deque stays whole when a thread or a signal handler interrupts the
interpreter between two bytecodes. The compiled twin is ``ready_native.py``.

May not know: timers, the driver, the clock. What it runs may raise; its `Owner` hears of that, and
of the beginning and end of each task's step.
"""

from __future__ import annotations

from collections import deque
from contextvars import Context, copy_context
from typing import Any

from treadle._core.handles import Handle, new_handle
from treadle._core.invoke import stepped_task

__all__ = ["Owner", "ReadyQueue"]


class Owner:
    """What a ready queue tells its owner; the base of the wheel."""

    def queue_soon(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Any:
        """Do what ``call_soon(callback, *args, context=context)`` does."""
        raise NotImplementedError

    def start_task(self, coro: Any) -> Any:
        """Do what ``create_task(coro)`` does."""
        raise NotImplementedError

    def callback_failed(self, handle: Handle, exc: BaseException) -> None:
        """Hear that a callback raised something else than SystemExit and KeyboardInterrupt."""
        raise NotImplementedError

    def step_begins(self, task: Any) -> None:
        """Hear that a task is about to be resumed; only called while `watched` is set."""
        raise NotImplementedError

    def step_ended(self, task: Any) -> None:
        """Hear that a task waits again or is done, also when the step raised."""
        raise NotImplementedError


class ReadyQueue:
    """First in, first out; never drops, never reorders."""

    def __init__(self, owner: Owner) -> None:
        self._owner: Any = owner
        self._handles: deque[Handle] = deque()
        self.watched = False  # the owner wants to hear `step_begins`

    @property
    def count(self) -> int:
        """The number of handles, cancelled ones included."""
        return len(self._handles)

    def add(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Handle:
        """Make a handle for ``callback(*args)`` and put it at the end."""
        handle = new_handle(
            callback, args, self._owner, copy_context() if context is None else context
        )
        self._handles.append(handle)
        return handle

    def push(self, handle: Handle) -> None:
        """Put a handle at the end."""
        self._handles.append(handle)

    def pop(self) -> Handle:
        """Take the handle that waited longest; IndexError when there is none."""
        return self._handles.popleft()

    def clear(self) -> None:
        """Drop every handle."""
        self._handles.clear()

    def run(self, count: int) -> None:
        """Run the next `count` handles, fewer when the queue is cleared meanwhile.

        SystemExit and KeyboardInterrupt pass; the handles not run by then stay in the queue.
        """
        while count > 0 and self._handles:
            count -= 1
            handle = self.pop()
            if not handle._cancelled:
                self.run_handle(handle)
            del handle  # see run_handle

    def run_handle(self, handle: Handle) -> None:
        """Run one handle that is not in the queue."""
        task = stepped_task(handle._callback)
        if task is not None and self.watched:
            try:
                self._owner.step_begins(task)
            except BaseException:
                self.push(handle)  # an interruption must not cost the task its step
                raise
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._owner.callback_failed(handle, exc)
        finally:
            if task is not None:
                self._owner.step_ended(task)
            # a failed task's traceback leads to this frame, which must not lead back to the task:
            # its failure is to be reported when it is dropped, not when the collector finds a cycle
            del handle, task


def quicken_owner(call_soon: Any, create_task: Any) -> None:
    """Have the frequent calls of two compiled methods go to `queue_soon` and `start_task` at once.

    For one class of owners only, which lives as long as the program.
    """
