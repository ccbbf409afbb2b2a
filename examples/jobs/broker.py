"""The queue and where results are kept, and nothing that either end alone needs."""

from __future__ import annotations

import os

from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ.get("REDIS_URL", "redis://localhost")
KEPT = 3600  # seconds that a result waits for whoever wants it

# A stream, not a list: a job is taken out when it is done, not when it is begun, so that one whose
# worker dies goes to another worker after `idle_timeout`. It may then be done twice.
broker = RedisStreamBroker(
    URL,
    queue_name="treadle-jobs",
    consumer_id="0",  # the first worker gets what was sent before there was one
    xread_block=500,  # milliseconds; the longest that the end of a worker waits for Redis
    idle_timeout=60_000,  # milliseconds
    maxlen=100_000,
).with_result_backend(
    # not pickle, which is what results are kept in otherwise: who can write to the Redis could
    # make whoever reads a result run anything
    RedisAsyncResultBackend(URL, serializer=JSONSerializer(), result_ex_time=KEPT)
)
