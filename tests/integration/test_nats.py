"""nats-py on the loop, against a real NATS server.

Its TLS takes `loop.start_tls`: the server greets in plain text first.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.servers import CERTIFICATE, KEY, Make, Nats, TlsNats, client_context

nats = pytest.importorskip("nats")
errors = pytest.importorskip("nats.errors")

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024


@asynccontextmanager
async def connected(server: Nats, **options: Any) -> AsyncIterator[Any]:
    """A client of the server; what it reports in the background fails the test."""
    faults: list[Exception] = []

    async def note(fault: Exception) -> None:
        faults.append(fault)

    options = {"error_cb": note, "connect_timeout": 60, **options}
    client = await nats.connect(server.url, **options)
    try:
        yield client
    finally:
        await client.close()
    assert faults == []


async def heard_by_the_server(client: Any) -> None:
    """Wait until the server knows what the client has subscribed to.

    nats-py sends the PING of a flush ahead of the commands that still wait to be written, so that
    only a second one comes after them.
    """
    await client.flush(60)
    await client.flush(60)


def mutual() -> ssl.SSLContext:
    """Trusts the server and shows a certificate of its own."""
    context = client_context()
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


async def test_every_subscriber_hears_everything_in_order(nats_server: Nats, fresh: str) -> None:
    said = [b"%d" % number for number in range(500)]
    async with connected(nats_server) as speaker, connected(nats_server) as listener:
        everything = [await listener.subscribe(f"{fresh}.*") for _ in range(3)]
        narrow = await listener.subscribe(f"{fresh}.a")
        await heard_by_the_server(listener)
        for word in said:
            await speaker.publish(f"{fresh}.{'ab'[int(word) % 2]}", word)
        for subscription in everything:
            assert [(await subscription.next_msg(60)).data for _ in said] == said
        assert [(await narrow.next_msg(60)).data for _ in said[::2]] == said[::2]


async def test_requests_at_once_each_get_their_own_answer(nats_server: Nats, fresh: str) -> None:
    async def answer(message: Any) -> None:
        await asyncio.sleep(0)
        await message.respond(message.data * 2)

    async with connected(nats_server) as service, connected(nats_server) as client:
        await service.subscribe(fresh, cb=answer)
        await heard_by_the_server(service)
        questions = [b"%d," % number for number in range(100)]
        answers = await asyncio.gather(*[client.request(fresh, q, timeout=60) for q in questions])
    assert [answer.data for answer in answers] == [question * 2 for question in questions]


async def test_a_request_that_nobody_serves_is_answered_so(nats_server: Nats, fresh: str) -> None:
    async with connected(nats_server) as client:
        with pytest.raises(errors.NoRespondersError):
            await client.request(fresh, b"?", timeout=60)


async def test_a_request_that_nobody_answers_times_out(nats_server: Nats, fresh: str) -> None:
    async with connected(nats_server) as client:
        await client.subscribe(fresh)
        with pytest.raises(errors.TimeoutError):
            await client.request(fresh, b"?", timeout=0.01)


async def test_a_queue_group_shares_the_work_without_loss(nats_server: Nats, fresh: str) -> None:
    done: Counter[bytes] = Counter()
    finished = asyncio.Event()

    async def work(message: Any) -> None:
        done[message.data] += 1
        if len(done) == 300:
            finished.set()

    async with connected(nats_server) as client, connected(nats_server) as boss:
        for _ in range(3):
            await client.subscribe(fresh, queue="workers", cb=work)
        await heard_by_the_server(client)
        for number in range(300):
            await boss.publish(fresh, b"%d" % number)
        await finished.wait()
    assert set(done.values()) == {1}


async def test_a_large_message_comes_whole(nats_server: Nats, fresh: str) -> None:
    data = bytes(range(256)) * 4000
    async with connected(nats_server) as client:
        subscription = await client.subscribe(fresh)
        for _ in range(5):
            await client.publish(fresh, data)
        assert [(await subscription.next_msg(60)).data == data for _ in range(5)] == [True] * 5


async def test_draining_delivers_what_is_under_way(nats_server: Nats, fresh: str) -> None:
    heard = []

    async def listen(message: Any) -> None:
        heard.append(message.data)

    async with connected(nats_server) as client:
        await client.subscribe(fresh, cb=listen)
        for number in range(100):
            await client.publish(fresh, b"%d" % number)
        await client.drain()
        assert client.is_closed
    assert heard == [b"%d" % number for number in range(100)]


async def test_a_stream_keeps_messages_until_they_are_acknowledged(
    nats_server: Nats, fresh: str
) -> None:
    async with connected(nats_server) as client:
        stream = client.jetstream(timeout=60)
        await stream.add_stream(name=fresh, subjects=[f"{fresh}.>"])
        for number in range(20):
            stored = await stream.publish(f"{fresh}.x", b"%d" % number)
            assert stored.seq == number + 1
        consumer = await stream.pull_subscribe(f"{fresh}.x", durable="worker")
        first = await consumer.fetch(10, timeout=60)
        for message in first:
            await message.ack_sync()
        second = await consumer.fetch(10, timeout=60)
        heard = [message.data for message in first + second]
        assert heard == [b"%d" % number for number in range(20)]
        with pytest.raises(errors.TimeoutError):
            await consumer.fetch(1, timeout=0.01)
        await stream.delete_stream(fresh)


async def test_a_key_value_store_reports_changes(nats_server: Nats, fresh: str) -> None:
    async with connected(nats_server) as client:
        store = await client.jetstream(timeout=60).create_key_value(bucket=fresh)
        watcher = await store.watchall()
        assert await watcher.updates(timeout=60) is None  # nothing is there yet
        for number in range(5):
            await store.put("key", b"%d" % number)
        changes = [(await watcher.updates(timeout=60)).value for _ in range(5)]
        assert changes == [b"%d" % number for number in range(5)]
        assert (await store.get("key")).value == b"4"
        await watcher.stop()


async def test_the_client_connects_anew_when_the_server_has_been_restarted(start: Make) -> None:
    server = start(Nats)
    lost, back = asyncio.Event(), asyncio.Event()

    async def note_loss() -> None:
        lost.set()

    async def note_return() -> None:
        back.set()

    async def ignore(fault: Exception) -> None:
        """The connection is lost: that is what the test is about."""

    options = {
        "disconnected_cb": note_loss,
        "reconnected_cb": note_return,
        "error_cb": ignore,
        "reconnect_time_wait": 0.01,
        "max_reconnect_attempts": -1,
    }
    async with connected(server, **options) as client:
        subscription = await client.subscribe("news")
        await heard_by_the_server(client)
        await asyncio.to_thread(server.stop)
        await lost.wait()
        await client.publish("news", b"kept while nobody is there")
        await asyncio.to_thread(server.start)
        await back.wait()
        await client.publish("news", b"back again")
        heard = [(await subscription.next_msg(60)).data for _ in range(2)]
    assert heard == [b"kept while nobody is there", b"back again"]


async def test_nobody_there_is_an_error_and_leaves_nothing_open() -> None:
    async def ignore(fault: Exception) -> None:
        """Every attempt is reported as well."""

    options = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0, "error_cb": ignore}
    with pytest.raises(errors.NoServersError):
        await nats.connect("nats://127.0.0.1:1", **options)


async def test_tls_with_a_certificate_of_the_client_is_spoken(
    tls_nats_server: TlsNats, fresh: str
) -> None:
    data = bytes(range(256)) * 2000
    async with connected(tls_nats_server, tls=mutual(), tls_hostname="localhost") as client:
        subscription = await client.subscribe(fresh)
        for _ in range(20):
            await client.publish(fresh, data)
        heard = [(await subscription.next_msg(60)).data == data for _ in range(20)]
    assert heard == [True] * 20


@pytest.mark.parametrize("missing", ["trust", "certificate"])
async def test_a_failed_handshake_is_an_error(tls_nats_server: TlsNats, missing: str) -> None:
    async def ignore(fault: Exception) -> None:
        """The failure is reported as well."""

    context = client_context() if missing == "certificate" else ssl.create_default_context()
    with pytest.raises((ssl.SSLError, errors.Error, OSError)):
        await nats.connect(
            tls_nats_server.url,
            tls=context,
            tls_hostname="localhost",
            allow_reconnect=False,
            error_cb=ignore,
        )
