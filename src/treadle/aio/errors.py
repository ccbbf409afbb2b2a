"""Exceptions that asyncio gained after Python 3.11: asyncio's own classes where it has them.

Exception
└── QueueShutDown       the queue was shut down by `Queue.shutdown`
"""

from __future__ import annotations

import asyncio

__all__ = ["QueueShutDown"]

if hasattr(asyncio, "QueueShutDown"):
    QueueShutDown = asyncio.QueueShutDown
else:

    class QueueShutDown(Exception):  # type: ignore[no-redef]  # asyncio's name
        """A queue that was shut down was asked to take, or had nothing left to give.

        >>> import treadle
        >>> queue = treadle.Queue()
        >>> queue.shutdown()
        >>> try:
        ...     queue.put_nowait("late")
        ... except treadle.QueueShutDown:
        ...     print("closed")
        closed
        """

        __module__ = "treadle"
