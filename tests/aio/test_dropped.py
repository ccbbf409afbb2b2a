"""Somebody waits, and is dropped without a word: what it waited for is as if it had never come."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref

import pytest

import treadle
from tests.aio.sides import on_each_loop

pytestmark = pytest.mark.filterwarnings("ignore:coroutine")


def drop_waiting(operation):
    """Let an awaitable begin to wait, and forget it."""
    operation.send(None)
    del operation
    gc.collect()


@on_each_loop
def test_a_read_that_is_dropped_lets_another_read_wait(run):
    async def main():
        reader = treadle.StreamReader()
        drop_waiting(reader.readline())
        task = asyncio.create_task(reader.readline())
        await asyncio.sleep(0)
        reader.feed_data(b"line\n")
        assert await task == b"line\n"

    run(main())


@on_each_loop
def test_a_sleep_that_is_dropped_leaves_no_timer(run):
    async def main():
        nap = treadle.sleep(1000)
        future = weakref.ref(nap.send(None))  # the timer holds it
        del nap
        gc.collect()
        return future()

    assert run(main()) is None


@on_each_loop
def test_a_drain_that_is_dropped_does_not_hold_up_others(run):
    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, writer = await treadle.open_connection(sock=ours)
        with theirs:
            writer.write(bytes(3_000_000))
            drop_waiting(writer.drain())
            drop_waiting(writer.wait_closed())
            task = asyncio.create_task(writer.drain())
            await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            while not task.done():
                await loop.sock_recv(theirs, 1 << 20)
            await task
            writer.transport.abort()
            await writer.wait_closed()

    run(main())


@on_each_loop
def test_a_lock_goes_to_the_next_when_who_was_woken_is_dropped(run):
    async def main():
        lock = treadle.Lock()
        await lock.acquire()
        first = lock.acquire()
        first.send(None)
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        lock.release()
        del first
        gc.collect()
        assert await task

    run(main())
