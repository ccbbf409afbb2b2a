"""Small asyncio programs whose logs are the same on every loop that keeps asyncio's promises.

A program appends to a list what happened, in the order in which it happened; only orders that
asyncio documents, or that every asyncio program relies on, are logged, and nothing that depends on
the clock, on how bytes were cut into chunks, or on numbers that the kernel chose. An async program
runs as asyncio's runner would run it; a plain function is given the loop and runs it itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

PROGRAMS: dict[str, Callable[..., Any]] = {}
HOST = "127.0.0.1"
SHORT = 0.01  # seconds; something that never happens is awaited for so long
word = contextvars.ContextVar("word", default="none")


def program(function):
    """Add a program to the list."""
    PROGRAMS[function.__name__] = function
    return function


def run_turn(loop):
    """Run one turn: what is ready now."""
    loop.stop()
    loop.run_forever()


async def turns(count):
    """Let so many turns pass."""
    for _ in range(count):
        await asyncio.sleep(0)


async def note(log, name, steps):
    """Log the name, so many times, a turn apart; cancelling is logged as well."""
    try:
        for i in range(steps):
            log.append(f"{name} {i}")
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append(f"{name} cancelled")
        raise
    return name


async def fail(log, name, steps):
    """Do as `note`, then raise ValueError."""
    await note(log, name, steps)
    raise ValueError(name)


def describe(result):
    """Name an exception; leave everything else as it is."""
    if isinstance(result, BaseException):
        return f"{type(result).__name__}({', '.join(map(str, result.args))})"
    return result


async def outcomes(*awaitables):
    """Return results and the names of exceptions, as `asyncio.gather` finds them."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    return [describe(result) for result in results]


# callbacks and timers -------------------------------------------------------------------------


@program
def call_soon_order(loop, log):
    for i in range(100):
        loop.call_soon(log.append, i)
    run_turn(loop)


@program
def nested_call_soon(loop, log):
    def nest(name, depth):
        log.append(f"{name} {depth}")
        if depth:
            loop.call_soon(nest, name, depth - 1)
            loop.call_soon(nest, name + "'", depth - 1)

    loop.call_soon(nest, "a", 2)
    loop.call_soon(nest, "b", 1)
    for _ in range(4):
        run_turn(loop)
        log.append("turn")


@program
def timers_run_by_deadline(loop, log):
    past = loop.time() - 10
    for i in (3, 1, 4, 0, 2):
        loop.call_at(past + i, log.append, f"overdue {i}")
    loop.call_soon(log.append, "was ready before")
    loop.call_later(0.003, log.append, "third")
    loop.call_later(0.002, log.append, "second")
    loop.call_later(0.001, log.append, "first")
    loop.call_later(0.004, loop.stop)
    loop.call_later(3600, log.append, "much too early")
    loop.run_forever()


@program
def timers_are_never_early(loop, log):
    def look(when):
        # asyncio itself allows for the resolution of the clock, a nanosecond
        log.append(loop.time() >= when - 1e-9)

    now = loop.time()
    for i in range(20):
        loop.call_at(now + i / 5000, look, now + i / 5000)
    loop.call_at(now + 20 / 5000, loop.stop)
    loop.run_forever()


@program
def cancelled_handles(loop, log):
    handles = [loop.call_soon(log.append, i) for i in range(6)]
    handles[1].cancel()
    handles[1].cancel()
    loop.call_soon(lambda: last.cancel())
    last = loop.call_soon(log.append, "cancelled by the one before")
    timers = [loop.call_later(i / 1000, log.append, f"timer {i}") for i in range(4)]
    timers[2].cancel()
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    log.append([handle.cancelled() for handle in [*handles, last, *timers]])
    handles[0].cancel()  # it has run; harmless


@program
def stop_and_run_again(loop, log):
    def stop():
        log.append("stop")
        loop.stop()
        loop.call_soon(log.append, "queued after stop")

    loop.call_soon(stop)
    loop.call_soon(log.append, "was ready")
    loop.run_forever()
    log.append("stopped")
    run_turn(loop)
    loop.stop()
    loop.stop()
    loop.run_forever()
    log.append([loop.is_running(), loop.is_closed()])


@program
def a_closed_loop_refuses(loop, log):
    loop.call_soon(log.append, "never runs")
    loop.close()
    loop.close()
    for attempt in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        loop.run_forever,
        lambda: loop.run_in_executor(None, print),
    ):
        try:
            attempt()
        except RuntimeError as exc:
            log.append(str(exc))
    log.append(loop.is_closed())


