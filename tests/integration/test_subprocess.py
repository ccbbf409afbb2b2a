"""asyncio's subprocesses on the loop, talking to real programs: sort, sh, openssl, redis-cli."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import CERTIFICATE, Redis, find, server_context
from tests.kit import Handler

pytestmark = pytest.mark.every_driver

MEGABYTE = 1024 * 1024


async def run(*command: str, data: bytes | None = None, **options: Any) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a program that was given the data."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE if data is not None else DEVNULL, stdout=PIPE, stderr=PIPE, **options
    )
    out, err = await process.communicate(data)
    assert process.returncode is not None
    return process.returncode, out, err


async def test_sort_sorts_megabytes_that_are_piped_through_it() -> None:
    lines = [b"%07d filler filler filler" % number for number in range(100_000)]
    shuffled = random.Random(1).sample(lines, len(lines))
    code, out, err = await run("sort", data=b"\n".join(shuffled) + b"\n")
    assert (code, err) == (0, b"")
    assert out == b"\n".join(lines) + b"\n"


async def test_grep_answers_line_by_line_while_it_is_fed() -> None:
    process = await asyncio.create_subprocess_exec(
        "grep", "--line-buffered", "yes", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(50):
        process.stdin.write(b"no %d\nyes %d\n" % (number, number))
        assert await process.stdout.readline() == b"yes %d\n" % number
    process.stdin.close()
    assert await process.stdout.read() == b""
    assert await process.wait() == 0


async def test_a_shell_runs_a_pipeline_in_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("c\na\nb\n")
    process = await asyncio.create_subprocess_shell(
        'sort names | tr a-z A-Z; echo "$GREETING" >&2; exit 3',
        cwd=tmp_path,
        env=dict(os.environ, GREETING="hello"),
        stdout=PIPE,
        stderr=STDOUT,
    )
    out, _ = await process.communicate()
    assert (process.returncode, out) == (3, b"A\nB\nC\nhello\n")


async def test_many_programs_at_once_each_give_their_own_answer() -> None:
    answers = await asyncio.gather(
        *[run("sh", "-c", f"cat; exit {number}", data=b"%d" % number) for number in range(40)]
    )
    assert answers == [(number, b"%d" % number, b"") for number in range(40)]


async def test_a_program_that_is_signalled_tells_so() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "3600")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        process.kill()


async def test_a_program_that_is_given_up_is_killed_and_leaves_nothing() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "3600", stdout=PIPE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await process.communicate()
    process.kill()
    assert await process.communicate() == (b"", None)
    assert process.returncode == -signal.SIGKILL


async def test_a_program_that_ends_early_leaves_the_writer_unharmed() -> None:
    code, out, _ = await run("head", "-c", "10", data=bytes(4 * MEGABYTE))
    assert (code, out) == (0, bytes(10))


async def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        await asyncio.create_subprocess_exec("no-such-program", stdin=PIPE, stdout=PIPE)


async def test_two_interpreters_talk_through_a_pipe_of_their_own() -> None:
    reader, writer = os.pipe()
    speak = "for n in range(1000): print(n)"
    add = "import sys; print(sum(map(int, sys.stdin)))"
    speaker = await asyncio.create_subprocess_exec(sys.executable, "-c", speak, stdout=writer)
    adder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", add, stdin=reader, stdout=PIPE
    )
    os.close(reader)
    os.close(writer)
    out, _ = await adder.communicate()
    assert int(out) == sum(range(1000))
    assert await speaker.wait() == 0


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()
    await writer.wait_closed()


async def test_openssl_speaks_tls_with_a_server_on_the_loop() -> None:
    openssl = find("openssl", "openssl")
    handler = Handler(shout)
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=server_context())
    port = server.sockets[0].getsockname()[1]
    options = ["-quiet", "-verify_return_error", "-CAfile", str(CERTIFICATE)]
    async with server:
        process = await asyncio.create_subprocess_exec(
            *[openssl, "s_client", "-connect", f"localhost:{port}", *options],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(20):
            process.stdin.write(b"line %d\n" % number)
            assert await process.stdout.readline() == b"LINE %d\n" % number
        process.kill()
        await process.communicate()
        await handler.finished()


async def test_redis_cli_is_spoken_to_through_its_pipes(redis_server: Redis, fresh: str) -> None:
    commands = [f"set {fresh} 1", *[f"incr {fresh}"] * 100, f"get {fresh}"]
    code, out, err = await run(
        *[find("redis-cli", "redis-tools"), "-p", str(redis_server.port)],
        data="\n".join(commands).encode() + b"\n",
    )
    assert (code, err) == (0, b"")
    assert out.split() == [b"OK", *[b"%d" % number for number in range(2, 102)], b"101"]
