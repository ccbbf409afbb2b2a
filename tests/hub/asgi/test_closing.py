from __future__ import annotations

import asyncio

import pytest

from treadle.hub import Hub, Identity
from treadle.hub.asgi.closing import until_closed


async def test_a_block_ends_when_the_connection_is_closed():
    async with Hub() as hub:
        connection = await hub.connect(Identity())
        async with until_closed(connection):
            asyncio.get_running_loop().call_soon(connection.close)
            await asyncio.Event().wait()
        assert connection.close_code == 1000


async def test_a_block_on_a_closed_connection_ends_at_its_first_wait():
    async with Hub() as hub:
        connection = await hub.connect(Identity())
        connection.close()
        async with until_closed(connection):
            await asyncio.Event().wait()


async def test_a_block_that_is_over_does_not_mind_the_close():
    async with Hub() as hub:
        connection = await hub.connect(Identity())
        async with until_closed(connection):
            pass
        connection.close()
        await asyncio.sleep(0)


async def test_a_failure_inside_is_passed_on():
    async with Hub() as hub:
        connection = await hub.connect(Identity())
        with pytest.raises(ZeroDivisionError):
            async with until_closed(connection):
                raise ZeroDivisionError


async def test_a_timeout_of_the_block_itself_is_passed_on():
    async with Hub() as hub:
        connection = await hub.connect(Identity())
        with pytest.raises(TimeoutError):
            async with until_closed(connection):
                raise TimeoutError


async def test_a_cancellation_from_outside_is_passed_on():
    async with Hub() as hub:
        connection = await hub.connect(Identity())

        async def wait():
            async with until_closed(connection):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
