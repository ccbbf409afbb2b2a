"""asyncio's surface on treadle: the loop and its runners."""

from __future__ import annotations

from treadle.aio.loop import Loop, new_event_loop
from treadle.aio.runner import EventLoopPolicy, Runner, install, run

__all__ = ["EventLoopPolicy", "Loop", "Runner", "install", "new_event_loop", "run"]