@program
def a_loop_that_stops_before_the_result(loop, log):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    try:
        loop.run_until_complete(future)
    except RuntimeError as exc:
        log.append(str(exc))
    loop.call_soon(future.set_result, 7)
    log.append(loop.run_until_complete(future))

    async def inner():
        try:
            loop.run_forever()
        except RuntimeError as exc:
            log.append(str(exc))

    loop.run_until_complete(inner())


@program
def call_soon_threadsafe_keeps_order(loop, log):
    def other():
        for i in range(50):
            loop.call_soon_threadsafe(log.append, i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()


@program
def exceptions_in_callbacks(loop, log):
    def handler(of_loop, context):
        log.append(
            [
                of_loop is loop,
                context["message"].split("(")[0].split(" at ")[0],
                describe(context["exception"]),
                isinstance(context["handle"], asyncio.Handle),
                # the handler runs in the failed callback's context since 3.12
                sys.version_info < (3, 12) or word.get(),
            ]
        )

    def bad(text):
        word.set(text)
        raise ValueError(text)

    loop.set_exception_handler(handler)
    loop.call_soon(log.append, "before")
    loop.call_soon(bad, "soon")
    loop.call_soon(log.append, "after")
    loop.call_soon_threadsafe(bad, "threadsafe")
    run_turn(loop)
    loop.call_later(0, bad, "later")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


@program
def exits_leave_the_loop(loop, log):
    def leave(kind):
        raise kind

    for kind in (SystemExit, KeyboardInterrupt):
        loop.call_soon(log.append, "before")
        loop.call_soon(leave, kind)
        loop.call_soon(log.append, "after")
        try:
            loop.run_forever()
        except BaseException as exc:
            log.append(type(exc).__name__)
        log.append(loop.is_running())
        run_turn(loop)


# contexts -------------------------------------------------------------------------------------


@program
async def context_variables(log):
    loop = asyncio.get_running_loop()

    def look(name):
        log.append(f"{name}: {word.get()}")
        word.set(f"set by {name}")

    word.set("one")
    loop.call_soon(look, "call_soon")
    own = contextvars.copy_context()
    loop.call_soon(look, "own context", context=own)
    await asyncio.sleep(0)
    loop.call_later(0, look, "call_later")
    word.set("two")
    await asyncio.sleep(SHORT)
    future = loop.create_future()
    future.add_done_callback(lambda _: look("done callback"))
    word.set("three")
    future.set_result(None)

    async def child(name):
        look(name)
        await asyncio.sleep(0)
        look(name)

    await asyncio.gather(child("first child"), child("second child"))
    await asyncio.create_task(child("with own context"), context=own)
    log.append([word.get(), own[word]])


@program
async def context_in_protocols(log):
    done = asyncio.Event()

    class Looker(asyncio.Protocol):
        def connection_made(self, transport):
            log.append(f"made: {word.get()}")
            self.transport = transport

        def data_received(self, data):
            log.append(f"data: {word.get()}")
            self.transport.close()

        def connection_lost(self, exc):
            log.append(f"lost: {word.get()}")
            done.set()

    ours, theirs = socket.socketpair()
    word.set("when connected")
    await asyncio.get_running_loop().create_connection(Looker, sock=ours)
    theirs.send(b"x")
    await done.wait()
    theirs.close()


# tasks ----------------------------------------------------------------------------------------


@program
async def tasks_interleave(log):
    steps = {"a": 3, "b": 1, "c": 2}
    tasks = [asyncio.create_task(note(log, name, steps[name])) for name in steps]
    log.append("created")
    await turns(2)
    log.append("between")
    log.append(await asyncio.gather(*tasks))


@program
async def done_callbacks_run_in_order(log):
    future = asyncio.get_running_loop().create_future()
    for i in range(5):
        future.add_done_callback(lambda _, i=i: log.append(i))

    def dropped(_):
        log.append("never")

    future.add_done_callback(dropped)
    log.append(future.remove_done_callback(dropped))
    waiter = asyncio.create_task(asyncio.wait_for(future, None))
    await asyncio.sleep(0)
    future.set_result("result")
    log.append("set")
    log.append(await waiter)
    future.add_done_callback(lambda _: log.append("added when done"))
    log.append("added")
    await asyncio.sleep(0)


@program
async def gather_with_exceptions(log):
    log.append(await outcomes(note(log, "a", 2), fail(log, "b", 1), note(log, "c", 3)))
    slow = asyncio.create_task(note(log, "slow", 4))
    try:
        await asyncio.gather(slow, fail(log, "early", 1), fail(log, "late", 2))
    except ValueError as exc:
        log.append(describe(exc))
    log.append(await slow)
    outer = asyncio.gather(note(log, "x", 5), note(log, "y", 5))
    await asyncio.sleep(0)
    outer.cancel()
    try:
        await outer
    except asyncio.CancelledError:
        log.append("gather cancelled")


@program
async def wait_first(log):
    def names(tasks):
        return sorted(task.get_name() for task in tasks)

    for when in (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED):
        tasks = [
            asyncio.create_task(note(log, "a", 1), name="a"),
            asyncio.create_task(fail(log, "b", 2), name="b"),
            asyncio.create_task(note(log, "c", 6), name="c"),
        ]
        done, pending = await asyncio.wait(tasks, return_when=when)
        log.append([when, names(done), names(pending)])
        await asyncio.wait(tasks)
        tasks[1].exception()
    # as_completed makes tasks of a set, in any order: only the results are in order
    for next_done in asyncio.as_completed([note([], "d", 9), note([], "e", 2)]):
        log.append(f"completed {await next_done}")


@program
async def wait_for_timeouts(log):
    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cancelled inside")

    log.append(await asyncio.wait_for(note(log, "quick", 2), 60))
    for timeout in (SHORT, 0, -1):
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(task, timeout)
        except TimeoutError:
            log.append(f"timeout {timeout}")
    done = asyncio.get_running_loop().create_future()
    done.set_result("done")
    log.append(await asyncio.wait_for(done, 0))
    outer = asyncio.create_task(asyncio.wait_for(forever(), 60))
    await turns(3)
    outer.cancel()
    log.append(await outcomes(outer))


@program
async def timeout_contexts(log):
    try:
        async with asyncio.timeout(SHORT) as inner:
            await asyncio.Event().wait()
    except TimeoutError:
        log.append(["expired", inner.expired()])
    async with asyncio.timeout(60) as unused:
        log.append("in time")
    log.append(unused.expired())
    try:
        async with asyncio.timeout(SHORT) as outer:
            try:
                async with asyncio.timeout(60) as inner:
                    await asyncio.Event().wait()
            finally:
                log.append(["inner", inner.expired()])
    except TimeoutError:
        log.append(["outer", outer.expired()])
    try:
        async with asyncio.timeout(None) as moved:
            moved.reschedule(asyncio.get_running_loop().time() - 1)
            await asyncio.Event().wait()
    except TimeoutError:
        log.append(["rescheduled", moved.expired()])
    log.append(asyncio.current_task().cancelling())


@program
async def task_group_with_a_failing_child(log):
    try:
        async with asyncio.TaskGroup() as group:
            # one child that waits: a group cancels its children in no order
            group.create_task(note(log, "a", 9))
            group.create_task(fail(log, "b", 1))
            log.append("body")
            await note(log, "body", 9)
    except* ValueError as caught:
        log.append([describe(exc) for exc in caught.exceptions])
    async with asyncio.TaskGroup() as group:
        first = group.create_task(note(log, "d", 2))
        group.create_task(note(log, "e", 1))
    log.append(first.result())
    log.append(asyncio.current_task().cancelling())


@program
async def shielded(log):
    inner = asyncio.create_task(note(log, "inner", 6))

    async def outer():
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            log.append("outer cancelled")
            raise

    task = asyncio.create_task(outer())
    await turns(2)
    task.cancel()
    log.append(await outcomes(task))
    log.append(inner.done())
    log.append(await inner)


@program
async def cancelled_at_every_step(log):
    async def work(lock, queue):
        try:
            log.append("starts")
            await asyncio.sleep(0)
            async with lock:
                log.append("has the lock")
                await asyncio.sleep(0)
                await asyncio.gather(turns(1), turns(2))
            try:
                log.append(await queue.get())
            finally:
                log.append("cleans up")
                await asyncio.sleep(0)
                log.append("is clean")
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
            return "result"
        except asyncio.CancelledError:
            log.append("is cancelled")
            await asyncio.sleep(0)
            raise

    for step in range(14):
        lock, queue = asyncio.Lock(), asyncio.Queue()
        queue.put_nowait("item")
        task = asyncio.create_task(work(lock, queue))
        await turns(step)
        log.append(f"step {step}: {task.cancel()}")
        log.append([await outcomes(task), lock.locked(), queue.qsize(), task.cancelling()])


@program
async def uncancelled(log):
    async def stubborn():
        for i in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as exc:
                log.append([i, describe(exc), asyncio.current_task().uncancel()])
        return "done anyway"

    task = asyncio.create_task(stubborn())
    for i in range(3):
        await asyncio.sleep(0)
        task.cancel(f"message {i}")
    log.append(await task)
    log.append(task.cancelled())


@program
async def eager_tasks(log):
    if sys.version_info < (3, 12):
        log.append("this Python has none")
        return
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)

    async def at_once():
        log.append("at once")
        return "result"

    task = asyncio.create_task(at_once())
    log.append(["created", task.done(), task.result()])
    task = asyncio.create_task(note(log, "a", 2))
    log.append("created")
    other = asyncio.create_task(fail(log, "b", 1))
    log.append("created")
    log.append(await outcomes(task, other))
    log.append(asyncio.all_tasks() == {asyncio.current_task()})
    loop.set_task_factory(None)
    task = asyncio.create_task(at_once())
    log.append("not at once")
    await task


