"""Threads: the default executor, and names that are looked up beside it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import socket
import threading

import pytest

word = contextvars.ContextVar("word", default="none")


def test_a_call_in_a_thread_returns_its_result(loop):
    async def main():
        return await loop.run_in_executor(None, threading.get_ident)

    assert loop.run_until_complete(main()) != threading.get_ident()


def test_arguments_are_passed_on(loop):
    async def main():
        return await loop.run_in_executor(None, divmod, 17, 5)

    assert loop.run_until_complete(main()) == (3, 2)


def test_a_call_in_a_thread_raises_its_exception(loop):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)

    loop.run_until_complete(main())


def test_an_executor_of_ones_own_is_used(loop):
    async def main(pool):
        name = await loop.run_in_executor(pool, lambda: threading.current_thread().name)
        assert name.startswith("mine")

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        loop.run_until_complete(main(pool))


def test_the_default_executor_can_be_replaced(loop):
    async def main():
        return await loop.run_in_executor(None, lambda: threading.current_thread().name)

    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine"))
    assert loop.run_until_complete(main()).startswith("mine")


def test_a_default_executor_that_runs_no_threads_is_refused(loop):
    class Other(concurrent.futures.Executor):
        pass

    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(Other())


def test_a_cancelled_call_that_has_not_begun_is_forgotten(loop):
    called = []
    gate = threading.Event()

    async def main(pool):
        first = loop.run_in_executor(pool, gate.wait)
        second = loop.run_in_executor(pool, called.append, "second")
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        await first

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loop.run_until_complete(main(pool))
    assert called == []


def test_to_thread_takes_the_context_along(loop):
    async def main():
        word.set("carried")
        return await asyncio.to_thread(word.get)

    assert loop.run_until_complete(main()) == "carried"


def test_a_closed_loop_runs_nothing_in_threads(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(None, print)


@pytest.mark.parametrize("what", ["coroutine", "number"])
def test_debug_mode_refuses_what_cannot_be_called(loop, what):
    async def coroutine():
        pass

    loop.set_debug(True)
    func = coroutine() if what == "coroutine" else 42
    with pytest.raises(TypeError):
        loop.run_in_executor(None, func)
    if what == "coroutine":
        func.close()


# the end of it -------------------------------------------------------------------------------


def test_shutdown_waits_for_the_threads(loop):
    gate = threading.Event()
    ended = []

    def work():
        gate.wait()
        ended.append("work")

    async def main():
        call = loop.run_in_executor(None, work)
        shutdown = loop.create_task(loop.shutdown_default_executor())
        await asyncio.sleep(0)
        assert not shutdown.done()
        gate.set()
        await shutdown
        assert ended == ["work"]
        await call

    loop.run_until_complete(main())


def test_shutdown_without_an_executor_does_nothing(loop):
    loop.run_until_complete(loop.shutdown_default_executor())


def test_shutting_down_twice_does_nothing(loop):
    async def main():
        await loop.run_in_executor(None, str)
        await loop.shutdown_default_executor()
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())


def test_after_the_shutdown_nothing_runs_in_the_default_executor(loop):
    async def main():
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, print)

    loop.run_until_complete(main())


def test_after_the_shutdown_another_executor_still_runs(loop):
    async def main(pool):
        await loop.shutdown_default_executor()
        return await loop.run_in_executor(pool, str, "ran")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert loop.run_until_complete(main(pool)) == "ran"


@pytest.mark.treadle_only  # asyncio has no timeout in 3.11, and answers the future twice in 3.12.1
def test_a_shutdown_that_takes_too_long_warns_and_gives_up(loop, request):
    gate = threading.Event()
    request.addfinalizer(gate.set)

    async def main():
        call = loop.run_in_executor(None, gate.wait)
        with pytest.warns(RuntimeWarning, match=r"within 0\.01 seconds"):
            await loop.shutdown_default_executor(timeout=0.01)
        gate.set()
        await call

    loop.run_until_complete(main())


def test_the_threads_of_a_closed_loop_end(loop_factory):
    async def main():
        await loop.getaddrinfo("localhost", 80)
        return await loop.run_in_executor(None, threading.current_thread)

    before = set(threading.enumerate())
    loop = loop_factory()
    thread = loop.run_until_complete(main())
    threads = set(threading.enumerate()) - before
    assert thread in threads
    loop.close()
    for thread in threads:
        thread.join()


def test_the_result_of_a_thread_that_outlives_the_loop_is_dropped(loop_factory):
    gate = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop = loop_factory()
    with contextlib.closing(loop):
        loop.run_in_executor(pool, gate.wait)
        loop.run_until_complete(asyncio.sleep(0))
    gate.set()
    pool.shutdown()


# names ---------------------------------------------------------------------------------------


def test_getaddrinfo_finds_what_socket_finds(loop):
    async def main():
        return await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    expected = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert loop.run_until_complete(main()) == expected


def test_getaddrinfo_raises_what_socket_raises(loop):
    async def main():
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", "no such service")

    loop.run_until_complete(main())


def test_getnameinfo_finds_what_socket_finds(loop):
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

    async def main():
        return await loop.getnameinfo(("127.0.0.1", 80), flags)

    assert loop.run_until_complete(main()) == ("127.0.0.1", "80")


@pytest.mark.treadle_only
def test_names_are_looked_up_while_the_default_executor_is_full(loop, request):
    gate = threading.Event()
    request.addfinalizer(gate.set)
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))

    async def main():
        busy = loop.run_in_executor(None, gate.wait)
        found = await loop.getaddrinfo("127.0.0.1", 80)
        assert not busy.done()
        gate.set()
        await busy
        return found

    assert loop.run_until_complete(main())


@pytest.mark.treadle_only
def test_names_are_looked_up_after_the_default_executor_was_shut_down(loop):
    async def main():
        await loop.shutdown_default_executor()
        return await loop.getaddrinfo("127.0.0.1", 80)

    assert loop.run_until_complete(main())
