"""Random programs of tasks that wait for each other: what they are made of, and how they are run.

A program is plain data: what there is (`things`), and for each task the steps that it does one
after the other. A step is a tuple, its name and what it needs; a step may contain steps. `World`
runs a program with the names of any namespace that has asyncio's (`asyncio`, `treadle.aio`), on any
loop whose time is virtual, and logs the end of each step: in which task, when, what came of it, and
how often that task had been asked to cancel. The log of two runs can be compared line by line.

What makes two runs comparable:

- Time passes only when nothing is ready, and then at once.
- No two timers are due together: each delay has a fraction of a tick of its own, derived from the
  place of its step in the program. asyncio's heap does not tell what is due together apart.
- A program that waits for something that never comes is asked for its state after a long time, and
  then cancelled, again as long as it carries on all the same.

An exception ends the step that raised it and no more, but a cancellation and `Failed` go up to
where they are dealt with, as exceptions do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib

from tests.properties.virtual_loops import ordered

LONG = 10_000  # ticks; nothing that a program does takes as long
MOST_CANCELLATIONS = 10
MOST_EVENTS = 2_000


class Failed(Exception):
    """What the step `fail` raises."""


def cancels_several(tasks):
    """Whether a group in these tasks may cancel several children at once."""
    return any(
        isinstance(part, list | tuple)
        and ((len(part) == 3 and part[0] == "group" and len(part[1]) > 1) or cancels_several(part))
        for part in tasks
    )


# What two namespaces need not have in common, and may be seen in a text:
UNSPECIFIED = [
    # an iteration reads by readuntil in asyncio, which then names itself
    (re.compile(r"^\w+\(\)(?= called while another coroutine)"), "a read"),
    # asyncio's event keeps a waiter that was woken until it runs
    (re.compile(r"(?<=\[set), waiters:\d+"), ""),
    # asyncio's read(-1) takes out of the buffer what it has not returned yet; see Streams.read
    (re.compile(r"(?<=<StreamReader) \d+ bytes"), ""),
    # asyncio pauses the transport for what a reader is about to take
    (re.compile(r" paused(?=>$)"), ""),
    (re.compile(r"^<[\w.]+ (object )?at 0x\w+ ?"), "<"),
]


def specified(text):
    """Return a text without what is unspecified in it."""
    for pattern, instead in UNSPECIFIED:
        text = pattern.sub(instead, text)
    return text


def describe(value):
    """Say of a value what two runs must have in common."""
    match value:
        case BaseExceptionGroup():
            return (type(value).__name__, value.message, *map(describe, value.exceptions))
        case BaseException():
            cause = type(value.__cause__).__name__ if value.__cause__ else None
            return (type(value).__name__, *map(describe, value.args), cause)
        case list() | tuple():
            return [describe(item) for item in value]
        case str():
            return specified(value)
        case None | bool() | int() | float() | bytes():
            return value
    return specified(repr(value))


class Tasks:
    """The run of one program: what all of them have, and the log."""

    def __init__(self, aio, loop):
        self.aio = aio
        self.loop = loop
        self.log = []
        self.tasks = []  # all that have begun, children too, in the order in which they did
        self.things = []
        self.gates = {}  # number -> futures of those who wait for its opening
        self.timeouts = []  # in the order in which they were entered

    async def main(self, things, tasks):
        self.things = [getattr(self, f"make_{name}")(*rest) for name, *rest in things]
        for number, steps in enumerate(tasks):
            self.loop.create_task(self.body(str(number), steps))
        await self.pass_long()
        assert not self.stuck()
        for _ in range(MOST_CANCELLATIONS):
            left = [task for task in self.tasks if not task.done()]
            self.note("left", len(left), self.things)
            if not left:
                break
            for task in left:
                task.cancel("it is over")
            await self.pass_long()
            self.let_go()
        self.note("rest", await self.rest())
        self.note("over", [self.ended(task) for task in self.tasks], self.things)

    def let_go(self):
        """Release what ended tasks hold: one that must have it again cannot be cancelled."""
        for thing in self.things:
            with contextlib.suppress(AttributeError, RuntimeError, ValueError):
                thing.release()

    async def rest(self):
        """Return what can be taken out of things in the end."""

    def stuck(self):
        """Whether what is waited for is held back by those who wait."""
        return False

    async def pass_long(self):
        """Wait, with the loop's means alone, until nothing more happens."""
        passed = self.loop.create_future()
        self.loop.call_later(LONG, passed.set_result, None)
        await passed

    async def body(self, path, steps):
        """Do steps in a task of its own; its result is its name."""
        self.tasks.append(asyncio.current_task())
        self.note(path, "begins")
        await self.do(path, steps)
        self.note(path, "ends")
        return path

    async def do(self, path, steps):
        for number, (name, *arguments) in enumerate(steps):
            where = f"{path}.{number}"
            try:
                came = getattr(self, name)(where, *arguments)
                if hasattr(came, "__await__"):
                    came = await came
            except (asyncio.CancelledError, Failed) as exc:
                self.note(where, name, exc)
                raise
            except Exception as exc:
                self.note(where, name, exc)
            else:
                self.note(where, name, came)

    def note(self, where, *what):
        assert len(self.log) < MOST_EVENTS, "it does not end"
        task = asyncio.current_task()
        when = int(self.loop.time())
        self.log.append((where, when, task.cancelling() if task else None, describe(what)))

    def reported(self, loop, context):
        """Log what the loop is told, unless it depends on when an object is freed, or is newer."""
        message = context["message"]
        if "never retrieved" not in message and "shielded" not in message:
            self.note("report", message, context.get("exception"))

    def ended(self, task):
        if not task.done():
            return "running"
        if task.cancelled():
            return ["cancelled", task.cancelling()]
        return [describe(task.exception() or task.result()), task.cancelling()]

    def delay(self, where, ticks):
        """Return a delay in seconds that no other step has; what is not positive stays as it is."""
        if ticks is None or ticks <= 0:
            return ticks
        return ticks + (zlib.crc32(where.encode()) + 1) * 2.0**-40

    def children(self, where, bodies):
        return [self.body(f"{where}/{i}", steps) for i, steps in enumerate(bodies)]

    # steps of every program

    async def turns(self, where, count):
        for _ in range(count):
            await self.aio.sleep(0)

    async def sleep(self, where, ticks):
        return await self.aio.sleep(self.delay(where, ticks), "slept")

    async def gate(self, where, which):
        """Wait, with the loop's means alone, until another task opens the gate."""
        opened = self.loop.create_future()
        self.gates.setdefault(which, []).append(opened)
        return await opened

    def open(self, where, which):
        for waiter in self.gates.pop(which, []):
            if not waiter.done():
                waiter.set_result("open")

    def cancel(self, where, which):
        return self.tasks[which % len(self.tasks)].cancel(self.reason(where))

    def reason(self, where):
        """Return the message of a cancellation."""
        return where

    def fail(self, where):
        raise Failed(where)

    async def attempt(self, where, steps):
        try:
            await self.do(where, steps)
        except Failed as exc:
            return exc

    async def survive(self, where, takes_back, steps):
        """Carry on when cancelled, with or without telling the task."""
        try:
            await self.do(where, steps)
        except asyncio.CancelledError as exc:
            if takes_back:
                asyncio.current_task().uncancel()
            return exc

    async def last(self, where, steps, late):
        """Have something to do in the end, even when cancelled."""
        try:
            await self.do(where, steps)
        finally:
            await self.do(f"{where}'", late)

    async def timeout(self, where, ticks, steps):
        async with self.aio.timeout(self.delay(where, ticks)) as timeout:
            self.timeouts.append(timeout)
            await self.do(where, steps)
        return timeout.expired()

    async def wait_for(self, where, ticks, steps):
        return await self.aio.wait_for(self.body(f"{where}/", steps), self.delay(where, ticks))


