"""Faults that a real kernel can be brought to show, for every driver, the compiled one as well.

Descriptors run out (RLIMIT_NOFILE), buffers are full (SO_SNDBUF), peers reset (SO_LINGER), and
signals interrupt whatever waits. The programs are those of `programs.py`, and so is what must hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.judge import OUT_OF_DESCRIPTORS, Judge
from tests.faults.programs import LONG, PROGRAMS, served, talk
from tests.faults.world import SIZE, EchoEnd, TalkEnd, World, message
from tests.net.wire import open_descriptors, reset

pytestmark = [pytest.mark.every_driver, pytest.mark.treadle_only]


def check(judge: Judge, world: World) -> None:
    """Nothing is wrong, and every client has got everything back."""
    assert judge.wrong == []
    assert (world.finished, world.errors) == (world.clients, [])


@contextlib.contextmanager
def storm() -> Iterator[None]:
    """Send this thread signals, as fast as another thread can, that do nothing but interrupt."""
    caught: list[int] = []
    calm = threading.Event()
    victim = threading.get_ident()

    def send() -> None:
        while not calm.wait(0.0005):
            signal.pthread_kill(victim, signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
        while not caught:  # a program may be too short to be hit
            calm.wait(0.001)
    finally:
        calm.set()
        thread.join()
        signal.signal(signal.SIGUSR1, old)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_signals_interrupt_nothing_for_good(name: str, loop_factory: Callable[[], Any]) -> None:
    async def several_times(world: World) -> None:
        for _ in range(5):
            await PROGRAMS[name](world)

    judge = Judge(several_times)
    world = judge.run(loop_factory, storm)
    check(judge, world)
    assert judge.reports == []


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[Callable[[], None]]:
    """Let this process open `spare` more descriptors, until the block ends or it is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def restore() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    used = open_descriptors()
    free = [number for number in range(max(used) + spare + 2) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
    try:
        yield restore
    finally:
        restore()


@pytest.mark.parametrize("spare", range(7))
def test_clients_wait_while_the_server_has_no_descriptors(
    spare: int, loop_factory: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle._net.server._LONGEST_REST", 0.01)
    most = 6

    async def crowd(world: World) -> None:
        loop = world.loop
        server = await loop.create_server(lambda: EchoEnd(world), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        socks = [socket.socket() for _ in range(most)]  # they have theirs already
        with few_descriptors(spare) as restore:
            for sock in socks:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
            ends = [TalkEnd(world, (SIZE, SIZE), "close") for _ in socks]
            for sock, end in zip(socks, ends, strict=True):
                await loop.create_connection(lambda end=end: end, sock=sock)
            while not (judge.reports or spare >= most):
                await asyncio.sleep(0)
            restore()
            for end in ends:
                await end.closed
        server.close()
        for one in world.ends:
            await one.closed

    judge = Judge(crowd)
    world = judge.run(loop_factory)
    check(judge, world)
    assert len(judge.reports) >= (spare < most)
    assert {report["message"] for report in judge.reports} <= {OUT_OF_DESCRIPTORS}


@pytest.mark.parametrize("spare", range(9))
def test_whoever_gets_no_descriptor_hears_of_it(
    spare: int, loop_factory: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle._net.server._LONGEST_REST", 0.01)

    async def strangled(world: World) -> None:
        with few_descriptors(spare) as restore:
            world.loop.call_later(0.02, restore)
            await served(world, EchoEnd, [(TalkEnd, (SIZE,), "close")] * 3)

    judge = Judge(strangled)
    judge.run(loop_factory)
    assert judge.wrong == []
    assert {report["message"] for report in judge.reports} <= {OUT_OF_DESCRIPTORS}


@pytest.mark.parametrize("ending", ["close", "write_eof"])
def test_full_buffers_lose_nothing(ending: str, loop_factory: Callable[[], Any]) -> None:
    async def crammed(world: World) -> None:
        talks = [(TalkEnd, (LONG, SIZE, 3 * LONG), ending)] * 3
        await served(world, EchoEnd, talks, small=True)

    judge = Judge(crammed)
    check(judge, judge.run(loop_factory))


def test_resets_end_the_connections_that_they_hit_and_no_other(
    loop_factory: Callable[[], Any],
) -> None:
    victims = 20

    async def resets(world: World) -> None:
        loop = world.loop
        server = await loop.create_server(lambda: EchoEnd(world), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        port = address[1]
        talking = [
            asyncio.ensure_future(talk(world, port, {}, TalkEnd, (SIZE,) * 50, "close"))
            for _ in range(3)
        ]
        for number in range(victims):
            token = world.new_token()
            world.finished += 1  # these want nothing back
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            data = message(token, 0, (0, SIZE, LONG)[number % 3])
            world.sent[token] += data
            with contextlib.suppress(BlockingIOError):
                sock.send(data)
            for _ in range(number % 4):
                await asyncio.sleep(0)
            reset(sock)
        await asyncio.gather(*talking)
        server.close()
        while any(not end.lost for end in world.ends):
            await asyncio.sleep(0)

    judge = Judge(resets)
    check(judge, judge.run(loop_factory))
    assert judge.reports == []