@program
def forgotten_exceptions(loop, log):
    """Reported when the task is dropped, which is when it has failed: nothing holds it longer."""

    def handler(_, context):
        log.append([context["message"], describe(context["exception"])])

    async def main():
        asyncio.create_task(fail(log, "nobody asks", 1))
        await turns(4)
        log.append("looking")
        loop.create_future().set_exception(ValueError("nor here"))
        log.append("dropped")

    loop.set_exception_handler(handler)
    gc.disable()
    try:
        loop.run_until_complete(main())
    finally:
        gc.enable()


# synchronization ------------------------------------------------------------------------------


@program
async def lock_hand_over(log):
    lock = asyncio.Lock()

    async def worker(name):
        async with lock:
            await note(log, name, 2)

    tasks = [asyncio.create_task(worker(name)) for name in "abcd"]
    await turns(2)
    tasks[2].cancel()
    log.append(await outcomes(*tasks))


@program
async def semaphore_hand_over(log):
    semaphore = asyncio.BoundedSemaphore(2)

    async def worker(name, steps):
        async with semaphore:
            await note(log, name, steps)

    steps = {"a": 3, "b": 1, "c": 2, "d": 1, "e": 1}
    await asyncio.gather(*[worker(name, steps[name]) for name in steps])
    try:
        semaphore.release()
    except ValueError as exc:
        log.append(describe(exc))


