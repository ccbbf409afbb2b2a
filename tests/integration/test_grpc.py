"""grpc.aio, server and client, on the loop: calls of all four kinds, with bytes as messages.

Its core has threads of its own that wake the loop through a socket, which it watches with
`add_reader`. That socket and what the threads wait with stay open for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.servers import CERTIFICATE, KEY

grpc = pytest.importorskip("grpc")
aio = pytest.importorskip("grpc.aio")

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024


@pytest.fixture
def no_descriptor_left() -> None:
    """Not here: the core closes its descriptors in threads of its own, when it likes."""


@pytest.fixture
def loop(loop: Any) -> Any:
    """Leaves out one report: the core tells whichever loop runs of a call of an earlier test's.

    One queue of events serves all loops of the process, and an event may come after the loop that
    its call belonged to was closed.
    """
    report = loop.get_exception_handler()

    def report_ours(loop: Any, context: dict[str, Any]) -> None:
        late = str(context.get("exception")) == "Event loop is closed"
        if not (late and "PollerCompletionQueue" in context["message"]):
            report(loop, context)

    loop.set_exception_handler(report_ours)
    return loop


class Service:
    """What the server does, and what became of the calls that a client gave up."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def double(self, request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0)
        return request * 2

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    async def add(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        total = 0
        async for request in requests:
            total += int(request)
        return b"%d" % total

    async def echo(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def silence(self, request: bytes, context: Any) -> bytes:
        self.begun.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def refuse(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        return b""

    async def fail(self, request: bytes, context: Any) -> bytes:
        raise ZeroDivisionError(request)

    def handler(self) -> Any:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "double": unary(self.double),
            "count": stream(self.count),
            "add": grpc.stream_unary_rpc_method_handler(self.add),
            "echo": grpc.stream_stream_rpc_method_handler(self.echo),
            "silence": unary(self.silence),
            "refuse": unary(self.refuse),
            "fail": unary(self.fail),
        }
        return grpc.method_handlers_generic_handler("test.Service", methods)


@contextlib.asynccontextmanager
async def serving(secure: bool) -> AsyncIterator[tuple[Service, Any]]:
    """The service, and a channel to it."""
    options = [("grpc.max_receive_message_length", -1)]
    server = aio.server(options=options)
    service = Service()
    server.add_generic_rpc_handlers([service.handler()])
    if secure:
        pair = (KEY.read_bytes(), CERTIFICATE.read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    if secure:
        credentials = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
        made = aio.secure_channel(address, credentials, options)
    else:
        made = aio.insecure_channel(address, options)
    try:
        async with made as channel:
            yield service, channel
    finally:
        await server.stop(None)


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


async def test_calls_at_once_each_get_their_own_answer(secure: bool) -> None:
    async with serving(secure) as (_, channel):
        double = channel.unary_unary("/test.Service/double")
        questions = [b"%d," % number for number in range(200)]
        assert await asyncio.gather(*map(double, questions)) == [q * 2 for q in questions]


async def test_a_large_message_comes_whole(secure: bool) -> None:
    data = os.urandom(3 * MEGABYTE)
    async with serving(secure) as (_, channel):
        assert await channel.unary_unary("/test.Service/double")(data) == data * 2


async def test_messages_are_streamed_from_the_server(secure: bool) -> None:
    async with serving(secure) as (_, channel):
        call = channel.unary_stream("/test.Service/count")(b"300")
        assert [answer async for answer in call] == [b"%d" % n for n in range(300)]


async def test_messages_are_streamed_to_the_server(secure: bool) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(300):
            yield b"%d" % number

    async with serving(secure) as (_, channel):
        total = await channel.stream_unary("/test.Service/add")(numbers())
    assert int(total) == sum(range(300))


async def test_messages_are_streamed_both_ways(secure: bool) -> None:
    async with serving(secure) as (_, channel):
        call = channel.stream_stream("/test.Service/echo")()
        for number in range(100):
            await call.write(b"%d" % number)
            assert await call.read() == b"%d" % number
        await call.done_writing()
        assert await call.read() is aio.EOF


async def test_a_call_that_is_cancelled_is_cancelled_in_the_server_as_well(secure: bool) -> None:
    async with serving(secure) as (service, channel):
        call = asyncio.ensure_future(ask(channel, "silence"))
        await service.begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await service.cancelled.wait()
        assert await ask(channel, "double") == b"??"


async def test_a_deadline_ends_the_call_on_both_sides(secure: bool) -> None:
    async with serving(secure) as (_, channel):
        await ask(channel, "double")  # so that connecting does not count
        with pytest.raises(aio.AioRpcError) as caught:
            await ask(channel, "silence", timeout=0.05)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_status_of_a_failed_call_tells_why(secure: bool) -> None:
    async with serving(secure) as (_, channel):
        for method, code, details in (
            ("refuse", grpc.StatusCode.PERMISSION_DENIED, "not you"),
            ("fail", grpc.StatusCode.UNKNOWN, "ZeroDivisionError"),
            ("missing", grpc.StatusCode.UNIMPLEMENTED, "not found"),
        ):
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(channel, method)
            assert caught.value.code() is code
            assert details in caught.value.details()


async def test_a_server_that_stops_gracefully_finishes_its_calls() -> None:
    server = aio.server()
    service = Service()
    server.add_generic_rpc_handlers([service.handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/test.Service/echo")()
        await call.write(b"first")
        assert await call.read() == b"first"
        stopping = asyncio.ensure_future(server.stop(60))
        await call.write(b"last")
        await call.done_writing()
        assert [await call.read(), await call.read()] == [b"last", aio.EOF]
        await stopping


async def ask(channel: Any, method: str, **options: Any) -> Any:
    return await channel.unary_unary(f"/test.Service/{method}")(b"?", **options)
