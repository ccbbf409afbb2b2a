"""Programs that nobody writes, and that must not bring the interpreter down all the same.

Where a fault would be one of memory, the program runs in a process of its own.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap

import pytest

import treadle

NEVER_SET_UP = """
import asyncio, treadle

async def main():
    queue, lock, reader = treadle.Queue(), treadle.Lock(), treadle.StreamReader()
    scope = treadle.timeout(None)
    made = [queue.get(), lock.__aenter__(), reader.read(), reader.read(1), reader.readexactly(1),
            reader.readline(), reader.readuntil(), reader.readuntil(b""), reader.__anext__(),
            scope.__aenter__(), treadle.sleep(1)]
    kinds = {type(thing) for thing in made}
    kinds |= {treadle.Queue, treadle.Lock, treadle.Semaphore, treadle.Event, treadle.Condition}
    kinds |= {treadle.StreamReader, treadle.StreamWriter, treadle.StreamReaderProtocol}
    kinds |= {treadle.Timeout, treadle.TaskGroup, treadle.Loop}
    for thing in made:
        thing.close()
    for kind in kinds:
        for name in dir(kind):
            if name in ("__class__", "__del__") or name.startswith("run_"):
                continue
            for arguments in ((), (None,), (b"x",), (1, 2), (None, None, None)):
                try:
                    found = getattr(kind.__new__(kind), name)(*arguments)
                    found.send(None)
                except (Exception, asyncio.CancelledError, StopIteration):
                    pass

treadle.run(main())
print("survived")
"""

NESTED = """
import treadle
queue = treadle.Queue()
operation = queue.get()
for _ in range(200_000):
    operation = queue.put(operation)
del operation
print("survived")
"""

# how a program waits when it ends
ENDS = {
    "tasks": """
        loop = treadle.Loop()
        asyncio.set_event_loop(loop)
        tasks = [loop.create_task(one) for one in waits(loop)]
        loop.run_until_complete(asyncio.sleep(0.001))
    """,
    "bare": """
        loop = treadle.Loop()
        async def main():
            global kept
            kept = list(waits(loop))
            for one in kept:
                one.send(None)
        loop.run_until_complete(main())
    """,
    "cycle": """
        loop = treadle.Loop()
        loop.set_exception_handler(lambda *_: None)
        def begin():
            for one in waits(loop):
                task = loop.create_task(one)
                task.add_done_callback(lambda _, task=task, one=one: None)
        begin()
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        del loop
    """,
    "thread": """
        import threading
        loop = treadle.Loop()
        begun = threading.Event()
        def run():
            asyncio.set_event_loop(loop)
            tasks.extend(loop.create_task(one) for one in waits(loop))
            loop.call_later(0.001, begun.set)
            loop.run_forever()
        tasks = []
        threading.Thread(target=run, daemon=True).start()
        begun.wait()
    """,
    "exit": """
        async def main():
            loop = asyncio.get_running_loop()
            tasks.extend(loop.create_task(one) for one in waits(loop))
            loop.call_later(0.001, sys.exit, 0)
            await treadle.sleep(1000)
        tasks = []
        treadle.run(main())
    """,
}
WAITS = """
import asyncio, sys, treadle

def waits(loop):
    full = treadle.Queue(1)
    full.put_nowait(1)
    taken = treadle.Lock()
    taken._locked = True
    async def notified():
        async with condition:
            await condition.wait()
    condition = treadle.Condition()
    async def grouped():
        async with treadle.TaskGroup() as group:
            group.create_task(treadle.Queue().get())
    yield treadle.Queue().get()
    yield full.put(2)
    yield taken.acquire()
    yield treadle.Semaphore(0).acquire()
    yield treadle.Event().wait()
    yield notified()
    yield treadle.Barrier(2).wait()
    yield treadle.StreamReader(loop=loop).readline()
    yield treadle.sleep(1000)
    yield treadle.wait_for(treadle.Queue().get(), 1000)
    yield grouped()
"""


def ran(program):
    """Run a program in a process of its own; return its exit code and what it printed."""
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_objects_that_were_never_set_up_raise():
    code, out, err = ran(NEVER_SET_UP)
    assert (code, out) == (0, "survived\n"), err


def test_operations_that_hold_one_another_may_be_dropped():
    assert ran(NESTED) == (0, "survived\n", "")


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_quietly_while_tasks_wait(end):
    program = WAITS + textwrap.dedent(ENDS[end])
    code, out, err = ran(program)
    assert (code, out) == (0, "")
    assert "Traceback" not in err, err
    assert "ignored in" not in err, err


@pytest.mark.parametrize("size", [1, 9, 400])
def test_a_destructor_may_put_into_the_queue_that_grows(size):
    """Before Python 3.12 the allocation for the larger ring runs it."""
    for threshold in range(1, 20):
        queue = treadle.Queue()
        for number in range(8):
            queue.put_nowait(number)

        class Returned:
            def __init__(self, queue):
                self.queue = queue
                self.itself = self

            def __del__(self):
                for _ in range(size):
                    self.queue.put_nowait("returned")

        Returned(queue)
        collect_soon(threshold, lambda: queue.put_nowait(8))  # noqa: B023  # called at once
        found = [queue.get_nowait() for _ in range(queue.qsize())]
        assert [item for item in found if item != "returned"] == list(range(9))
        assert found.count("returned") == size


def collect_soon(allocations, function):
    """Call a function; the collector comes after so many allocations, and at the end."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(allocations)
    try:
        function()
    finally:
        gc.set_threshold(*before)
        gc.collect()


def observed_by(start, stop):
    """Run tasks under an observer that keeps all it sees; return the results that it saw."""
    kept = []

    async def main():
        queue = treadle.Queue()
        for number in range(20):
            queue.put_nowait((number,))
        return [await queue.get() for _ in range(20)]

    start(kept)
    try:
        found = treadle.run(main())
    finally:
        stop()
    assert found == [(number,) for number in range(20)]
    return [thing.value for thing in kept if isinstance(thing, StopIteration)]


def trace(kept):
    def tracer(frame, event, argument):
        if event == "exception":
            kept.append(argument[1])
        return tracer

    sys.settrace(tracer)


def test_a_tracer_may_keep_the_exceptions_that_carry_results():
    before = sys.gettrace()
    values = observed_by(trace, lambda: sys.settrace(before))
    assert {value for value in values if isinstance(value, tuple)} <= {(n,) for n in range(20)}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_a_monitor_may_keep_the_exceptions_that_carry_results():
    monitoring = sys.monitoring

    def start(kept):
        monitoring.use_tool_id(4, "keeper")
        monitoring.register_callback(4, monitoring.events.RAISE, lambda *seen: kept.extend(seen))
        monitoring.register_callback(
            4, monitoring.events.STOP_ITERATION, lambda *seen: kept.extend(seen)
        )
        monitoring.set_events(4, monitoring.events.RAISE | monitoring.events.STOP_ITERATION)

    def stop():
        monitoring.set_events(4, 0)
        monitoring.free_tool_id(4)

    values = observed_by(start, stop)
    assert {value for value in values if isinstance(value, tuple)} <= {(n,) for n in range(20)}