@program
async def condition_hand_over(log):
    condition = asyncio.Condition()
    items = []

    async def consumer(name):
        async with condition:
            await condition.wait_for(lambda: items)
            log.append(f"{name} takes {items.pop(0)}")

    tasks = [asyncio.create_task(consumer(name)) for name in "abc"]
    await turns(3)
    async with condition:
        items.append(1)
        condition.notify()
    await turns(4)
    log.append([task.done() for task in tasks])
    async with condition:
        items.extend([2, 3])
        condition.notify_all()
    await asyncio.gather(*tasks)


@program
async def event_and_barrier(log):
    event, barrier = asyncio.Event(), asyncio.Barrier(3)

    async def waiter(name):
        await event.wait()
        log.append(f"{name} woken")
        place = await barrier.wait()
        log.append(f"{name} through")
        return place

    tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
    await turns(2)
    event.set()
    event.clear()
    log.append("set")
    log.append(sorted(await asyncio.gather(*tasks)))
    log.append(event.is_set())


@program
async def queue_hand_over(log):
    queue = asyncio.Queue(maxsize=2)

    async def producer():
        for i in range(6):
            await queue.put(i)
            log.append(f"put {i}")

    async def consumer(name):
        while True:
            item = await queue.get()
            log.append(f"{name} got {item}")
            await asyncio.sleep(0)
            queue.task_done()

    consumers = [asyncio.create_task(consumer(name)) for name in "ab"]
    await producer()
    await queue.join()
    log.append("joined")
    for task in consumers:
        task.cancel()
    log.append(await outcomes(*consumers))
    ranked = asyncio.PriorityQueue()
    for i in (3, 1, 2):
        ranked.put_nowait(i)
    log.append([ranked.get_nowait() for _ in range(3)])


