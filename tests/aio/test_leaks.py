"""Nothing that is awaited leaves an object behind: a second hundred takes no more than the first.

Each program runs many times in one process. Two things are counted: the objects that the cycle
collector knows, and the blocks of memory that Python has given out, which counts what the collector
does not know as well. A reference that is kept too many shows as growth of about one per round.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import warnings

import pytest

import treadle

ROUNDS = 100
MEASURES = 4  # each of ROUNDS, from the second on until one does not grow: caches fill first
SLACK = ROUNDS // 2  # growth of so many is none per round

Failed = type("Failed", (Exception,), {})


def drive(operation):
    """Do one step of something by hand."""
    operation.send(None)
    return operation


async def queue_ready():
    queue = treadle.Queue()
    await queue.put(object())
    await queue.get()


async def queue_waiting():
    queue = treadle.Queue(1)
    task = asyncio.create_task(queue.get())
    await treadle.sleep(0)
    await queue.put([1])
    await task
    await queue.put([2])
    task = asyncio.create_task(queue.put([3]))
    await treadle.sleep(0)
    await queue.get()
    await task


async def queue_cancelled():
    queue = treadle.Queue()
    await cancelled(queue.get())
    await queue.put(1)


async def queue_joined():
    queue = treadle.Queue()
    queue.put_nowait(1)
    task = asyncio.create_task(queue.join())
    await treadle.sleep(0)
    queue.get_nowait()
    queue.task_done()
    await task


async def queue_shut_down():
    queue = treadle.Queue()
    task = asyncio.create_task(queue.get())
    await treadle.sleep(0)
    queue.shutdown()
    with pytest.raises(treadle.QueueShutDown):
        await task


async def queue_large():
    queue = treadle.Queue()
    for number in range(1500):
        queue.put_nowait(number)
    assert list(queue._queue) == list(range(1500))


async def operation_never_awaited():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        treadle.Queue().put([1])
        treadle.sleep(0)
        treadle.StreamReader().read(1)


async def operation_dropped():
    drive(treadle.Queue().get())
    drive(treadle.StreamReader().read(1))
    drive(treadle.sleep(100))


async def operation_thrown_at():
    for operation in (treadle.Queue().get(), treadle.sleep(100), treadle.Event().wait()):
        drive(operation)
        with pytest.raises(Failed):
            operation.throw(Failed)
        with pytest.raises(RuntimeError):
            operation.send(None)


async def operation_by_send():
    queue = treadle.Queue()
    queue.put_nowait((1, 2))
    with pytest.raises(StopIteration):
        queue.get().send(None)


async def lock():
    lock = treadle.Lock()
    async with lock:
        task = asyncio.create_task(lock.acquire())
        await treadle.sleep(0)
        await cancelled(lock.acquire())
    await task


async def semaphore():
    semaphore = treadle.BoundedSemaphore(1)
    async with semaphore:
        task = asyncio.create_task(semaphore.acquire())
        await treadle.sleep(0)
        await cancelled(semaphore.acquire())
    await task


async def event():
    event = treadle.Event()
    task = asyncio.create_task(event.wait())
    await treadle.sleep(0)
    await cancelled(event.wait())
    event.set()
    await task


async def condition():
    condition = treadle.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    task = asyncio.create_task(wait())
    await treadle.sleep(0)
    await cancelled(wait())
    async with condition:
        condition.notify_all()
    await task


async def barrier():
    barrier = treadle.Barrier(2)
    await treadle.gather(barrier.wait(), barrier.wait())


async def timeout_kept():
    async with treadle.timeout(1000):
        await treadle.sleep(0)


async def timeout_missed():
    with pytest.raises(TimeoutError):
        async with treadle.timeout(0):
            await treadle.sleep(1000)


async def wait_for():
    await treadle.wait_for(treadle.sleep(0, [1]), 1000)
    with pytest.raises(TimeoutError):
        await treadle.wait_for(treadle.sleep(1000), 0.0001)
    with pytest.raises(TimeoutError):
        await treadle.wait_for(treadle.sleep(1000), 0)


async def task_group():
    async with treadle.TaskGroup() as group:
        group.create_task(treadle.sleep(0))
        group.create_task(treadle.sleep(0, [1]))


async def task_group_failed():
    group = treadle.TaskGroup()
    await group.__aenter__()
    group.create_task(fail())
    group.create_task(treadle.sleep(1000))
    with pytest.raises(ExceptionGroup):
        await group.__aexit__(None, None, None)


async def gathered():
    await treadle.gather(treadle.sleep(0, [1]), treadle.sleep(0))
    await treadle.gather(fail(), treadle.sleep(0), return_exceptions=True)


async def gather_failed():
    other = asyncio.create_task(treadle.sleep(0))
    with pytest.raises(Failed):
        await treadle.gather(fail(), other)
    await other


async def gather_cancelled():
    await cancelled(waits(treadle.gather(treadle.sleep(1000), treadle.sleep(1000))))


async def shield():
    await treadle.shield(treadle.sleep(0, [1]))
    inner = asyncio.create_task(treadle.sleep(0))
    await cancelled(waits(treadle.shield(inner)))
    await inner


async def wait():
    tasks = [asyncio.create_task(treadle.sleep(0)) for _ in range(3)]
    await treadle.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await treadle.wait(tasks, timeout=1000)


async def as_completed():
    for completed in treadle.as_completed([treadle.sleep(0), fail()], timeout=1000):
        try:
            await completed
        except Failed:
            pass
    async for _ in treadle.as_completed([treadle.sleep(0)]):
        pass


async def sleep():
    await treadle.sleep(0)
    await treadle.sleep(0.00001, [1])
    await cancelled(treadle.sleep(1000))


async def reader():
    reader = treadle.StreamReader()
    reader.feed_data(b"one\ntwo\nthree four" + bytes(100))
    await reader.readline()
    await reader.readuntil((b"\n", b"\r"))
    await reader.readuntil(b" ")
    await reader.readexactly(3)
    await reader.read(5)
    task = asyncio.create_task(reader.readexactly(1000))
    await treadle.sleep(0)
    reader.feed_data(bytes(900))
    reader.feed_data(bytes(900))
    await task
    await cancelled(reader.readuntil(b"x"))
    reader.feed_eof()
    await reader.read()
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)


async def reader_failed():
    reader = treadle.StreamReader(limit=10)
    reader.feed_data(bytes(100))
    with pytest.raises(asyncio.LimitOverrunError):
        await reader.readuntil(b"x")
    with pytest.raises(ValueError, match="limit"):
        await reader.readline()
    task = asyncio.create_task(reader.read(1))
    await treadle.sleep(0)
    reader.set_exception(Failed())
    with pytest.raises(Failed):
        await task


async def writer():
    ours, theirs = socket.socketpair()
    reader, writer = await treadle.open_connection(sock=ours)
    with theirs:
        writer.write(bytes(5_000_000))
        await cancelled(writer.drain())
        writer.transport.abort()
        await writer.wait_closed()
        await reader.read()


async def connection():
    async def answer(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set()

    done = treadle.Event()
    async with await treadle.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await treadle.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        await writer.drain()
        assert await reader.read() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        await done.wait()


async def promises():
    promise = treadle.Promise.resolve([1]).then(lambda value: [value]).then(list)
    await promise.finally_(lambda: None)
    failed = treadle.Promise.reject(Failed())
    assert await failed.catch(lambda error: None) is None
    await treadle.Promise.all_([treadle.Promise.resolve(1), treadle.sleep(0)])


async def promisified():
    def call(value, callback):
        callback(None, value)

    await treadle.promisify(call)([1])


async def mapped():
    async def work(item):
        await treadle.sleep(0)
        return [item]

    async for _ in treadle.map_concurrent(work, range(5), limit=2):
        pass


async def fail():
    raise Failed


async def waits(future):
    await future


async def cancelled(awaitable):
    """Let a task wait for something and cancel it."""
    task = asyncio.create_task(awaitable)
    await treadle.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


PROGRAMS = [
    queue_ready,
    queue_waiting,
    queue_cancelled,
    queue_joined,
    queue_shut_down,
    queue_large,
    operation_never_awaited,
    operation_dropped,
    operation_thrown_at,
    operation_by_send,
    lock,
    semaphore,
    event,
    condition,
    barrier,
    timeout_kept,
    timeout_missed,
    wait_for,
    task_group,
    task_group_failed,
    gathered,
    gather_failed,
    gather_cancelled,
    shield,
    wait,
    as_completed,
    sleep,
    reader,
    reader_failed,
    writer,
    connection,
    promises,
    promisified,
    mapped,
]


async def growths(program):
    """Return by how much objects and blocks grew in each measure."""
    found = []
    before = await counted()
    for _ in range(MEASURES):
        for _ in range(ROUNDS):
            await program()
        after = await counted()
        found.append((after[0] - before[0], after[1] - before[1]))
        if max(found[-1]) < SLACK and len(found) > 1:
            break
        before = after
    return found


async def counted():
    for _ in range(3):
        await treadle.sleep(0)
        gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_nothing_is_left_behind(program):
    found = treadle.run(growths(program))
    assert max(found[-1]) < SLACK, found
