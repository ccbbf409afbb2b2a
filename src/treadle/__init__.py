"""treadle: an asynchronous runtime for Python.

asyncio programs run on it unchanged::

    import treadle
    treadle.run(main())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle import (
    _build,  # first: it decides which modules are taken
    aio,
)
from treadle._core.hooks import Hooks
from treadle.aio import EventLoopPolicy, Loop, Runner, install, new_event_loop, run

if TYPE_CHECKING:
    from treadle.aio import (
        Barrier,
        BoundedSemaphore,
        Condition,
        Event,
        LifoQueue,
        Lock,
        PriorityQueue,
        Promise,
        Queue,
        QueueShutDown,
        Semaphore,
        StreamReader,
        StreamReaderProtocol,
        StreamWriter,
        TaskGroup,
        Timeout,
        accelerate,
        as_completed,
        callbackify,
        gather,
        map_concurrent,
        on,
        once,
        open_connection,
        open_unix_connection,
        promisify,
        race,
        restore,
        retry,
        shield,
        sleep,
        start_server,
        start_unix_server,
        timeout,
        timeout_at,
        to_thread,
        wait,
        wait_for,
    )

__all__ = [
    "COMPILED",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "EventLoopPolicy",
    "Hooks",
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
    "__version__",
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

__version__ = "0.1.0"
COMPILED = _build.COMPILED
"""True when the compiled modules are running, False in the plain treadle."""


def __getattr__(name: str) -> Any:
    """Load what is asked for the first time."""
    if name not in aio.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(aio, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
