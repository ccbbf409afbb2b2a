"""anyio on the loop: its task groups, threads, processes, and sockets of each kind, with TLS."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import client_context, server_context

anyio = pytest.importorskip("anyio")
buffered = pytest.importorskip("anyio.streams.buffered")
from_thread = pytest.importorskip("anyio.from_thread")
to_thread = pytest.importorskip("anyio.to_thread")
tls = pytest.importorskip("anyio.streams.tls")

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024


# tasks and threads ----------------------------------------------------------------------------


async def test_a_failed_child_cancels_its_siblings() -> None:
    ended = []

    async def wait(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(number)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(wait, number)
            await anyio.wait_all_tasks_blocked()
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert [type(exc) for exc in caught.value.exceptions] == [ZeroDivisionError]
    assert sorted(ended) == [0, 1, 2]


async def test_scopes_with_deadlines_nest() -> None:
    with anyio.move_on_after(60) as outer:
        with anyio.move_on_after(0.01) as inner:
            await anyio.sleep_forever()
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await anyio.sleep_forever()
    assert (outer.cancelled_caught, inner.cancelled_caught) == (False, True)


async def test_a_shielded_scope_is_finished_before_the_cancellation() -> None:
    async with anyio.create_task_group() as group:
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.001)
            finished = True
        await anyio.sleep_forever()
    assert finished


async def test_memory_streams_hand_every_item_to_one_receiver() -> None:
    got: list[int] = []

    async def receive(stream: Any) -> None:
        async with stream:
            async for item in stream:
                got.append(item)
                await anyio.sleep(0)

    sender, receiver = anyio.create_memory_object_stream(5)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(receive, receiver.clone())
        receiver.close()
        async with sender:
            for item in range(200):
                await sender.send(item)
    assert sorted(got) == list(range(200))


async def test_threads_call_into_the_loop_and_back() -> None:
    async def double(number: int) -> int:
        await anyio.sleep(0)
        return number * 2

    def work(number: int) -> int:
        return int(from_thread.run(double, number)) + int(from_thread.run_sync(lambda: 1))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(check_in_thread, work, number)


async def check_in_thread(work: Callable[[int], int], number: int) -> None:
    assert await to_thread.run_sync(work, number) == number * 2 + 1


def test_a_portal_serves_threads_from_a_loop_of_its_own(loop_factory: Any) -> None:
    options = {"loop_factory": loop_factory}
    with from_thread.start_blocking_portal("asyncio", options) as portal:
        futures = [portal.start_task_soon(asyncio.sleep, 0, n) for n in range(50)]
        assert [future.result() for future in futures] == list(range(50))


# sockets --------------------------------------------------------------------------------------


async def echo(stream: Any) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)
        await stream.send(b" and the end")


async def say(stream: Any, data: bytes) -> bytes:
    """Send while receiving, half-close, and return all that comes back."""

    async def speak() -> None:
        await stream.send(data)
        await stream.send_eof()

    async with stream, anyio.create_task_group() as group:
        group.start_soon(speak)
        return b"".join([part async for part in stream])


async def test_a_tcp_stream_carries_bulk_both_ways_and_half_closes() -> None:
    data = os.urandom(4 * MEGABYTE)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        stream = await anyio.connect_tcp("localhost", port)
        assert await say(stream, data) == data + b" and the end"
        group.cancel_scope.cancel()


async def test_a_unix_stream_carries_bulk_both_ways_and_half_closes(tmp_path: Path) -> None:
    data = os.urandom(4 * MEGABYTE)
    path = tmp_path / "stream.sock"
    async with (
        await anyio.create_unix_listener(path) as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, echo)
        stream = await anyio.connect_unix(path)
        assert await say(stream, data) == data + b" and the end"
        group.cancel_scope.cancel()


async def test_a_unix_stream_hands_over_descriptors(tmp_path: Path) -> None:
    received = asyncio.get_running_loop().create_future()

    async def take(stream: Any) -> None:
        async with stream:
            received.set_result(await stream.receive_fds(10, 1))

    (tmp_path / "file").write_bytes(b"content")
    path = tmp_path / "fds.sock"
    async with (
        await anyio.create_unix_listener(path) as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, take)
        with (tmp_path / "file").open("rb") as file:
            async with await anyio.connect_unix(path) as stream:
                await stream.send_fds(b"have it", [file])
                message, descriptors = await received
        group.cancel_scope.cancel()
    with open(descriptors[0], "rb") as file:
        assert (message, file.read()) == (b"have it", b"content")


async def test_tls_is_spoken_over_a_stream() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    secured = tls.TLSListener(listener, server_context(), standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(secured.serve, shout)
        stream = await anyio.connect_tcp(
            "127.0.0.1", port, ssl_context=client_context(), tls_standard_compatible=False
        )
        async with stream:
            for size in (1, 16384, MEGABYTE):
                await stream.send(b"x" * size + b"\n")
                got = b""
                while not got.endswith(b"\n"):
                    got += await stream.receive()
                assert got == b"X" * size + b"\n"
        group.cancel_scope.cancel()


async def shout(stream: Any) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data.upper())


async def test_a_certificate_that_nobody_signed_is_refused() -> None:
    def expected(exc: BaseException) -> None:
        assert isinstance(exc, (ssl.SSLError, anyio.BrokenResourceError))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    secured = Deaf(listener, server_context())
    async with listener, anyio.create_task_group() as group:
        group.start_soon(secured.serve, shout)
        with pytest.raises(ssl.SSLCertVerificationError):
            await anyio.connect_tcp("127.0.0.1", port, ssl_context=ssl.create_default_context())
        group.cancel_scope.cancel()


class Deaf(tls.TLSListener):  # type: ignore[misc, name-defined]
    """Does not log the handshakes that fail."""

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: Any) -> None:
        await stream.aclose()


async def test_udp_datagrams_come_from_those_who_sent_them() -> None:
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as service:
        port = service.extra(anyio.abc.SocketAttribute.local_port)
        async with (
            await anyio.create_connected_udp_socket("127.0.0.1", port) as one,
            await anyio.create_connected_udp_socket("127.0.0.1", port) as other,
        ):
            for number in range(20):
                await one.send(b"one %d" % number)
                await other.send(b"other %d" % number)
                for _ in range(2):
                    data, (host, back) = await service.receive()
                    await service.sendto(data.upper(), host, back)
                assert await one.receive() == b"ONE %d" % number
                assert await other.receive() == b"OTHER %d" % number


async def test_unix_datagrams_keep_their_borders(tmp_path: Path) -> None:
    server_path, client_path = tmp_path / "server.sock", tmp_path / "client.sock"
    async with (
        await anyio.create_unix_datagram_socket(local_path=server_path) as service,
        await anyio.create_connected_unix_datagram_socket(
            server_path, local_path=client_path
        ) as client,
    ):
        for size in (1, 10, 10_000):
            await client.send(b"x" * size)
            data, sender = await service.receive()
            await service.sendto(data.upper(), sender)
            assert await client.receive() == b"X" * size


async def test_a_receive_is_cancelled_and_the_stream_goes_on() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, shout)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for number in range(10):
                with anyio.move_on_after(0.002) as scope:
                    await stream.receive()
                assert scope.cancelled_caught
                await stream.send(b"%d x" % number)
                assert await stream.receive() == b"%d X" % number
        group.cancel_scope.cancel()


async def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp("localhost", 1)


# processes and signals ------------------------------------------------------------------------


async def test_a_process_is_run_with_input_and_output() -> None:
    data = os.urandom(MEGABYTE)
    done = await anyio.run_process(["cat"], input=data)
    assert (done.returncode, done.stdout) == (0, data)


async def test_a_process_is_talked_to_line_by_line() -> None:
    program = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
    async with await anyio.open_process([sys.executable, "-c", program]) as process:
        answers = buffered.BufferedByteReceiveStream(process.stdout)
        for number in range(20):
            await process.stdin.send(b"line %d\n" % number)
            assert await answers.receive_until(b"\n", 100) == b"LINE %d" % number
        await process.stdin.aclose()
        assert await process.wait() == 0


async def test_a_process_of_a_cancelled_scope_is_killed() -> None:
    with anyio.move_on_after(0.05) as scope:
        await anyio.run_process(["sleep", "3600"])
    assert scope.cancelled_caught


async def test_signals_are_received_one_by_one() -> None:
    with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as received:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            os.kill(os.getpid(), number)
            assert await anext(received) == number
