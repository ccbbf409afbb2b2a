# cython: nonecheck=True
"""Task groups: tasks that end before the block that started them does.

Facts. The group must get its parent out of the block when a task fails, and the only way to do that
is to cancel the parent. That cancellation is the group's own, and must not be seen outside: the
group takes it back with `uncancel`, and passes a CancelledError on only when other requests remain.
What the tasks raise comes out as one ExceptionGroup.

Hazards. The parent may be cancelled from outside while it is in the block, while it waits for the
tasks, once or several times, and in the same turn in which a task fails. A task may fail when the
parent has left the body, so the cancellation meets the wait in ``__aexit__``. KeyboardInterrupt and
SystemExit of a task go out bare, before all others. A task that starts eagerly may run, fail and
end inside of `create_task`, and may cancel the group before it belongs to it. Exceptions hold
frames, frames hold the group: the group lets go of its errors and its parent when it is left.

Design. One listener hears of the end of every task, the same for all, made once. A group whose
tasks are all done when its block ends waits for nothing, and so makes no coroutine.

Cost, per task: its place in a set, and one callback.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from treadle._core.invoke import (
    exception_of,
    hear_of_end,
    own_methods,
    quicken_method,
    task_is_cancelled,
)
from treadle._core.listener import Listener
from treadle._core.quick import Quick
from treadle.aio.operation import Finished, Operation, Scope, new_operation
from treadle.aio.shortcuts import current_task_of, new_future, spawn
from treadle.aio.stand_in import StandIn

__all__ = ["TaskGroup", "TaskGroupCore"]

_running_loop = asyncio.get_running_loop
_NOTHING = Finished()
_Task = asyncio.Task
_CancelledError = asyncio.CancelledError
# call graphs (3.14): who waits for whom; None where this Python has none
_add_awaiter: Any = getattr(asyncio, "future_add_to_awaited_by", None)
_discard_awaiter: Any = getattr(asyncio, "future_discard_from_awaited_by", None)


class TaskGroupCore(Scope):
    """What `TaskGroup` does."""

    def __init__(self) -> None:
        self._entered = False
        self._exiting = False  # the block has ended
        self._aborting = False  # the tasks were cancelled; no others are taken
        self._parent_cancel_requested = False  # by us: it is to be taken back
        self._loop: Any = None  # set at the entry
        self._parent_task: Any = None  # set at the entry, None again at the end
        self._tasks: set[Any] = set()  # those that are not done
        self._errors: Any = []  # what tasks raised; None at the end
        self._base_error: BaseException | None = None  # KeyboardInterrupt or SystemExit
        self._on_completed_fut: Any = None  # what `__aexit__` waits for, while it does
        self._on_done: Any = None  # hears of the end of each task; None outside

    def __repr__(self) -> str:
        info = [""]
        if self._tasks:
            info.append(f"tasks={len(self._tasks)}")
        if self._errors:
            info.append(f"errors={len(self._errors)}")
        if self._aborting:
            info.append("cancelling")
        elif self._entered:
            info.append("entered")
        return f"<TaskGroup{' '.join(info)}>"

    def __aenter__(self) -> Operation:
        """Enter the group: RuntimeError outside of a task, and the second time."""
        return new_operation(self, 0, None)

    def _enter(self) -> None:
        if self._entered:
            raise RuntimeError(f"TaskGroup {self!r} has already been entered")
        if self._loop is None:
            self._loop = _running_loop()
        self._parent_task = current_task_of(self._loop)
        if self._parent_task is None:
            raise RuntimeError(f"TaskGroup {self!r} cannot determine the parent task")
        self._entered = True
        self._on_done = GroupListener(self)

    def __aexit__(
        self,
        et: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> Any:
        """Wait for the tasks; raise what they raised, in a group.

        A block that fails cancels the tasks. A cancellation cancels them, waits for them, and is
        raised when it came from outside and no task failed.
        """
        self._exiting = True
        if exc is None and not self._tasks and not self._errors and not self._aborting:
            self._let_go()
            return _NOTHING
        return self._leave(exc)

    def create_task(self, coro: Any, **keywords: Any) -> Any:
        """Run a coroutine as a task of this group; takes what ``loop.create_task`` takes.

        RuntimeError, and the coroutine is closed, when the group was not entered, is finished or
        is shutting down.
        """
        return self._create(coro, keywords)

    def _create(self, coro: Any, keywords: dict[str, Any] | None) -> Any:
        """Do what `create_task` does."""
        if not self._entered or self._aborting or (self._exiting and not self._tasks):
            coro.close()
            self._refuse()
        return self._add(spawn(self._loop, coro, keywords))

    def _add(self, task: Any) -> Any:
        try:
            if _add_awaiter is not None:
                _add_awaiter(task, self._parent_task)
            # also when the task has run to its end already: a failure is to cancel the parent
            # at its next await, not in the middle of this call
            self._tasks.add(task)
            hear_of_end(task, self._on_done)
            if self._aborting and not task.done():  # it began eagerly, and aborted its own group
                task.cancel()
            return task
        finally:
            del task  # a failure's traceback leads to this frame

    def _refuse(self) -> None:
        if not self._entered:
            raise RuntimeError(f"TaskGroup {self!r} has not been entered")
        if self._exiting and not self._tasks:
            raise RuntimeError(f"TaskGroup {self!r} is finished")
        raise RuntimeError(f"TaskGroup {self!r} is shutting down")

    async def _leave(self, exc: BaseException | None) -> bool | None:
        try:
            await self._wait(exc)
            return None
        finally:
            self._let_go()
            exc = None

    async def _wait(self, exc: BaseException | None) -> None:
        """Wait for the tasks and raise what is to be raised; `exc` is what ended the block."""
        cancelled = exc if isinstance(exc, _CancelledError) else None  # to be raised in the end
        later: BaseException | None = None  # the last cancellation that met us here
        if _is_base_error(exc) and self._base_error is None:
            self._base_error = exc
        if exc is not None and not self._aborting:
            self._abort()
        while self._tasks:
            if self._on_completed_fut is None:
                self._on_completed_fut = new_future(self._loop)
            try:
                await self._on_completed_fut
            except _CancelledError as met:
                later = met
                if not self._aborting:
                    cancelled = met
                    self._abort()
            self._on_completed_fut = None
        try:
            self._raise_what_happened(exc, cancelled, later)
        finally:
            exc = cancelled = later = None

    def _raise_what_happened(
        self,
        exc: BaseException | None,
        cancelled: BaseException | None,
        later: BaseException | None,
    ) -> None:
        errors = self._errors
        try:
            if self._base_error is not None:
                raise self._base_error
            if self._parent_cancel_requested:
                if self._parent_task.uncancel() == 0:
                    cancelled = None  # it was all ours
                elif cancelled is None:
                    cancelled = later
            if cancelled is not None and not errors:
                raise cancelled
            if exc is not None and not isinstance(exc, _CancelledError):
                if isinstance(exc, GeneratorExit) and not errors:
                    return  # an asynchronous generator is being closed: it must see just that
                errors.append(exc)
            if errors:
                if self._parent_task.cancelling():
                    # somebody else asked as well: let it meet the parent at its next await
                    self._parent_task.uncancel()
                    self._parent_task.cancel()
                raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
        finally:
            exc = cancelled = later = errors = None

    def _let_go(self) -> None:
        """Drop what would keep frames and exceptions alive, and be kept alive by them."""
        self._parent_task = None
        self._errors = None
        self._base_error = None
        self._on_done = None

    def _abort(self) -> None:
        self._aborting = True
        for task in list(self._tasks):
            if not task.done():
                task.cancel()

    def _drop(self, task: Any) -> None:
        """Count a task as done; the last one ends the wait of `__aexit__`."""
        self._tasks.discard(task)
        waiter = self._on_completed_fut
        if waiter is not None and not self._tasks and not waiter.done():
            waiter.set_result(True)

    def _on_task_done(self, task: Any) -> None:
        if _discard_awaiter is not None:
            _discard_awaiter(task, self._parent_task)
        self._drop(task)
        try:
            exc = exception_of(task)
        except _CancelledError:
            return
        if exc is not None:
            self._on_task_failed(task, exc)

    def _on_task_failed(self, task: Any, exc: BaseException) -> None:
        if self._errors is None or self._parent_task.done():
            self._loop.call_exception_handler(
                {
                    "message": f"Task {task!r} has errored out but its parent "
                    f"task {self._parent_task} is already completed",
                    "exception": exc,
                    "task": task,
                }
            )
            return
        self._errors.append(exc)
        if _is_base_error(exc) and self._base_error is None:
            self._base_error = exc
        if not self._aborting and not self._parent_cancel_requested:
            self._abort()
            self._parent_cancel_requested = True
            self._parent_task.cancel()


class GroupListener(Listener):
    """Hears of the end of each task of a group."""

    def __init__(self, group: TaskGroupCore) -> None:
        self.group = group

    def __call__(self, task: Any) -> None:
        """Tell the group."""
        self.group._on_task_done(task)

    def hear(self, task: Any) -> bool:
        """Hear of a task that has ended well."""
        if type(task) is not _Task or task_is_cancelled(task) or _discard_awaiter is not None:
            return False
        if exception_of(task) is not None:
            return False
        self.group._drop(task)
        return True

    def __repr__(self) -> str:
        return f"the end of a task in {self.group!r}"


class MemberStarter(Quick):
    """`TaskGroup.create_task` without keywords."""

    def call(self, owner: Any, argument: Any) -> Any:
        """Start the task."""
        group: TaskGroupCore = owner
        return group._create(argument, None)


quicken_method(TaskGroupCore.create_task, MemberStarter())


def _is_base_error(exc: BaseException | None) -> bool:
    return isinstance(exc, (SystemExit, KeyboardInterrupt))


class TaskGroup(TaskGroupCore, asyncio.TaskGroup, StandIn):
    """Run tasks that are all done when the block ends; `async with TaskGroup() as group:`.

    When a task fails, the others and the block are cancelled, and what was raised comes out of the
    block as an ExceptionGroup. KeyboardInterrupt and SystemExit come out as they are. When the
    block is cancelled from outside, so are the tasks, and the CancelledError comes out when all are
    done.

    >>> import treadle
    >>> async def main():
    ...     async with treadle.TaskGroup() as group:
    ...         first = group.create_task(treadle.sleep(0, "one"))
    ...         second = group.create_task(treadle.sleep(0, "two"))
    ...     return first.result(), second.result()
    >>> treadle.run(main())
    ('one', 'two')
    """

    __module__ = "treadle"


own_methods(TaskGroup, ("__aenter__", "__aexit__", "create_task"))
