"""accelerate and restore: what they touch, what they refuse, and that they do all or nothing."""

from __future__ import annotations

import ast
import asyncio
import asyncio.queues
import contextlib
import functools
import inspect
import sys
import threading
from asyncio import Queue as StockQueue
from pathlib import Path
from unittest import mock

import pytest

import treadle
from tests.kit import run_python
from treadle import aio
from treadle.aio import acceleration

NAMES = sorted(name for names in acceleration.HOMES.values() for name in names.split())
OWN = {"EventLoopPolicy", "Loop", "Runner", "install", "new_event_loop", "run"}
BEYOND = {"Promise", "callbackify", "map_concurrent", "on", "once", "promisify", "race", "retry"}
SOURCE = Path(treadle.__file__).parent
LEFT = {"_event_loop_policy", "__warningregistry__"}
SWITCHES = {"accelerate", "restore"}


def modules_of_asyncio():
    return [m for n, m in sys.modules.items() if n.partition(".")[0] == "asyncio"]


def everything_in_asyncio():
    """All that asyncio's modules hold, public or not, but for what loops and warnings leave."""
    return {
        module.__name__: {name: value for name, value in vars(module).items() if name not in LEFT}
        for module in modules_of_asyncio()
    }


def stock_objects():
    return {name: getattr(asyncio, name) for name in NAMES}


@pytest.fixture(autouse=True)
def clean():
    """Each test begins with stock asyncio, and leaves what it found."""
    was_accelerated = accelerated()
    if was_accelerated:
        treadle.restore()
    before = everything_in_asyncio()
    yield
    if accelerated():
        treadle.restore()
    assert everything_in_asyncio() == before
    if was_accelerated:
        treadle.accelerate()


def accelerated():
    return asyncio.Queue is treadle.Queue


@contextlib.contextmanager
def patched(module, name, value):
    with mock.patch.object(module, name, value):
        yield


# what is replaced ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_asyncios_name_means_treadles(name):
    treadle.accelerate()
    assert getattr(asyncio, name) is getattr(treadle, name)


@pytest.mark.parametrize("home", acceleration.HOMES)
def test_the_submodule_has_treadles_too(home):
    treadle.accelerate()
    module = sys.modules[f"asyncio.{home}"]
    for name in acceleration.HOMES[home].split():
        assert getattr(module, name) is getattr(treadle, name)


def test_asyncios_own_code_gets_treadles():
    treadle.accelerate()
    assert asyncio.streams.sleep is treadle.sleep
    finished = StockQueue()._finished  # the stock constructor makes an event
    assert type(finished) is treadle.Event


def test_a_later_import_from_asyncio_gives_treadles():
    treadle.accelerate()
    from asyncio import Lock
    from asyncio.queues import Queue

    assert (Lock, Queue) == (treadle.Lock, treadle.Queue)


def test_everything_that_both_have_is_replaced():
    both = {name for name in aio.__all__ if hasattr(asyncio, name)}
    assert both - OWN - {"QueueShutDown"} == set(NAMES)
    assert set(aio.__all__) == set(NAMES) | OWN | BEYOND | SWITCHES | {"QueueShutDown"}


def test_the_exception_of_a_queue_that_was_shut_down_is_the_same_without_being_replaced():
    shut_down = getattr(asyncio, "QueueShutDown", None)
    replaced = treadle.accelerate()
    assert "asyncio.QueueShutDown" not in replaced
    assert getattr(asyncio, "QueueShutDown", None) is shut_down
    assert shut_down in (None, treadle.QueueShutDown)


def test_what_was_replaced_is_returned_by_name():
    before = everything_in_asyncio()
    replaced = treadle.accelerate()
    after = everything_in_asyncio()
    changed = {
        f"{module}.{name}"
        for module, values in after.items()
        for name, value in values.items()
        if before[module].get(name) is not value
    }
    assert changed == set(replaced)
    assert len(replaced) == len(changed)
    assert {"asyncio.Queue", "asyncio.queues.Queue", "asyncio.streams.sleep"} <= changed


def test_only_public_names_are_touched_and_none_is_added():
    before = everything_in_asyncio()
    replaced = treadle.accelerate()
    assert not [name for name in replaced if name.rpartition(".")[2].startswith("_")]
    after = everything_in_asyncio()
    assert {name: set(values) for name, values in after.items()} == {
        name: set(values) for name, values in before.items()
    }


def test_what_asyncio_exports_stays_the_same():
    before = list(asyncio.__all__)
    treadle.accelerate()
    assert list(asyncio.__all__) == before