# asynchronous generators ----------------------------------------------------------------------


@program
def generators_closed_at_shutdown(loop, log):
    async def numbers(name):
        try:
            for i in range(10):
                yield i
        finally:
            log.append(f"{name} closing")
            await asyncio.sleep(0)
            log.append(f"{name} closed")

    kept = []

    async def main():
        kept.append(numbers("kept"))
        log.append(await anext(kept[0]))
        async for number in numbers("dropped"):
            log.append(number)
            if number == 1:
                break
        gc.collect()
        await turns(4)
        log.append("main ends")

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    log.append("shut down")


# descriptors, signals, threads ----------------------------------------------------------------


@program
async def readers_and_writers(log):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    done = loop.create_future()

    def readable(name):
        data = ours.recv(100)
        log.append(f"{name} {data}")
        if not data:
            log.append(loop.remove_reader(ours))
            log.append(loop.remove_reader(ours))
            done.set_result(None)
        elif name == "first":
            loop.add_reader(ours, readable, "replaced")
            loop.add_writer(theirs, writable, b"two")
        else:
            theirs.close()

    def writable(data):
        log.append(f"writing {data}")
        theirs.send(data)
        log.append(loop.remove_writer(theirs))

    loop.add_reader(ours, readable, "never called")
    loop.add_reader(ours.fileno(), readable, "first")
    loop.add_writer(theirs, writable, b"one")
    await done
    log.append(loop.remove_writer(ours))
    ours.close()


@program
async def socket_methods(log):
    loop = asyncio.get_running_loop()
    listener = socket.create_server((HOST, 0))
    listener.setblocking(False)
    client = socket.socket()
    client.setblocking(False)

    async def serve():
        conn, address = await loop.sock_accept(listener)
        log.append(address == client.getsockname())
        received = b""
        while data := await loop.sock_recv(conn, 1000):
            received += data
        log.append(len(received))
        await loop.sock_sendall(conn, b"thanks")
        conn.close()

    server = asyncio.create_task(serve())
    await loop.sock_connect(client, listener.getsockname())
    await loop.sock_sendall(client, bytes(300_000))
    client.shutdown(socket.SHUT_WR)
    await server
    buffer = bytearray(10)
    count = await loop.sock_recv_into(client, buffer)
    log.append(bytes(buffer[:count]).decode())
    log.append(len(await loop.sock_recv(client, 10)))
    waiting = asyncio.create_task(loop.sock_accept(listener))
    await asyncio.sleep(0)
    waiting.cancel()
    log.append(await outcomes(waiting))
    client.close()
    listener.close()


@program
async def signal_handlers(log):
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def caught(name):
        log.append([name, asyncio.get_running_loop() is loop])
        event.set()

    loop.add_signal_handler(signal.SIGUSR1, caught, "replaced")
    for name in ("first", "second"):
        loop.add_signal_handler(signal.SIGUSR1, caught, name)
        os.kill(os.getpid(), signal.SIGUSR1)
        log.append("sent")
        await event.wait()
        event.clear()
    log.append([loop.remove_signal_handler(signal.SIGUSR1) for _ in range(2)])
    log.append(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
    for number in (signal.SIGKILL, 10_000):
        try:
            loop.add_signal_handler(number, caught)
        except (RuntimeError, ValueError) as exc:
            log.append(type(exc).__name__)


@program
async def work_in_threads(log):
    loop = asyncio.get_running_loop()

    def work(x):
        if x < 0:
            raise ValueError(x)
        return [x * 2, threading.current_thread() is threading.main_thread(), word.get()]

    word.set("in the task")
    log.append(await loop.run_in_executor(None, work, 21))
    log.append(await asyncio.to_thread(work, 4))
    log.append(await outcomes(loop.run_in_executor(None, work, -1)))
    results = await asyncio.gather(*[asyncio.to_thread(work, i) for i in range(5)])
    log.append([result[0] for result in results])


# transports and protocols ---------------------------------------------------------------------


class Recorder(asyncio.Protocol):
    """Logs its life: what was called, with all the data of a stretch joined."""

    def __init__(self, name, log, *, keep_open=False):
        self.name = name
        self.log = log
        self.keep_open = keep_open
        self.data = b""
        self.transport = None
        loop = asyncio.get_running_loop()
        self.made, self.ended, self.lost = (loop.create_future() for _ in range(3))

    def say(self, what):
        if self.data:
            self.log.append(f"{self.name} received {self.data.decode()}")
            self.data = b""
        self.log.append(f"{self.name} {what}")

    def connection_made(self, transport):
        self.transport = transport
        self.say("made")
        self.made.set_result(transport)

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.say(f"eof closing={self.transport.is_closing()}")
        self.ended.set_result(None)
        return self.keep_open

    def connection_lost(self, exc):
        self.say(f"lost {describe(exc)}")
        self.lost.set_result(None)


async def connected(first, second):
    """Give these protocols to the two ends of a connection."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    a, _ = await loop.create_connection(lambda: first, sock=ours)
    b, _ = await loop.create_connection(lambda: second, sock=theirs)
    return a, b


async def served(first, second):
    """Do as `connected`, over TCP; `second` is the server's."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: second, HOST, 0)
    address = server.sockets[0].getsockname()
    transport, _ = await loop.create_connection(lambda: first, *address)
    await second.made
    return transport, server


@program
async def life_of_a_client_that_closes(log):
    ours, theirs = [], []
    client, peer = Recorder("client", ours), Recorder("server", theirs)
    transport, server = await served(client, peer)
    transport.write(b"one ")
    transport.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])
    transport.close()
    ours.append(f"closing={transport.is_closing()}")
    await asyncio.gather(client.lost, peer.lost)
    server.close()
    await server.wait_closed()
    log += [ours, theirs]