class Groups(Tasks):
    """Steps of programs about timeouts and groups of tasks."""

    def reschedule(self, where, which, ticks):
        if not self.timeouts:
            return None
        timeout = self.timeouts[which % len(self.timeouts)]
        delay = self.delay(where, ticks)
        timeout.reschedule(None if delay is None else self.loop.time() + delay)
        return timeout.expired()

    async def timeout_at(self, where, ticks, steps):
        delay = self.delay(where, ticks)
        when = None if delay is None else self.loop.time() + delay
        async with self.aio.timeout_at(when) as timeout:
            await self.do(where, steps)
        return timeout.expired()

    async def group(self, where, bodies, steps):
        async with self.aio.TaskGroup() as group:
            made = [group.create_task(child) for child in self.children(where, bodies)]
            await self.do(where, steps)
        return [self.ended(task) for task in made]

    async def gather(self, where, return_exceptions, bodies):
        children = self.children(where, bodies)
        try:
            return await self.aio.gather(*children, return_exceptions=return_exceptions)
        except asyncio.CancelledError:
            # asyncio takes the message from its last child, even when another one was cancelled
            raise asyncio.CancelledError from None

    async def shield(self, where, steps):
        return await self.aio.shield(self.body(f"{where}/", steps))

    async def wait(self, where, when, ticks, bodies):
        tasks = [self.loop.create_task(child) for child in self.children(where, bodies)]
        delay = self.delay(where, ticks)
        done, pending = await self.aio.wait(tasks, timeout=delay, return_when=when)
        assert done | pending == set(tasks)
        return ["pending" if task in pending else self.ended(task) for task in tasks]

    async def as_completed(self, where, ticks, bodies):
        # tasks, because which coroutine of a set begins first is not defined
        tasks = [self.loop.create_task(child) for child in self.children(where, bodies)]
        found = []
        for coming in self.aio.as_completed(tasks, timeout=self.delay(where, ticks)):
            try:
                found.append(await coming)
            except (Failed, TimeoutError) as exc:
                found.append(exc)
            self.note(where, found[-1])
        return found

    async def as_completed_async(self, where, ticks, bodies):
        tasks = [self.loop.create_task(child) for child in self.children(where, bodies)]
        found = []
        async for task in self.aio.as_completed(tasks, timeout=self.delay(where, ticks)):
            found.append([tasks.index(task), self.ended(task)])
            self.note(where, found[-1])
        return found


