"""Two processes, one hub: the broker is killed and started again, then a process is killed.

Every message that was acknowledged arrives at a client of the other process exactly once and in
order, and the members of the dead process leave, once each.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections import Counter

import pytest

from tests.integration.brokers import Broker
from tests.integration.ear import Ear
from tests.integration.hub_worker import LEASE, MEMBERS, ROOM, publish
from treadle.hub import Hub

# the test's own process is one of the two; the other runs on asyncio's loop
pytestmark = pytest.mark.treadle_only


class Worker:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.acknowledged = -1

    @classmethod
    async def start(cls, broker: Broker, name: str) -> Worker:
        module = "tests.integration.hub_worker"
        words = [broker.kind, str(broker.port), broker.prefix, name]
        path = os.pathsep.join(filter(None, sys.path))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *["-m", module, *words],
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        return cls(process)

    async def has_acknowledged(self, more: int) -> None:
        """Wait until it says that so many more messages were acknowledged."""
        assert self.process.stdout is not None
        wanted = self.acknowledged + more
        while self.acknowledged < wanted:
            line = await self.process.stdout.readline()
            assert line, "the worker ended"
            self.acknowledged = int(line)

    async def kill(self) -> None:
        """Kill it; what it has said until then still counts."""
        assert self.process.stdout is not None
        self.process.kill()
        async for line in self.process.stdout:
            if line.endswith(b"\n"):
                self.acknowledged = int(line)
        await self.process.wait()


async def go_on(hub: Hub, published: list[int]) -> None:
    """Publish in this process as well, for as long as the test goes on."""
    for number in itertools.count():
        await publish(hub, "here", number)
        published.append(number)
        await asyncio.sleep(0.005)


async def test_nothing_is_lost_doubled_or_out_of_order(own_broker: Broker) -> None:
    async with Hub(own_broker.backend(), lease=LEASE) as hub:
        client = await hub.client()
        await client.join(ROOM)
        ear = Ear(client)
        published: list[int] = []
        publishing = asyncio.ensure_future(go_on(hub, published))
        worker = await Worker.start(own_broker, "there")
        names = [f"there{n}" for n in range(MEMBERS)]
        await ear.until(lambda: all(ear.presence["join", name] for name in names))
        await worker.has_acknowledged(50)

        own_broker.server.crash()
        own_broker.server.start()
        await worker.has_acknowledged(50)  # both nodes connect again by themselves
        assert not any(ear.presence["leave", name] for name in names)

        await worker.kill()
        await ear.until(lambda: all(ear.presence["leave", name] for name in names))
        publishing.cancel()
        await asyncio.wait([publishing])
        await publish(hub, "end", 0)
        await ear.until(lambda: bool(ear.numbers("end")))

        there, here = ear.numbers("there"), ear.numbers("here")
        # the last one may have been stored without its acknowledgement, by either
        assert there == list(range(len(there)))
        assert len(there) >= worker.acknowledged + 1
        assert here == list(range(len(here)))
        assert len(here) >= len(published)
        offsets = [message.offset for message in ear.messages]
        assert offsets == sorted(set(offsets))
        assert not ear.gaps
        assert ear.presence == Counter(
            {(event, name): 1 for event in ("join", "leave") for name in names}
        )
    await ear.end()


async def test_a_process_that_was_killed_can_be_followed_by_another(own_broker: Broker) -> None:
    first = await Worker.start(own_broker, "first")
    await first.has_acknowledged(5)
    await first.kill()
    second = await Worker.start(own_broker, "second")
    await second.has_acknowledged(5)
    async with Hub(own_broker.backend(), lease=LEASE) as hub:
        client = await hub.client()
        await client.join(ROOM, history=1000)
        ear = Ear(client)
        await second.has_acknowledged(5)
        await ear.until(lambda: len(ear.numbers("second")) > second.acknowledged)
        assert ear.numbers("first") == list(range(len(ear.numbers("first"))))
        assert len(ear.numbers("first")) >= first.acknowledged + 1
        assert ear.numbers("second") == list(range(len(ear.numbers("second"))))
        members = await hub.members(ROOM)
        assert {"second0", "second1", "second2"} <= {str(member.info) for member in members}
        await second.kill()
    await ear.end()