@program
async def life_of_a_server_that_closes(log):
    ours, theirs = [], []
    client, peer = Recorder("client", ours), Recorder("server", theirs)
    _, server = await served(client, peer)
    peer.transport.write(b"x" * 20)
    peer.transport.close()
    theirs.append("close returned")
    await asyncio.gather(client.lost, peer.lost)
    server.close()
    await server.wait_closed()
    log += [ours, theirs]


@program
async def half_closed(log):
    ours, theirs = [], []
    client, peer = Recorder("client", ours), Recorder("server", theirs, keep_open=True)
    transport, server = await served(client, peer)
    transport.write(b"question")
    ours.append(transport.can_write_eof())
    transport.write_eof()
    transport.write_eof()
    try:
        transport.write(b"more")
    except RuntimeError as exc:
        ours.append(str(exc))
    await peer.ended
    peer.transport.write(b"answer")
    await asyncio.sleep(0)
    peer.transport.close()
    await asyncio.gather(client.lost, peer.lost)
    server.close()
    log += [ours, theirs]


@program
async def much_is_written_before_close(log):
    class Paused(Recorder):
        def pause_writing(self):
            self.say("pause")

        def resume_writing(self):
            self.say("resume")

    class Counted(Recorder):
        count = 0

        def data_received(self, data):
            self.count += len(data)

    ours, theirs = [], []
    client, peer = Paused("client", ours), Counted("server", theirs)
    transport, other = await connected(client, peer)
    other.pause_reading()
    transport.set_write_buffer_limits(high=1000)
    ours.append(transport.get_write_buffer_limits())
    for i in range(40):
        transport.write(bytes([i]) * 50_000)
    ours.append(transport.get_write_buffer_size() > 1000)
    transport.close()
    await turns(5)
    ours.append(client.lost.done())
    other.resume_reading()
    await asyncio.gather(client.lost, peer.lost)
    log += [ours, theirs, peer.count]


@program
async def reading_paused(log):
    ours, theirs = [], []
    client, peer = Recorder("client", ours), Recorder("server", theirs)
    transport, other = await connected(client, peer)
    other.pause_reading()
    theirs.append(other.is_reading())
    transport.write(b"waits")
    await asyncio.sleep(SHORT)
    theirs.append(peer.data.decode())
    other.resume_reading()
    theirs.append(other.is_reading())
    transport.close()
    await asyncio.gather(client.lost, peer.lost)
    theirs.append(other.is_reading())
    log += [ours, theirs]


@program
async def buffered_protocol(log):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(7)
            self.received = b""
            self.lost = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            log.append("made")

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, count):
            self.received += self.buffer[:count]

        def eof_received(self):
            log.append(self.received.decode())

        def connection_lost(self, exc):
            log.append(f"lost {exc}")
            self.lost.set_result(None)

    client, peer = Recorder("client", []), Buffered()
    transport, _ = await connected(client, peer)
    transport.write(b"more than the buffer holds")
    transport.close()
    await asyncio.gather(client.lost, peer.lost)