class Queues(Tasks):
    """Steps of programs about queues."""

    def make_queue(self, kind, maxsize):
        return getattr(self.aio, kind)(maxsize)

    def queue(self, which):
        return self.things[which % len(self.things)]

    def put(self, where, which, item):
        return self.queue(which).put(item)

    def get(self, where, which):
        return self.queue(which).get()

    def put_nowait(self, where, which, item):
        return self.queue(which).put_nowait(item)

    def get_nowait(self, where, which):
        return self.queue(which).get_nowait()

    def task_done(self, where, which):
        return self.queue(which).task_done()

    def join(self, where, which):
        return self.queue(which).join()

    def shutdown(self, where, which, immediate):
        return self.queue(which).shutdown(immediate)

    def size(self, where, which):
        queue = self.queue(which)
        return [queue.qsize(), queue.empty(), queue.full(), queue]


class Locks(Tasks):
    """Steps of programs about locks. A thing is taken by its place in the program."""

    def make_Lock(self):
        return self.aio.Lock()

    def make_Semaphore(self, value):
        return self.aio.Semaphore(value)

    def make_BoundedSemaphore(self, value):
        return self.aio.BoundedSemaphore(value)

    def make_Event(self):
        return self.aio.Event()

    def make_Condition(self):
        return self.aio.Condition()

    def make_Barrier(self, parties):
        return self.aio.Barrier(parties)

    def call(self, where, which, name, *arguments):
        """Call a method of a thing; its result is awaited if it can be."""
        return getattr(self.things[which], name)(*arguments)

    async def hold(self, where, which, steps):
        async with self.things[which]:
            await self.do(where, steps)

    async def until(self, where, which, times):
        """Wait for a condition until it was looked at so often."""
        looks = 0

        def enough():
            nonlocal looks
            looks += 1
            return looks > times

        return await self.things[which].wait_for(enough)

    def state(self, where):
        return self.things


