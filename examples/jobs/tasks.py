"""The jobs, the broker that carries them, and how those who wait hear of them.

**Who guarantees what.** The broker keeps a job until a worker has acknowledged it, and that is
after its result was stored. A worker that dies in the middle has acknowledged nothing: the job is
given to another when it has lain for `PATIENCE` seconds. So a job may run twice, and has to be such
that this does no harm. A job that takes longer than `PATIENCE` always runs twice.

**Who hears what.** Each order has a room, `order:ID`, with a history: who comes late reads what was
said before. The end is published under a name, so that it is there once, however often the job
ran.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from taskiq import (
    Context,
    SimpleRetryMiddleware,
    TaskiqDepends,
    TaskiqMessage,
    TaskiqMiddleware,
    TaskiqResult,
)
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from treadle.hub import Hooks, Hub, Retention, RoomOptions
from treadle.hub.backends.redis import RedisBackend

REDIS = os.environ.get("JOBS_REDIS", "redis://127.0.0.1:6379")
NAME = os.environ.get("JOBS_NAME", "jobs")  # before the name of every key
PATIENCE = float(os.environ.get("JOBS_PATIENCE", "600"))
KEPT = 3600  # seconds for which results and what was told are kept
PIECES = 20  # in which a job tells how far it is, and looks whether it is still wanted
RUNS = 3  # of a job that fails, at most

ROOMS = {
    "order:*": RoomOptions(history=Retention(100, KEPT), when_full="catch_up", presence=False),
    "cancel:*": RoomOptions(history=Retention(1, KEPT), presence=False),
}


def create_hub(hooks: Hooks | None = None) -> Hub:
    """A node of the hub that web servers and workers share."""
    backend = RedisBackend(REDIS, prefix=NAME)
    return Hub(backend, rooms=ROOMS, hooks=hooks, secret=os.environ.get("JOBS_SECRET"))


class Tell(TaskiqMiddleware):
    """Publishes how a job ended, after its result was stored and before it is acknowledged."""

    async def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        hub: Hub | None = self.broker.state.get("hub")
        if hub is None or message.labels.get("quiet"):
            return
        end = {"state": "done", "value": result.return_value}
        if result.is_err:
            end = {"state": "failed", "error": str(result.error)}
        await hub.publish(f"order:{message.task_id}", end, dedupe="end")


broker = (
    RedisStreamBroker(
        REDIS,
        queue_name=f"{NAME}:queue",
        consumer_group_name=NAME,
        consumer_id="0",  # also what was ordered before the first worker came
        xread_count=1,  # a worker takes no more than it can begin
        xread_block=500,
        idle_timeout=int(PATIENCE * 1000),
        unacknowledged_batch_size=1,
        unacknowledged_lock_timeout=10,
        maxlen=100_000,  # done jobs stay in the stream; more than this may never wait
    )
    .with_result_backend(
        RedisAsyncResultBackend(
            REDIS,
            serializer=JSONSerializer(),  # not pickle: what is in a Redis is not to be executed
            result_ex_time=KEPT,
            prefix_str=f"{NAME}:result",
        )
    )
    .with_middlewares(SimpleRetryMiddleware(default_retry_count=RUNS), Tell())
)


@broker.task(retry_on_error=True)
async def count_primes(below: int, context: Context = TaskiqDepends()) -> int | None:  # noqa: B008
    """How many primes there are below a number; None when nobody wants to know any more."""
    hub: Hub = context.state.hub
    order = context.message.task_id
    found = 0
    for piece in range(PIECES):
        if await hub.history(f"cancel:{order}", 1):
            return None
        begin, end = below * piece // PIECES, below * (piece + 1) // PIECES
        found += await asyncio.to_thread(primes_between, begin, end)
        progress = {"state": "working", "done": (piece + 1) / PIECES}
        await hub.publish(f"order:{order}", progress)
    return found


def primes_between(begin: int, end: int) -> int:
    """By trial division: it has to take a while."""
    return sum(
        all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        for number in range(max(begin, 2), end)
    )


@broker.task(quiet=True)
async def nudge() -> None:
    """Nothing. A worker looks for jobs of dead ones only after a job has come, so one comes."""