@program
async def protocol_switched(log):
    first, second = Recorder("first", log), Recorder("second", log)
    peer = Recorder("peer", [])
    transport, other = await connected(peer, first)
    transport.write(b"one")
    while not first.data:
        await asyncio.sleep(0)
    other.set_protocol(second)
    second.transport = other
    log.append([other.get_protocol() is second, first.data.decode()])
    transport.write(b"two")
    transport.close()
    await asyncio.gather(peer.lost, second.lost)


@program
async def write_after_close(log):
    client, peer = Recorder("client", []), Recorder("server", log)
    transport, _ = await connected(client, peer)
    transport.write(b"sent")
    transport.close()
    transport.write(b"dropped")
    transport.close()
    await asyncio.gather(client.lost, peer.lost)
    transport.write(b"dropped")
    transport.abort()
    log.append([transport.is_closing(), transport.get_write_buffer_size()])


@program
async def wrong_writes(log):
    client, peer = Recorder("client", []), Recorder("server", log)
    transport, _ = await connected(client, peer)
    for data in ("text", None, 7):
        try:
            transport.write(data)
        except TypeError:
            log.append("TypeError")
    for marks in ({"high": 1, "low": 2}, {"high": -1}):
        try:
            transport.set_write_buffer_limits(**marks)
        except ValueError:
            log.append("ValueError")
    transport.write(b"")
    transport.close()
    await asyncio.gather(client.lost, peer.lost)


@program
async def aborted(log):
    ours, theirs = [], []
    client, peer = Recorder("client", ours), Recorder("server", theirs)
    transport, other = await connected(client, peer)
    other.pause_reading()
    transport.write(bytes(2_000_000))
    ours.append(transport.get_write_buffer_size() > 0)
    transport.abort()
    ours.append([transport.is_closing(), transport.get_write_buffer_size()])
    await client.lost
    other.abort()
    await peer.lost
    log += [ours, theirs]


@program
def protocols_that_raise(loop, log):
    def handler(_, context):
        log.append([context["message"], describe(context["exception"])])

    def raising(bad):
        def method(self, *args):
            raise ValueError(bad)

        return type("Bad", (Recorder,), {bad: method})("client", log)

    async def main():
        for bad in ("data_received", "eof_received"):
            peer, client = Recorder("server", []), raising(bad)
            other, _ = await connected(peer, client)
            other.write(b"x")
            other.write_eof()
            await asyncio.gather(client.lost, peer.lost)

    loop.set_exception_handler(handler)
    loop.run_until_complete(main())


@program
async def server_closes(log):
    loop = asyncio.get_running_loop()
    made = []

    def factory():
        made.append(Recorder(f"server {len(made)}", []))
        return made[-1]

    server = await loop.create_server(factory, HOST, 0, start_serving=False)
    log.append(server.is_serving())
    await server.start_serving()
    log.append(server.is_serving())
    address = server.sockets[0].getsockname()
    client = Recorder("client", log)
    transport, _ = await loop.create_connection(lambda: client, *address)
    log.append(transport.get_extra_info("peername") == address)
    while not made or made[0].transport is None:
        await asyncio.sleep(0)
    server.close()
    server.close()
    log.append([server.is_serving(), list(server.sockets)])
    try:
        await loop.create_connection(lambda: client, *address)
    except ConnectionRefusedError:
        log.append("refused")
    made[0].transport.write(b"still open")
    made[0].transport.close()
    await client.lost
    await server.wait_closed()
    log.append("closed")


@program
async def serve_forever_cancelled(log):
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)
    task = asyncio.create_task(server.serve_forever())
    await turns(2)
    log.append(server.is_serving())
    task.cancel()
    log.append(await outcomes(task))
    log.append(server.is_serving())


# streams --------------------------------------------------------------------------------------


