"""asyncio's surface on treadle, compiled, and what goes beyond it.

The loop is loaded at once, everything else with its first use: a program that only runs on the loop
does not pay for the import of queues and streams.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from treadle.aio.loop import Loop, new_event_loop
from treadle.aio.runner import EventLoopPolicy, Runner, install, run

if TYPE_CHECKING:
    from treadle.aio.acceleration import accelerate, restore
    from treadle.aio.callbacks import callbackify, on, once, promisify
    from treadle.aio.concurrently import map_concurrent, race, retry
    from treadle.aio.errors import QueueShutDown
    from treadle.aio.locks import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore
    from treadle.aio.promise import Promise
    from treadle.aio.queues import LifoQueue, PriorityQueue, Queue
    from treadle.aio.streams import (
        StreamReader,
        StreamReaderProtocol,
        StreamWriter,
        open_connection,
        open_unix_connection,
        start_server,
        start_unix_server,
    )
    from treadle.aio.taskgroups import TaskGroup
    from treadle.aio.tasks import as_completed, gather, shield, sleep, wait, wait_for
    from treadle.aio.threads import to_thread
    from treadle.aio.timeouts import Timeout, timeout, timeout_at

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "EventLoopPolicy",
    "LifoQueue",
    "Lock",
    "Loop",
    "PriorityQueue",
    "Promise",
    "Queue",
    "QueueShutDown",
    "Runner",
    "Semaphore",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "TaskGroup",
    "Timeout",
    "accelerate",
    "as_completed",
    "callbackify",
    "gather",
    "install",
    "map_concurrent",
    "new_event_loop",
    "on",
    "once",
    "open_connection",
    "open_unix_connection",
    "promisify",
    "race",
    "restore",
    "retry",
    "run",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
]

_MODULES = {
    "acceleration": "accelerate restore",
    "callbacks": "callbackify on once promisify",
    "concurrently": "map_concurrent race retry",
    "errors": "QueueShutDown",
    "locks": "Barrier BoundedSemaphore Condition Event Lock Semaphore",
    "promise": "Promise",
    "queues": "LifoQueue PriorityQueue Queue",
    "streams": "StreamReader StreamReaderProtocol StreamWriter open_connection "
    "open_unix_connection start_server start_unix_server",
    "taskgroups": "TaskGroup",
    "tasks": "as_completed gather shield sleep wait wait_for",
    "threads": "to_thread",
    "timeouts": "Timeout timeout timeout_at",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load what is asked for the first time."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