def test_a_private_reference_to_a_stock_object_is_left_alone(monkeypatch):
    monkeypatch.setattr(asyncio.queues, "_kept", StockQueue, raising=False)
    treadle.accelerate()
    assert asyncio.queues._kept is StockQueue


def test_any_public_reference_in_asyncio_is_replaced(monkeypatch):
    monkeypatch.setattr(asyncio.runners, "Waiting", StockQueue, raising=False)
    assert "asyncio.runners.Waiting" in treadle.accelerate()
    assert asyncio.runners.Waiting is treadle.Queue
    treadle.restore()
    assert asyncio.runners.Waiting is StockQueue


def test_what_was_imported_from_asyncio_before_stays_stock():
    treadle.accelerate()
    assert StockQueue is not treadle.Queue
    assert issubclass(treadle.Queue, StockQueue)


def test_a_module_of_a_similar_name_is_left_alone(monkeypatch):
    class Module(type(asyncio)):
        pass

    similar = Module("asyncio_extra")
    similar.Queue = StockQueue
    monkeypatch.setitem(sys.modules, "asyncio_extra", similar)
    treadle.accelerate()
    assert similar.Queue is StockQueue


# taking it back ------------------------------------------------------------------------------


def test_restore_gives_everything_back():
    stock = stock_objects()
    before = everything_in_asyncio()
    treadle.accelerate()
    assert stock_objects() != stock
    treadle.restore()
    assert everything_in_asyncio() == before


def test_restore_returns_the_names_that_it_gave_back():
    assert treadle.accelerate() == treadle.restore()


def test_it_can_be_done_again_after_it_was_undone():
    first = treadle.accelerate()
    treadle.restore()
    assert treadle.accelerate() == first
    assert asyncio.Queue is treadle.Queue


# refusals ------------------------------------------------------------------------------------


def test_a_second_time_is_refused_and_changes_nothing():
    treadle.accelerate()
    before = everything_in_asyncio()
    with pytest.raises(RuntimeError, match=r"accelerated already.*treadle\.restore\(\)"):
        treadle.accelerate()
    assert everything_in_asyncio() == before


def test_restoring_what_is_not_accelerated_is_refused():
    with pytest.raises(RuntimeError, match="not accelerated: there is nothing to restore"):
        treadle.restore()


def copied(function):
    """A wrapper that says in every way of functools that it is the function itself."""

    @functools.wraps(function)
    def wrapper(*args, **keywords):
        return function(*args, **keywords)

    return wrapper


class Proxy:
    """Passes for another object, as wrapt's proxies do."""

    def __init__(self, wrapped):
        self.__dict__["wrapped"] = wrapped

    @property
    def __class__(self):
        return type(self.wrapped)

    def __getattr__(self, name):
        return getattr(self.wrapped, name)


