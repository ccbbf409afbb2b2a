"""A worker of `examples/jobs` with more jobs, which go wrong.

python -m tests.integration.hub_jobs
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from taskiq import Context, TaskiqDepends

from jobs.tasks import broker
from jobs.worker import main

Here = Annotated[Context, TaskiqDepends()]


async def begin(context: Context) -> int:
    """Tell that a run has begun, and by whom; how many have begun before."""
    room = f"order:{context.message.task_id}"
    before = len(await context.state.hub.history(room))
    loop = asyncio.get_running_loop()
    where = f"{type(loop).__module__}.{type(loop).__name__}"
    news: dict[str, Any] = {"state": "begun", "pid": os.getpid(), "loop": where}
    await context.state.hub.publish(room, news)
    return before


@broker.task("stuck")
async def stuck(context: Here) -> int:
    """Never ends, the first time."""
    before = await begin(context)
    if not before:
        await asyncio.Event().wait()
    return before


@broker.task("shaky", retry_on_error=True)
async def shaky(context: Here) -> int:
    """Fails, the first time."""
    before = await begin(context)
    if not before:
        raise ValueError("the first time")
    return before


@broker.task("hopeless", retry_on_error=True)
async def hopeless(context: Here) -> None:
    """Fails each time."""
    await begin(context)
    raise ValueError("as always")


if __name__ == "__main__":
    main()
