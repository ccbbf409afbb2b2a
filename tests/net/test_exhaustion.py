"""Servers that run out of descriptors: they wait, say so once, and lose nobody."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

import pytest

from tests.kit import run_python
from tests.net.test_server import LOCAL, Desk, call


class Shortage:
    """Stands in for ``socket.accept``: fails while `descriptors` is zero; counts the attempts."""

    def __init__(self, monkeypatch, clock, number=errno.EMFILE):
        self.descriptors = 0
        self.tries = []
        accept = socket.socket.accept

        def maybe(sock):
            self.tries.append(clock.ns)
            if self.descriptors == 0:
                raise OSError(number, os.strerror(number))
            sock, address = accept(sock)
            self.descriptors -= 1
            return sock, address

        monkeypatch.setattr(socket.socket, "accept", maybe)

    async def begins(self):
        """Wait until an attempt has failed; time does not pass by that."""
        tries = len(self.tries)
        while len(self.tries) == tries:
            await asyncio.sleep(0)


async def minutes_pass(minutes):
    """Let virtual time pass in small steps: a jump would pass over what the kernel has to tell."""
    for _ in range(round(minutes * 60 / 0.005)):
        await asyncio.sleep(0.005)


@pytest.fixture
def shortage(monkeypatch, virtual):
    """No descriptor is left; time is virtual, and what is reported is in its `reports`."""
    loop, clock = virtual
    shortage = Shortage(monkeypatch, clock)
    shortage.reports = []
    loop.set_exception_handler(lambda loop, context: shortage.reports.append(context))
    return shortage


def test_a_shortage_of_descriptors_is_reported_once(no_descriptor_left, virtual, shortage):
    loop, _ = virtual

    async def main():
        server = await loop.create_server(Desk(), LOCAL, 0)
        with call(server):
            await shortage.begins()
            await minutes_pass(1)
        server.close()

    loop.run_until_complete(main())
    (context,) = shortage.reports
    assert context["exception"].errno == errno.EMFILE
    assert "out of system resource" in context["message"]
    assert isinstance(context["socket"], asyncio.trsock.TransportSocket)


def test_a_server_without_descriptors_tries_rarely(no_descriptor_left, virtual, shortage):
    loop, _ = virtual

    async def main():
        server = await loop.create_server(Desk(), LOCAL, 0)
        with call(server):
            await shortage.begins()
            await minutes_pass(10 / 60)
        server.close()

    loop.run_until_complete(main())
    assert 10 * 4 - 5 <= len(shortage.tries) <= 10 * 4 + 5


def test_a_descriptor_that_others_free_is_found_within_a_quarter_of_a_second(
    no_descriptor_left, virtual, shortage
):
    loop, _ = virtual

    async def main():
        desk = Desk()
        server = await loop.create_server(desk, LOCAL, 0)
        with call(server), call(server):
            await shortage.begins()
            await minutes_pass(0.5)
            assert len(desk) == 0
            shortage.descriptors = 10
            await asyncio.sleep(0.26)
            assert len(desk) == 2
        await desk.dismiss()
        server.close()

    loop.run_until_complete(main())


def test_a_connection_that_ends_makes_room_for_the_next_at_once(
    no_descriptor_left, virtual, shortage
):
    loop, clock = virtual

    async def main():
        desk = Desk()
        server = await loop.create_server(desk, LOCAL, 0)
        shortage.descriptors = 1
        with contextlib.ExitStack() as callers:
            for _ in range(20):
                callers.enter_context(call(server))
            await desk.greets(1)
            await asyncio.sleep(1)  # the others are in the backlog; the longest rest begins
            started = clock.ns
            for served in range(1, 20):
                desk[-1].transport.abort()
                shortage.descriptors += 1
                await desk.greets(served + 1)
            assert clock.ns == started
        await desk.dismiss()
        server.close()

    loop.run_until_complete(main())
    assert len(shortage.reports) == 1


def test_another_shortage_after_a_quiet_time_is_reported_again(
    no_descriptor_left, virtual, shortage
):
    loop, _ = virtual

    async def main():
        desk = Desk()
        server = await loop.create_server(desk, LOCAL, 0)
        for served in range(3):
            with call(server):
                await shortage.begins()
                shortage.descriptors = 1
                await asyncio.sleep(0.3)
                assert len(desk) == served + 1
            await minutes_pass(10 / 60)
        await desk.dismiss()
        server.close()

    loop.run_until_complete(main())
    assert len(shortage.reports) == 3


def test_an_accept_that_fails_for_good_is_logged_once_and_not_a_busy_loop(
    no_descriptor_left, virtual, monkeypatch, caplog
):
    loop, clock = virtual
    broken = Shortage(monkeypatch, clock, errno.EINVAL)

    async def main():
        server = await loop.create_server(Desk(), LOCAL, 0)
        with call(server):
            await broken.begins()
            await minutes_pass(1)
        server.close()

    loop.run_until_complete(main())
    assert len(broken.tries) < 60 * 4 + 10
    assert [record.message for record in caplog.records if "accept()" in record.message] == [
        caplog.records[0].message
    ]


def test_a_server_that_is_closed_while_it_rests_stays_closed(
    no_descriptor_left, virtual, monkeypatch
):
    loop, _ = virtual

    def exhausted(sock):
        raise OSError(errno.ENFILE, "Too many open files in system")

    async def main():
        server = await loop.create_server(Desk(), LOCAL, 0)
        loop.set_exception_handler(lambda loop, context: server.close())
        monkeypatch.setattr(socket.socket, "accept", exhausted)
        with call(server):
            await asyncio.sleep(5)
        assert not server.is_serving()
        await server.wait_closed()

    loop.run_until_complete(main())


EXHAUSTED = """
import asyncio, os, resource, socket, sys
import treadle

CALLERS = 8


class Greeter(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()


async def main():
    loop = asyncio.get_running_loop()
    reports = []

    def report(loop, context):
        reports.append(context["exception"].errno)
        print("limit reached with", len(reports), "report")
        if "LIMIT_STAYS" not in os.environ:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 100, hard))

    loop.set_exception_handler(report)
    server = await loop.create_server(Greeter, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    callers = [socket.create_connection(address) for _ in range(CALLERS)]
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = highest + 3  # the first two are accepted, then there is no number left
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    for caller in callers:
        caller.setblocking(False)
        assert await loop.sock_recv(caller, 5) == b"hello"
        caller.close()
    assert reports == [24], reports
    server.close()
    await server.wait_closed()


treadle.run(main())
print("all served by", sys.argv[1:] or "the loop")
"""


@pytest.mark.parametrize("driver", ["default", "selector"])
@pytest.mark.parametrize("freed", ["a higher limit", "ending connections"])
def test_callers_that_waited_for_a_descriptor_are_served_when_there_is_one(driver, freed):
    environment = {} if driver == "default" else {"TREADLE_DRIVER": driver}
    if freed == "ending connections":
        environment["LIMIT_STAYS"] = "1"
    ended = run_python(EXHAUSTED, **environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "limit reached with 1 report",
        "all served by the loop",
    ]
    assert ended.stderr == ""
