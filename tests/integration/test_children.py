"""Real programs as child processes: line by line, and with megabytes both ways at once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

import treadle

MEGABYTE = 1024 * 1024

pytestmark = pytest.mark.parametrize("driver", treadle._drivers.available_drivers())


@pytest.fixture
def run(driver):
    """Run a coroutine in a loop of its own; nothing may be reported to it."""
    reports = []

    def run(coro):
        with asyncio.Runner(loop_factory=lambda: treadle.Loop(driver=driver)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))
            return runner.run(coro)

    yield run
    assert not reports


def needs(program):
    """Skip where a program is not installed, and say which."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def converse(process, questions):
    """Ask line by line; return the answers."""
    answers = []
    for question in questions:
        process.stdin.write(question.encode() + b"\n")
        await process.stdin.drain()
        answers.append((await process.stdout.readline()).decode().rstrip("\n"))
    process.stdin.close()
    await process.wait()
    return answers


def test_cat_answers_line_by_line(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        return await converse(process, [f"line {number}" for number in range(500)])

    assert run(main()) == [f"line {number}" for number in range(500)]


@needs("bc")
def test_bc_calculates(run):
    async def main():
        process = await asyncio.create_subprocess_exec("bc", "-q", stdin=PIPE, stdout=PIPE)
        return await converse(process, [f"{number} ^ 3" for number in range(100)])

    assert run(main()) == [str(number**3) for number in range(100)]


def test_python_calculates(run):
    program = "import sys\nfor line in sys.stdin: print(eval(line))"

    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-c", program, stdin=PIPE, stdout=PIPE
        )
        return await converse(process, [f"{number} ** 3" for number in range(100)])

    assert run(main()) == [str(number**3) for number in range(100)]


def test_sort_sorts_megabytes(run):
    numbers = random.Random(1)
    lines = [b"%016d\n" % numbers.randrange(10**15) for _ in range(100_000)]

    async def main():
        process = await asyncio.create_subprocess_exec(
            "sort", stdin=PIPE, stdout=PIPE, env=dict(os.environ, LC_ALL="C")
        )
        output, _ = await process.communicate(b"".join(lines))
        assert process.returncode == 0
        return output

    assert run(main()) == b"".join(sorted(lines))


def test_many_megabytes_go_through_three_programs_at_once(run):
    """Each has its pipes full in both directions, and the loop waits for none of them."""
    data = os.urandom(8 * MEGABYTE)

    async def through_cat():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(data)
        return output == data and process.returncode == 0

    async def main():
        return await asyncio.gather(*(through_cat() for _ in range(3)))

    assert run(main()) == [True] * 3


def test_a_reader_that_is_slow_holds_the_program_up_and_loses_nothing(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "head", "-c", str(4 * MEGABYTE), "/dev/zero", stdout=PIPE, limit=1000
        )
        size = 0
        while part := await process.stdout.read(10_000):
            size += len(part)
            await asyncio.sleep(0)
        assert await process.wait() == 0
        return size

    assert run(main()) == 4 * MEGABYTE


def test_a_pipeline_of_two_programs_is_made_with_a_pipe(run):
    async def main():
        receiver, sender = os.pipe()
        first = await asyncio.create_subprocess_exec("printf", "b\\na\\n", stdout=sender)
        os.close(sender)
        second = await asyncio.create_subprocess_exec("sort", stdin=receiver, stdout=PIPE)
        os.close(receiver)
        output, _ = await second.communicate()
        return output, await first.wait()

    assert run(main()) == (b"a\nb\n", 0)


def test_a_program_that_does_not_end_is_ended_by_a_timeout(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        try:
            async with asyncio.timeout(0.01):
                await process.wait()
        except TimeoutError:
            process.terminate()
        return await process.wait()

    assert run(main()) == -signal.SIGTERM


def test_500_processes_leave_no_descriptor(run):
    def count():
        return len(os.listdir("/proc/self/fd"))

    async def main():
        before = count()
        for _ in range(50):
            processes = await asyncio.gather(
                *(
                    asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE, stderr=PIPE)
                    for _ in range(10)
                )
            )
            for process in processes:
                await process.communicate()
        return count() - before

    assert run(main()) == 0
