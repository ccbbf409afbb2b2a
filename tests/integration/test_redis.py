"""redis-py's asyncio client on the loop, against a real Redis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.servers import CERTIFICATE, Make, Redis

redis = pytest.importorskip("redis.asyncio")
NoBackoff = pytest.importorskip("redis.backoff").NoBackoff
Retry = pytest.importorskip("redis.asyncio.retry").Retry

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024
# does not try again, and does not give a busy machine up
PLAIN = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 60, "socket_connect_timeout": 60}


@asynccontextmanager
async def client(server: Redis, **options: Any) -> AsyncIterator[Any]:
    """A client over TCP that does not try again."""
    async with redis.Redis(**{"port": server.port, **PLAIN, **options}) as made:
        yield made


async def test_commands_of_every_type_are_answered(redis_server: Redis, fresh: str) -> None:
    async with client(redis_server, decode_responses=True) as r:
        assert await r.set(fresh, "ä") is True
        assert await r.get(fresh) == "ä"
        assert [await r.incr(f"{fresh}:n") for _ in range(3)] == [1, 2, 3]
        await r.hset(f"{fresh}:h", mapping={"a": "1", "b": "2"})
        assert await r.hgetall(f"{fresh}:h") == {"a": "1", "b": "2"}
        await r.rpush(f"{fresh}:l", *range(5))
        assert await r.lrange(f"{fresh}:l", 1, 3) == ["1", "2", "3"]
        await r.zadd(f"{fresh}:z", {"x": 2, "y": 1})
        assert await r.zrange(f"{fresh}:z", 0, -1) == ["y", "x"]
        assert await r.get(f"{fresh}:missing") is None
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await r.lpush(fresh, "x")


async def test_a_large_value_comes_back_whole(redis_server: Redis, fresh: str) -> None:
    value = os.urandom(5 * MEGABYTE)
    async with client(redis_server) as r:
        await r.set(fresh, value, ex=60)
        assert await r.get(fresh) == value


async def test_a_pipeline_is_answered_in_the_order_of_its_commands(
    redis_server: Redis, fresh: str
) -> None:
    async with client(redis_server) as r, r.pipeline(transaction=False) as pipe:
        for number in range(2000):
            pipe.set(fresh, number).get(fresh)
        answers = await pipe.execute()
    assert answers[1::2] == [b"%d" % number for number in range(2000)]


async def test_a_transaction_fails_when_a_watched_key_was_changed(
    redis_server: Redis, fresh: str
) -> None:
    async with client(redis_server) as r, r.pipeline() as pipe:
        await pipe.watch(fresh)
        pipe.multi()
        pipe.set(fresh, "mine")
        await r.set(fresh, "theirs")
        with pytest.raises(redis.WatchError):
            await pipe.execute()
        assert await r.get(fresh) == b"theirs"


async def test_every_subscriber_hears_everything_in_order(redis_server: Redis, fresh: str) -> None:
    said = [b"%d" % number for number in range(200)]

    async def listen(r: Any, pattern: bool) -> list[bytes]:
        async with r.pubsub() as pubsub:
            await (pubsub.psubscribe(f"{fresh}*") if pattern else pubsub.subscribe(fresh))
            messages = aiter(pubsub.listen())
            assert (await anext(messages))["type"].endswith("subscribe")
            await everybody_listens.wait()
            return [(await anext(messages))["data"] for _ in said]

    async def speak(r: Any) -> None:
        await everybody_listens.wait()
        for word in said:
            assert await r.publish(fresh, word) == 6

    everybody_listens = asyncio.Barrier(7)
    async with client(redis_server) as r:
        listeners = [listen(r, pattern=number % 2 == 0) for number in range(6)]
        *heard, _ = await asyncio.gather(*listeners, speak(r))
    assert heard == [said] * 6


async def test_a_blocking_pop_gets_what_another_connection_pushes(
    redis_server: Redis, fresh: str
) -> None:
    async with client(redis_server) as r:
        popped = asyncio.ensure_future(r.blpop(fresh, timeout=0))
        await r.rpush(fresh, "x")
        assert list(await popped) == [fresh.encode(), b"x"]


async def test_a_blocking_pop_that_gets_nothing_times_out(redis_server: Redis, fresh: str) -> None:
    async with client(redis_server) as r:
        assert await r.blpop(fresh, timeout=0.01) is None


async def test_a_silent_server_is_a_timeout_of_the_client(redis_server: Redis, fresh: str) -> None:
    async with client(redis_server, socket_timeout=0.01) as r:
        # blocks for ever, and the client has no mind to wait for that
        with pytest.raises(redis.TimeoutError):
            await r.execute_command("BLPOP", fresh, 0)


async def until_blocked(server: Redis, name: str, count: int) -> None:
    """Wait until so many clients of this name wait in a blocking pop."""
    async with client(server) as r:
        while True:
            clients = [c for c in await r.client_list() if c["name"] == name]
            if sum("b" in c["flags"] for c in clients) >= count:
                return


async def test_a_cancelled_command_leaves_no_answer_to_the_next_one(
    redis_server: Redis, fresh: str
) -> None:
    one = {"single_connection_client": True, "client_name": fresh}
    async with client(redis_server, **one) as r:
        await r.set(fresh, "first")
        for _ in range(10):
            popped = asyncio.ensure_future(r.blpop(f"{fresh}:list", timeout=0))
            await until_blocked(redis_server, fresh, 1)
            popped.cancel()
            with pytest.raises(asyncio.CancelledError):
                await popped
            assert await r.get(fresh) == b"first"


async def test_blocking_pops_are_cancelled_one_by_one(redis_server: Redis, fresh: str) -> None:
    async def wait(r: Any, number: int) -> bytes:
        try:
            _, value = await r.blpop(f"{fresh}:{number}", timeout=0)
        except asyncio.CancelledError:
            return b"cancelled"
        return bytes(value)

    async with client(redis_server, client_name=fresh) as r:
        waiting = [asyncio.ensure_future(wait(r, number)) for number in range(20)]
        await until_blocked(redis_server, fresh, 20)
        for task in waiting[1::2]:
            task.cancel()
        for number in range(0, 20, 2):
            await r.rpush(f"{fresh}:{number}", number)
        answers = await asyncio.gather(*waiting)
    assert answers == [b"cancelled" if n % 2 else b"%d" % n for n in range(20)]


async def test_the_unix_socket_serves_as_well(redis_server: Redis, fresh: str) -> None:
    async with redis.Redis(unix_socket_path=redis_server.path, **PLAIN) as r:
        await r.set(fresh, bytes(MEGABYTE), ex=60)
        assert await r.get(fresh) == bytes(MEGABYTE)
        assert f"{redis_server.path}:0" in {entry["addr"] for entry in await r.client_list()}


async def test_tls_is_spoken(redis_server: Redis, fresh: str) -> None:
    value = os.urandom(MEGABYTE)
    options = {"ssl": True, "ssl_ca_certs": str(CERTIFICATE), "port": redis_server.tls_port}
    async with client(redis_server, **options) as r:
        await r.set(fresh, value, ex=60)
        async with r.pipeline() as pipe:
            answers = await pipe.get(fresh).incr(f"{fresh}:n").execute()
    assert answers == [value, 1]


async def test_a_certificate_that_nobody_signed_is_refused(redis_server: Redis) -> None:
    async with client(redis_server, ssl=True, port=redis_server.tls_port) as r:
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            await r.ping()


async def test_many_clients_at_once_each_get_their_own_answers(
    redis_server: Redis, fresh: str
) -> None:
    async def count(number: int) -> list[Any]:
        async with client(redis_server) as r:
            await r.set(f"{fresh}:{number}", number * 1000)
            return [await r.incr(f"{fresh}:{number}") for _ in range(20)]

    answers = await asyncio.gather(*map(count, range(100)))
    assert answers == [[n * 1000 + i for i in range(1, 21)] for n in range(100)]


async def test_a_bounded_pool_serves_more_tasks_than_it_has_connections(
    redis_server: Redis, fresh: str
) -> None:
    pool = redis.BlockingConnectionPool(
        port=redis_server.port, max_connections=5, timeout=None, **PLAIN
    )
    async with redis.Redis.from_pool(pool) as r:
        counted = await asyncio.gather(*[r.incr(fresh) for _ in range(200)])
    assert sorted(counted) == list(range(1, 201))


async def test_a_connection_that_the_server_kills_is_replaced(
    redis_server: Redis, fresh: str
) -> None:
    async with client(redis_server) as killer, client(redis_server) as r:
        await r.set(fresh, "x")
        popped = asyncio.ensure_future(r.blpop(f"{fresh}:list", timeout=0))
        while not (ids := [c["id"] for c in await killer.client_list() if c["cmd"] == "blpop"]):
            await asyncio.sleep(0)
        for number in ids:
            await killer.client_kill_filter(_id=number)
        with pytest.raises(redis.ConnectionError):
            await popped
        assert await r.get(fresh) == b"x"


async def test_the_client_connects_anew_when_the_server_has_been_restarted(start: Make) -> None:
    server = start(Redis)
    async with client(server) as r:
        await r.set("before", "the restart")
        await asyncio.to_thread(server.stop)
        with pytest.raises(redis.ConnectionError):
            await r.get("before")
        await asyncio.to_thread(server.start)
        assert await r.get("before") is None  # it stores nothing
        assert await r.set("after", "it") is True


async def test_a_subscription_outlives_a_restart_of_the_server(start: Make) -> None:
    server = start(Redis)
    async with (
        client(server, retry=Retry(NoBackoff(), -1)) as patient,
        patient.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("news")
        heard = asyncio.ensure_future(anext(aiter(pubsub.listen())))
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with client(server) as speaker:
            while not await speaker.publish("news", "back again"):
                await asyncio.sleep(0)
        assert (await heard)["data"] == b"back again"