FOREIGN = {
    "another class": lambda stock: type("Other", (), {}),
    "a class derived from it": lambda stock: type(stock.__name__, (stock,), {}),
    "a mock": lambda stock: mock.MagicMock(),
    "a mock of its kind": lambda stock: mock.create_autospec(stock),
    "a proxy": Proxy,
    "a function": copied,
    "nothing": lambda stock: None,
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("place", ["asyncio.Queue", "asyncio.queues.Queue", "asyncio.gather"])
def test_a_name_that_is_not_stock_refuses_the_whole(place, foreign):
    package, _, name = place.rpartition(".")
    module = sys.modules[package]
    stock = getattr(module, name)
    if stock is asyncio.gather and foreign is FOREIGN["a class derived from it"]:
        foreign = FOREIGN["another class"]
    with patched(module, name, foreign(stock)):
        before = everything_in_asyncio()
        with pytest.raises(RuntimeError, match=rf"{name} is not asyncio's own.*nothing was rep"):
            treadle.accelerate()
        assert everything_in_asyncio() == before
    treadle.accelerate()


def test_the_refusal_names_the_name_what_is_there_and_the_mend():
    with patched(asyncio, "wait_for", copied(asyncio.wait_for)):
        with pytest.raises(RuntimeError) as caught:
            treadle.accelerate()
    text = str(caught.value)
    assert text.startswith("asyncio.wait_for is not asyncio's own: ")
    assert "copied.<locals>.wrapper" in text or "wait_for at" in text
    assert "Undo that, or let it happen after treadle.accelerate()" in text


def test_a_patch_in_both_places_is_seen():
    other = copied(asyncio.gather)
    with patched(asyncio, "gather", other), patched(asyncio.tasks, "gather", other):
        with pytest.raises(RuntimeError, match="gather is not asyncio's own"):
            treadle.accelerate()


@pytest.mark.parametrize(
    "place", ["asyncio.Queue", "asyncio.queues.Queue", "asyncio.streams.sleep"]
)
def test_restore_is_refused_when_something_is_put_on_top(place):
    package, _, name = place.rpartition(".")
    treadle.accelerate()
    with patched(sys.modules[package], name, mock.sentinel.other):
        before = everything_in_asyncio()
        with pytest.raises(RuntimeError, match=rf"^{place} was replaced by sentinel\.other after"):
            treadle.restore()
        assert everything_in_asyncio() == before
    treadle.restore()


# all or nothing ------------------------------------------------------------------------------


class Interrupt(BaseException):
    """What a signal handler raises in the middle."""


@pytest.mark.parametrize("direction", ["accelerate", "restore"])
def test_an_interruption_between_two_modules_leaves_nothing_half_done(direction, monkeypatch):
    if direction == "restore":
        treadle.accelerate()
    before = everything_in_asyncio()
    put, calls = acceleration._put, []

    def interrupted(places, which):
        calls.append(which)
        if len(calls) > 1:
            return put(places, which)
        put(places[: len(places) // 2], which)
        assert everything_in_asyncio() != before
        raise Interrupt

    monkeypatch.setattr(acceleration, "_put", interrupted)
    with pytest.raises(Interrupt):
        getattr(treadle, direction)()
    assert everything_in_asyncio() == before
    getattr(treadle, direction)()


def test_of_many_threads_one_accelerates():
    outcomes = []
    start = threading.Barrier(8)

    def attempt():
        start.wait()
        try:
            outcomes.append(treadle.accelerate())
        except RuntimeError:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([outcome for outcome in outcomes if outcome]) == 1
    assert len(outcomes) == 8


# programs ------------------------------------------------------------------------------------


async def produce_and_consume():
    queue = asyncio.Queue(1)
    lock, event = asyncio.Lock(), asyncio.Event()
    taken = []

    async def produce():
        for i in range(5):
            await queue.put(i)
        event.set()

    async def consume():
        while len(taken) < 5:
            async with lock:
                taken.append(await asyncio.wait_for(queue.get(), 60))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    await event.wait()
    (first,) = await asyncio.gather(asyncio.sleep(0, "slept"))
    return taken, first


async def echo():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
    return line, type(reader), type(writer)


async def child():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input())", stdin=-1, stdout=-1
    )
    out, _ = await process.communicate(b"said\n")
    return out, process.returncode, type(process.stdout)


def test_a_program_of_queues_and_locks_runs_accelerated_on_either_loop(loop):
    treadle.accelerate()
    assert loop.run_until_complete(produce_and_consume()) == (list(range(5)), "slept")


def test_streams_are_treadles_on_either_loop(loop):
    treadle.accelerate()
    line, *kinds = loop.run_until_complete(echo())
    assert line == b"line\n"
    assert kinds == [treadle.StreamReader, treadle.StreamWriter]


def test_the_streams_of_a_subprocess_are_treadles_on_either_loop(loop):
    if not isinstance(loop, treadle.Loop):
        asyncio.set_event_loop(loop)  # asyncio's child watchers want it
    try:
        treadle.accelerate()
        out, code, kind = loop.run_until_complete(child())
    finally:
        asyncio.set_event_loop(None)
    assert (out, code, kind) == (b"said\n", 0, treadle.StreamReader)


def test_names_that_were_bound_before_work_beside_the_others(loop):
    from asyncio import open_connection, start_server

    treadle.accelerate()

    async def program():
        queue = StockQueue()
        await queue.put("item")
        item = await asyncio.wait_for(queue.get(), 60)
        handled = asyncio.Event()

        async def serve(reader, writer):
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()
            handled.set()

        async with await start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            await handled.wait()
        return item, line

    assert loop.run_until_complete(program()) == ("item", b"line\n")


STOCK_STREAMS = (asyncio.StreamReader, asyncio.StreamReaderProtocol, asyncio.StreamWriter)


@pytest.mark.parametrize("stock", range(8), ids=lambda bits: f"{bits:03b}")
def test_parts_of_streams_that_were_bound_before_go_with_the_others(loop, stock, socket_pair):
    """A library that has bound some of the names early builds its streams of both kinds."""
    treadle.accelerate()
    ours = (treadle.StreamReader, treadle.StreamReaderProtocol, treadle.StreamWriter)
    reader_class, protocol_class, writer_class = (
        STOCK_STREAMS[i] if stock >> i & 1 else ours[i] for i in range(3)
    )
    here, there = socket_pair

    async def program():
        reader = reader_class(loop=loop)
        protocol = protocol_class(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, sock=here)
        writer = writer_class(transport, protocol, reader, loop)
        writer.write(b"ping\n")
        await writer.drain()
        ping = await loop.sock_recv(there, 100)
        await loop.sock_sendall(there, b"pong\n")
        pong = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return ping, pong

    assert loop.run_until_complete(program()) == (b"ping\n", b"pong\n")


# who patches, and who does not ---------------------------------------------------------------

STATE = (
    "print(asyncio.Queue.__module__.partition('.')[0],"
    " asyncio.tasks.gather.__module__.partition('.')[0])"
)


@pytest.mark.parametrize(
    "line",
    ["import treadle", "treadle.run(asyncio.sleep(0))", "treadle.Queue", "treadle.accelerate"],
)
def test_neither_the_import_nor_run_patches_anything(line):
    done = run_python(
        "import asyncio, sys\n"
        "everything = lambda: {n: dict(vars(m)) for n, m in list(sys.modules.items())"
        " if n.partition('.')[0] == 'asyncio'}\n"
        f"before = everything()\nimport treadle\n{line}\nprint(everything() == before)\n{STATE}"
    )
    assert (done.stdout, done.stderr) == ("True\nasyncio asyncio\n", "")


def test_install_accelerates():
    done = run_python(f"import asyncio, treadle\ntreadle.install()\n{STATE}")
    assert (done.stdout, done.stderr) == ("treadle treadle\n", "")


def test_install_can_be_told_not_to():
    done = run_python(f"import asyncio, treadle\ntreadle.install(accelerate=False)\n{STATE}")
    assert (done.stdout, done.stderr) == ("asyncio asyncio\n", "")


def test_install_can_be_called_again():
    done = run_python(
        "import asyncio, treadle\ntreadle.install()\ntreadle.install()\n"
        f"treadle.install(accelerate=False)\n{STATE}",
        PYTHONWARNINGS="error",
    )
    assert (done.stdout, done.stderr) == ("treadle treadle\n", "")


def test_install_goes_on_with_what_was_accelerated_before():
    done = run_python(
        f"import asyncio, treadle\ntreadle.accelerate()\ntreadle.install()\n{STATE}",
        PYTHONWARNINGS="error",
    )
    assert (done.stdout, done.stderr) == ("treadle treadle\n", "")


def test_install_warns_of_a_patched_name_and_installs_the_loop_all_the_same():
    done = run_python(
        "import asyncio, treadle\n"
        "class Queue(asyncio.Queue): pass\n"
        "asyncio.Queue = Queue\n"
        "treadle.install()\n"
        "print(asyncio.Queue is Queue, asyncio.gather is treadle.gather)\n"
        "with asyncio.Runner() as runner: print(type(runner.get_loop()) is treadle.Loop)"
    )
    assert done.stdout == "True False\nTrue\n"
    assert "<string>:4: RuntimeWarning: asyncio.Queue is not asyncio's own" in done.stderr
    assert "treadle.install(accelerate=False)" in done.stderr


# the house -----------------------------------------------------------------------------------


def asked_at_run_time(path):
    """The replaced names that functions in a file look up in asyncio, with their lines."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(ast.Module(function.body, [])):  # no annotations
                if isinstance(node, ast.Attribute) and node.attr in NAMES:
                    yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", sorted((SOURCE / "aio").glob("*.py")), ids=lambda path: path.name)
def test_a_module_of_ours_asks_asyncio_for_no_replaced_name_at_run_time(path):
    """Where it did, it would get ours instead of the original after accelerate()."""
    asked = [each for each in asked_at_run_time(path) if ": asyncio." in each]
    assert not asked


def test_the_test_of_names_at_run_time_sees_them(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import asyncio\nQueue = asyncio.Queue\nasync def f():\n    await asyncio.locks.Event()\n"
    )
    assert list(asked_at_run_time(file)) == ["line 4: asyncio.locks.Event"]


# tests of users ------------------------------------------------------------------------------

COROUTINE_FUNCTIONS = [name for name in NAMES if asyncio.iscoroutinefunction(vars(asyncio)[name])]


@pytest.mark.parametrize("name", COROUTINE_FUNCTIONS)
def test_what_is_patched_by_a_users_test_becomes_an_asynchronous_mock(name):
    treadle.accelerate()
    with mock.patch(f"asyncio.{name}") as patch:
        assert isinstance(patch, mock.AsyncMock)
    assert asyncio.iscoroutinefunction(getattr(asyncio, name))


def signature(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", ["as_completed", "gather", "shield", "sleep", "wait", "wait_for"])
def test_the_signature_is_asyncios(name):
    assert signature(getattr(treadle, name)) == signature(getattr(asyncio, name))