class Streams(Tasks):
    """Steps of programs about one reader, which a transport feeds until it has ended or is lost."""

    feeder = None
    fed_all = False
    reading = 0  # tasks in a reading step
    fed = False  # since one of them began, or that one reads all
    unsettled = 0  # feedings of which a reader may not have heard yet

    def make_reader(self, limit):
        reader = self.aio.StreamReader(limit, self.loop)
        self.feeder = Feeder()
        reader.set_transport(self.feeder)
        return reader

    def reason(self, where):
        # a chunk that is too small wakes a reader in asyncio, but not in treadle: of two messages
        # that follow it in the same turn, one keeps the last and the other the first
        return "cancelled" if self.feeder else where

    # feeding

    def feed(self, where, data):
        self.fed = True
        if not self.fed_all:
            self.things[0].feed_data(data)
            self.unsettled += 1
            self.loop.call_soon(self.loop.call_soon, self.settle)

    def settle(self):
        self.unsettled -= 1

    def end(self, where):
        self.fed = True
        if not self.fed_all:
            self.fed_all = True
            self.things[0].feed_eof()

    def lose(self, where):
        """Lose the connection, unless somebody may have been woken for too little.

        In asyncio that one would wait for ever, because it does not look again whether the
        connection is lost.
        """
        if self.unsettled:
            return "not now"
        self.fed = True
        if not self.fed_all:
            self.fed_all = True
            self.things[0].set_exception(ConnectionResetError("gone"))
        return None

    # reading

    async def first(self, read, *arguments):
        """Read, unless somebody does who may have been woken already, or who reads all.

        What the one is about to take can be taken from it in asyncio, which then gives it nothing,
        as if the stream had ended. treadle lets it wait for more. What the other has in hand is
        still in the buffer in treadle.
        """
        if self.reading and self.fed:
            return "another one reads"
        if not self.reading:
            self.fed = arguments == (-1,)
        self.reading += 1
        try:
            return await read(*arguments)
        finally:
            self.reading -= 1

    async def read(self, where, size):
        try:
            return await self.first(self.things[0].read, size)
        except asyncio.CancelledError:
            if size < 0:
                # now they differ: asyncio has lost what came, treadle has kept it; nobody may look
                self.things.clear()
            raise

    def readexactly(self, where, size):
        return self.first(self.things[0].readexactly, size)

    def readline(self, where):
        return self.first(self.things[0].readline)

    def readuntil(self, where, separator):
        return self.first(self.things[0].readuntil, separator)

    def iterate(self, where, most):
        return self.first(self.lines, most)

    async def lines(self, most):
        found = []
        async for line in self.things[0]:
            found.append(line)
            if len(found) >= most:
                break
        return found

    # looking

    def at_eof(self, where):
        reader = self.things[0]
        return [reader.at_eof(), reader.exception()]

    def stuck(self):
        return self.feeder is not None and self.feeder.paused and "waiter=" in repr(self.things)

    async def rest(self):
        if not self.things or not isinstance(self.things[0], asyncio.StreamReader):
            return None
        self.end("")
        try:
            return [await self.things[0].read(1 << 20), self.feeder.paused]
        except ConnectionResetError as exc:
            return exc


class Feeder(asyncio.Transport):
    """A transport that is paused and resumed in turn."""

    paused = False

    def __repr__(self):
        return "<feeder>"

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False

    def is_closing(self):
        return False


class World(Groups, Queues, Locks, Streams):
    """All steps."""


def run(program, aio, make_loop):
    """Return the log of a program that takes asyncio's names from `aio`."""
    loop = make_loop()
    if cancels_several(program[1]):
        ordered(loop)
    world = World(aio, loop)
    loop.set_exception_handler(world.reported)
    try:
        loop.run_until_complete(world.main(*program))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    return world.log