@program
async def streams_echo_with_half_close(log):
    finished = asyncio.Event()
    server_log = []

    async def echo(reader, writer):
        while line := await reader.readline():
            server_log.append(f"read {line}")
            writer.write(line.upper())
            await writer.drain()
        server_log.append(f"at eof {reader.at_eof()}")
        writer.write(b"bye")
        writer.close()
        await writer.wait_closed()
        finished.set()

    server = await asyncio.start_server(echo, HOST, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for line in (b"one\n", b"two\n", b"no end of line"):
        writer.write(line)
        if line.endswith(b"\n"):
            log.append(f"echo {await reader.readline()}")
    writer.write_eof()
    log.append(f"rest {await reader.read()}")
    log.append([reader.at_eof(), len(await reader.read(5))])
    await finished.wait()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    log.append(server_log)


@program
async def streams_read_in_all_ways(log):
    async def serve(reader, writer):
        writer.write(b"0123456789" + b"until|this;" + b"x" * 200_000 + b"END" + b"rest")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, HOST, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    log.append((await reader.readexactly(4)).decode())
    log.append((await reader.readuntil(b";")).decode())
    try:
        await reader.readuntil(b"END")
    except asyncio.LimitOverrunError as exc:
        log.append(type(exc).__name__)
    log.append(len(await reader.readexactly(200_003)))
    try:
        await reader.readexactly(10)
    except asyncio.IncompleteReadError as exc:
        log.append([exc.partial.decode(), exc.expected])
    log.append(reader.at_eof())
    writer.close()
    await writer.wait_closed()
    server.close()


@program
async def streams_cancelled_reader(log):
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    task = asyncio.create_task(reader.readline())
    await turns(2)
    task.cancel()
    log.append(await outcomes(task))
    theirs.send(b"kept\n")
    log.append((await reader.readline()).decode())
    theirs.close()
    log.append(len(await reader.read()))
    writer.close()
    await writer.wait_closed()


# datagrams and Unix sockets -------------------------------------------------------------------


class Letters(asyncio.DatagramProtocol):
    """Logs what it hears; others can wait for so many datagrams."""

    def __init__(self, log, name, answers=False):
        self.log = log
        self.name = name
        self.answers = answers
        self.transport = None
        self.count = 0
        self.lost = asyncio.Event()
        self.failed = asyncio.Event()

    async def brings(self, count):
        while self.count < count:
            await asyncio.sleep(0)

    def connection_made(self, transport):
        self.transport = transport
        self.log.append(f"{self.name} made")

    def datagram_received(self, data, addr):
        self.log.append(f"{self.name} got {data!r}")
        self.count += 1
        if self.answers:
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc):
        self.log.append(f"{self.name} failed {type(exc).__name__}")
        self.failed.set()

    def connection_lost(self, exc):
        self.log.append(f"{self.name} lost {exc!r}")
        self.lost.set()


@program
async def datagrams_there_and_back(log):
    loop = asyncio.get_running_loop()
    server, there = await loop.create_datagram_endpoint(
        lambda: Letters(log, "server", answers=True), (HOST, 0)
    )
    address = server.get_extra_info("sockname")
    client, here = await loop.create_datagram_endpoint(
        lambda: Letters(log, "client"), remote_addr=address
    )
    for i in range(5):
        client.sendto(b"message %d" % i)
        await here.brings(i + 1)
    try:
        client.sendto(b"x", (HOST, address[1] + 1))
    except ValueError as exc:
        log.append(type(exc).__name__)
    client.sendto(bytes(100_000))
    server.close()
    await there.lost.wait()
    await asyncio.sleep(0)
    here.failed.clear()
    client.sendto(b"nobody is there")
    await here.failed.wait()
    client.abort()
    log.append([client.is_closing(), here.count])
    await here.lost.wait()


@program
async def datagrams_of_a_protocol_that_raises(log):
    loop = asyncio.get_running_loop()

    class Raises(Letters):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise ValueError(data)

    loop.set_exception_handler(lambda loop, context: log.append(repr(context["exception"])))
    server, there = await loop.create_datagram_endpoint(lambda: Raises(log, "server"), (HOST, 0))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for i in range(3):
            sock.sendto(b"%d" % i, server.get_extra_info("sockname"))
            await there.brings(i + 1)
    server.close()
    await there.lost.wait()


@program
async def unix_streams(log):
    async def shout(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        log.append("server saw the end")
        writer.close()
        await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = await asyncio.start_unix_server(shout, path)
        reader, writer = await asyncio.open_unix_connection(path)
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            log.append((await reader.readline()).decode())
        writer.write_eof()
        log.append(len(await reader.read()))
        await done.wait()
        writer.close()
        await writer.wait_closed()
        server.close()
        log.append(os.path.exists(path))
        again = await asyncio.start_unix_server(shout, path)  # takes the place of what is left
        again.close()
        try:
            await asyncio.open_unix_connection(path)
        except OSError as exc:
            log.append(type(exc).__name__)
