"""Subprocess transports: `subprocess_exec`, `subprocess_shell`, asyncio's processes on them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
import types
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest

from tests.net.wire import MEGABYTE, Diary, drop, open_descriptors, settle

pytestmark = pytest.mark.every_driver
treadle_only = pytest.mark.treadle_only


class Notes(Diary, asyncio.SubprocessProtocol):
    """Notes what the protocol of a process hears."""

    def pipe_data_received(self, fd, data):
        self.data += data
        self.note(f"data {fd}")

    def pipe_connection_lost(self, fd, exc):
        self.note(f"lost {fd}")

    def process_exited(self):
        self.note("process_exited")


def is_zombie_or_running(pid):
    """Say whether the process is there in any form."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def is_gone(pid):
    """Wait until a process has been reaped."""
    while is_zombie_or_running(pid):
        await asyncio.sleep(0.001)


def is_gone_soon(pid):
    """The same without a loop."""
    while is_zombie_or_running(pid):
        time.sleep(0.001)


@pytest.fixture(params=["pidfd", "thread"])
def watched_by(request, loop_factory, monkeypatch):
    """How the end of a process is heard of: by the kernel's means, and by the plain twin.

    asyncio's way is the policy's.
    """
    if request.param == "thread" and loop_factory is not asyncio.SelectorEventLoop:

        def refuse(pid, flags=0):
            raise PermissionError(errno.EPERM, "not in this sandbox")

        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    return request.param


# a process and its pipes ---------------------------------------------------------------------


async def test_a_process_gets_input_and_gives_output_and_a_status(loop, watched_by):
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; echo done >&2; exit 7", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await process.communicate(b"hello") == (b"hello", b"done\n")
    assert process.returncode == 7
    assert not is_zombie_or_running(process.pid)


async def test_a_shell_runs_a_command_line(loop):
    process = await asyncio.create_subprocess_shell("echo $((20 + 22)); exit 3", stdout=PIPE)
    assert await process.communicate() == (b"42\n", None)
    assert await process.wait() == 3


async def test_the_protocol_hears_everything_and_connection_lost_last(loop, watched_by):
    transport, protocol = await loop.subprocess_exec(
        Notes, "sh", "-c", "read x; echo $x", stderr=None
    )
    assert protocol.calls[0] == "connection_made"
    assert protocol.transport is transport
    transport.get_pipe_transport(0).write(b"out\n")
    await protocol.hears("connection_lost")
    assert protocol.data == b"out\n"
    assert protocol.calls[-1] == "connection_lost"
    assert sorted(protocol.calls) == sorted(
        ["connection_made", "data 1", "lost 0", "lost 1", "process_exited", "connection_lost"]
    )
    assert protocol.calls.index("data 1") < protocol.calls.index("lost 1")
    assert protocol.reason is None
    transport.close()


async def test_megabytes_go_both_ways_at_once(loop):
    data = os.urandom(4 * MEGABYTE)
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    output, _ = await process.communicate(data)
    assert output == data


async def test_output_is_complete_when_the_process_is_gone_already(loop):
    """What it left in the pipe is read, and more than one receive takes."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "head -c 60000 /dev/zero", stdout=PIPE
    )
    await process.wait()
    assert len(await process.stdout.read()) == 60000


@treadle_only  # in asyncio the order is that of the kernel's reports
async def test_what_a_process_leaves_in_its_pipe_is_heard_of_before_its_end(loop, watched_by):
    transport, protocol = await loop.subprocess_exec(
        Notes, "head", "-c", "60000", "/dev/zero", stdin=None, stderr=None
    )
    with contextlib.suppress(ChildProcessError):  # reaped already
        os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
    await protocol.hears("connection_lost")
    assert protocol.calls[-3:] == ["lost 1", "process_exited", "connection_lost"]
    assert len(protocol.data) == 60000


async def test_standard_error_may_go_where_standard_output_goes(loop):
    process = await asyncio.create_subprocess_shell(
        "echo out; echo err >&2", stdout=PIPE, stderr=STDOUT
    )
    assert await process.communicate() == (b"out\nerr\n", None)
    assert process.stderr is None


async def test_nothing_is_piped_without_being_asked_for(loop, tmp_path):
    with open(tmp_path / "out", "w+b") as file:
        process = await asyncio.create_subprocess_shell(
            "cat; echo to the file", stdin=DEVNULL, stdout=file, stderr=DEVNULL
        )
        assert (process.stdin, process.stdout, process.stderr) == (None, None, None)
        assert await process.wait() == 0
        file.seek(0)
        assert file.read() == b"to the file\n"


async def test_the_arguments_of_popen_are_taken(loop, tmp_path):
    receiver, sender = os.pipe()
    program = (
        "import os; print(os.getcwd(), os.environ['WORD'], os.getsid(0)); "
        f"os.write({sender}, b'passed')"
    )
    process = await asyncio.create_subprocess_exec(
        "the name of the program",
        "-c",
        program,
        stdout=PIPE,
        cwd=tmp_path,
        env={"WORD": "said"},
        pass_fds=(sender,),
        start_new_session=True,
        executable=sys.executable,
    )
    output, _ = await process.communicate()
    os.close(sender)
    lines = output.decode().split()
    assert lines == [str(tmp_path), "said", str(process.pid)]
    with open(receiver, "rb") as file:
        assert file.read() == b"passed"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_function_may_run_in_the_child_before_the_program(loop):
    process = await asyncio.create_subprocess_shell(
        "umask", stdout=PIPE, preexec_fn=lambda: os.umask(0o123)
    )
    assert (await process.communicate())[0].strip() == b"0123"


@treadle_only  # asyncio's loop waits
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_function_that_takes_long_does_not_hold_up_the_loop(loop):
    """It waits for a byte that the loop sends it."""
    receiver, sender = os.pipe()
    start = loop.create_task(
        asyncio.create_subprocess_exec(
            "cat", stdin=PIPE, stdout=PIPE, preexec_fn=lambda: os.read(receiver, 1)
        )
    )
    for _ in range(10):
        await settle(loop)
    assert not start.done()
    os.write(sender, b"x")
    process = await start
    assert await process.communicate(b"hello") == (b"hello", None)
    os.close(receiver)
    os.close(sender)


@treadle_only  # asyncio cannot be cancelled there
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_start_may_be_cancelled_while_a_function_runs_in_the_child(loop):
    protocol = Notes()
    receiver, sender = os.pipe()
    start = loop.create_task(
        loop.subprocess_exec(lambda: protocol, "true", preexec_fn=lambda: os.read(receiver, 1))
    )
    await settle(loop)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert protocol.calls == []
    await settle(loop)
    os.close(receiver)
    os.close(sender)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("/no/such/program", {}),
        ("true", {"cwd": "/no/such/folder"}),
        ("true", {"executable": "/no/such/program"}),
        ("/etc/passwd", {}),
    ],
    ids=["program", "folder", "executable", "not a program"],
)
async def test_failures_after_a_function_in_the_child_are_those_of_popen(loop, program, arguments):
    with pytest.raises(OSError) as expected:  # noqa: PT011 (of any kind: it is compared)
        subprocess.Popen([program], **arguments)
    with pytest.raises(OSError) as found:  # noqa: PT011
        await loop.subprocess_exec(Notes, program, preexec_fn=lambda: None, **arguments)
    assert found.type is expected.type
    assert found.value.args == expected.value.args
    assert found.value.filename == expected.value.filename
    await settle(loop)


@treadle_only
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_popen_that_cannot_be_told_to_go_on_waits_itself(loop, monkeypatch):
    """Should its local variables have other names one day."""

    nameless = types.SimpleNamespace(f_locals={})
    monkeypatch.setattr(sys, "_getframe", lambda depth=0: nameless)
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=PIPE, stdout=PIPE, preexec_fn=lambda: None
    )
    assert await process.communicate(b"hello") == (b"hello", None)
    with pytest.raises(FileNotFoundError):
        await loop.subprocess_exec(Notes, "/no/such/program", preexec_fn=lambda: None)


@treadle_only
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_function_in_the_child_finds_the_loop_left_behind_and_harms_nothing(loop, capfd):
    def look():
        if not loop.is_closed() or asyncio._get_running_loop() is not None:
            raise RuntimeError("the loop is still there")
        loop.close()

    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, preexec_fn=look)
    assert await process.communicate(b"hello") == (b"hello", None)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_function_that_raises_in_the_child_fails_the_start(loop):
    def fail():
        raise ValueError

    with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
        await asyncio.create_subprocess_exec("true", preexec_fn=fail, stdin=PIPE, stdout=PIPE)


async def test_children_of_one_loop_run_side_by_side(loop, watched_by):
    async def ask(number):
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(b"%d" % number)
        return int(output)

    assert await asyncio.gather(*map(ask, range(20))) == list(range(20))


# the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "terminate", "send_signal"])
async def test_a_process_is_ended_by_a_signal(loop, how, watched_by):
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    if how == "send_signal":
        process.send_signal(signal.SIGHUP)
    else:
        getattr(process, how)()
    expected = {
        "kill": -signal.SIGKILL,
        "terminate": -signal.SIGTERM,
        "send_signal": -signal.SIGHUP,
    }
    assert await process.wait() == expected[how]
    assert process.returncode == expected[how]


async def test_a_signal_to_a_process_that_is_gone_raises(loop, watched_by):
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    await settle(loop)
    for send in (process.kill, process.terminate, lambda: process.send_signal(0)):
        with pytest.raises(ProcessLookupError):
            send()


async def test_many_may_wait_and_one_may_be_cancelled(loop):
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
    waits = [loop.create_task(process.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waits[1].cancel()
    process.stdin.close()
    await asyncio.wait(waits)
    assert waits[1].cancelled()
    assert (waits[0].result(), waits[2].result()) == (0, 0)


@treadle_only  # asyncio's waits for the pipe as well
@pytest.mark.parametrize("before", [True, False], ids=["waiting", "later"])
async def test_waiting_ends_with_the_process_though_a_grandchild_holds_its_pipe(loop, before):
    process = await asyncio.create_subprocess_shell(
        "sleep 1000 & echo $!", stdin=DEVNULL, stdout=PIPE
    )
    grandchild = int(await process.stdout.readline())
    if not before:
        while process.returncode is None:
            await asyncio.sleep(0)
    assert await process.wait() == 0
    os.kill(grandchild, signal.SIGKILL)
    assert await process.stdout.read() == b""


@treadle_only  # asyncio's waits for the pipe as well
async def test_waiting_ends_with_the_process_though_nobody_reads(loop):
    process = await asyncio.create_subprocess_exec(
        "head", "-c", "60000", "/dev/zero", stdout=PIPE, limit=100
    )
    assert await process.wait() == 0
    assert len(await process.stdout.read()) == 60000


async def test_everything_is_over_when_waiting_ends(loop):
    """Nothing is left to be closed: a loop that is closed now warns of nothing."""
    process = await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await process.wait()
    await settle(loop)
    assert process.stdout.at_eof()
    assert process._transport.is_closing()


async def test_closing_kills_a_process_that_runs(loop, watched_by):
    transport, protocol = await loop.subprocess_exec(Notes, "sleep", "1000")
    pid = transport.get_pid()
    transport.close()
    transport.close()
    assert transport.is_closing()
    await protocol.hears("connection_lost")
    assert transport.get_returncode() == -signal.SIGKILL
    assert not is_zombie_or_running(pid)


async def test_closing_a_process_that_is_gone_kills_nobody(loop, monkeypatch):
    transport, protocol = await loop.subprocess_exec(Notes, "true")
    await protocol.hears("connection_lost")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("killed"))
    transport.close()


async def test_a_process_that_ends_before_anybody_looks_is_reported(loop, watched_by):
    task = loop.create_task(loop.subprocess_exec(Notes, "true", stdin=None))
    await asyncio.sleep(0)
    time.sleep(0.02)  # a callback that takes long
    transport, protocol = await task
    await protocol.hears("connection_lost")
    assert protocol.calls[0] == "connection_made"
    assert transport.get_returncode() == 0
    transport.close()


@treadle_only  # asyncio's thread may be first
@pytest.mark.parametrize("looked", [True, False])
async def test_a_process_that_somebody_else_reaps_has_an_unknown_status(
    loop, caplog, watched_by, looked
):
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    if looked:
        process.kill()
    assert await process.wait() == 255
    assert "Unknown child process pid" in caplog.text


@treadle_only
async def test_a_process_that_its_popen_has_reaped_has_the_status_from_there(loop):
    process = await asyncio.create_subprocess_shell("exit 9")
    assert process._transport.get_extra_info("subprocess").wait() == 9
    assert await process.wait() == 9


@treadle_only  # asyncio may find the process gone before it watches it
async def test_ignored_children_do_not_hang_the_loop(loop, watched_by):
    """With SIGCHLD ignored the kernel reaps them, and keeps no status."""
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 255
    finally:
        signal.signal(signal.SIGCHLD, old)


async def test_a_handler_for_sigchld_is_left_alone(loop):
    heard = []
    loop.add_signal_handler(signal.SIGCHLD, heard.append, "child")
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    while not heard:
        await asyncio.sleep(0)
    loop.remove_signal_handler(signal.SIGCHLD)


# failures ------------------------------------------------------------------------------------


async def test_a_program_that_is_not_there_fails_the_start(loop):
    with pytest.raises(FileNotFoundError):
        await asyncio.create_subprocess_exec("/no/such/program", stdin=PIPE, stdout=PIPE)


@pytest.mark.parametrize(
    "arguments",
    [
        {"universal_newlines": True},
        {"shell": "wrong"},
        {"bufsize": 4096},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
@pytest.mark.parametrize("method", ["subprocess_exec", "subprocess_shell"])
async def test_arguments_for_text_and_buffers_are_refused(loop, method, arguments):
    if "shell" in arguments:
        arguments = {"shell": method == "subprocess_exec"}
    with pytest.raises(ValueError, match=next(iter(arguments))):
        await getattr(loop, method)(lambda: pytest.fail("no protocol"), "true", **arguments)


async def test_a_command_line_is_text(loop):
    with pytest.raises(ValueError, match="cmd must be a string"):
        await loop.subprocess_shell(Notes, ["true"])


async def test_an_unknown_argument_is_refused(loop):
    with pytest.raises(TypeError):
        await asyncio.create_subprocess_exec("true", no_such_argument=1)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancelled_start_kills_the_process_and_leaves_nothing(loop, turns, monkeypatch):
    started = []
    real = subprocess.Popen

    def note(*args, **keywords):
        started.append(real(*args, **keywords))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    task = loop.create_task(
        asyncio.create_subprocess_exec("sleep", "1000", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    )
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        process = await task
    except asyncio.CancelledError:
        pass
    else:
        process.kill()
        await process.wait()
    for popen in started:
        await is_gone(popen.pid)
    await settle(loop)


@treadle_only  # asyncio's goes on to wait, which a coroutine may not do then
async def test_a_start_that_is_dropped_kills_the_process_and_leaves_nothing(loop, monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[0]
    )
    start = loop.subprocess_exec(Notes, "sleep", "1000")
    start.send(None)
    start.close()
    await is_gone(started[0].pid)
    await settle(loop)


@treadle_only  # asyncio leaves pipes open
async def test_a_pipe_that_cannot_be_connected_fails_the_start_and_leaves_nothing(
    loop, monkeypatch
):
    from treadle._net import process as module

    pids = []

    class Broken(module.ReadPipe):
        def adopt(self, pipe, shared):
            raise OSError(errno.ENOMEM, "no memory for a pipe")

    monkeypatch.setattr(module, "ReadPipe", Broken)
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pids.append(real(*a, **k)) or pids[-1])
    protocol = Notes()
    with pytest.raises(OSError, match="no memory for a pipe"):
        await loop.subprocess_exec(lambda: protocol, "sleep", "1000")
    assert protocol.calls == []
    assert pids[0].returncode == -signal.SIGKILL
    await settle(loop)


async def test_what_the_protocol_raises_is_reported_and_nothing_stops(loop, reports):
    class Clumsy(Notes):
        def note(self, name):
            super().note(name)
            raise ValueError(name)

    transport, protocol = await loop.subprocess_shell(Clumsy, "echo x", stdin=None, stderr=None)
    await protocol.hears("connection_lost")
    transport.close()
    await settle(loop)
    assert sorted(str(report["exception"]) for report in reports) == sorted(protocol.calls)


@treadle_only
def test_a_process_of_a_closed_loop_is_killed_when_it_is_dropped(loop_factory, watched_by):
    before = set(open_descriptors())
    loop = loop_factory()
    transport, protocol = loop.run_until_complete(
        loop.subprocess_exec(Notes, "sleep", "1000", stderr=None)
    )
    pid = transport.get_pid()
    loop.close()
    assert is_zombie_or_running(pid)
    left = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match=f"unclosed transport .*pid={pid} running"):
        drop(left)
    is_gone_soon(pid)
    assert set(open_descriptors()) <= before


@treadle_only  # asyncio's raises
def test_a_process_of_a_closed_loop_can_be_closed(loop_factory, watched_by):
    before = set(open_descriptors())
    loop = loop_factory()
    transport, _ = loop.run_until_complete(loop.subprocess_exec(Notes, "sleep", "1000"))
    loop.close()
    transport.close()
    is_gone_soon(transport.get_pid())
    assert set(open_descriptors()) <= before


@treadle_only
def test_a_process_that_outlives_its_loop_is_reaped_when_it_ends(loop_factory, watched_by):
    loop = loop_factory()
    transport, _ = loop.run_until_complete(loop.subprocess_exec(Notes, "sleep", "1000"))
    loop.close()
    os.kill(transport.get_pid(), signal.SIGTERM)
    is_gone_soon(transport.get_pid())
    transport.close()


@treadle_only  # asyncio's pipes are not closed any more
def test_a_loop_that_is_closed_with_a_process_that_has_ended_leaves_no_zombie(loop_factory):
    loop = loop_factory()
    transport, _ = loop.run_until_complete(loop.subprocess_exec(Notes, "cat", stdin=None))
    transport.close()
    pid = transport.get_pid()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    is_gone_soon(pid)


# what transports are -------------------------------------------------------------------------


async def test_it_is_a_subprocess_transport(loop):
    transport, protocol = await loop.subprocess_exec(Notes, "cat", stderr=None)
    assert isinstance(transport, asyncio.SubprocessTransport)
    assert isinstance(transport.get_pipe_transport(0), asyncio.WriteTransport)
    assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
    assert transport.get_pipe_transport(2) is None
    assert transport.get_returncode() is None
    assert transport.get_protocol() is protocol
    assert transport.get_extra_info("subprocess").pid == transport.get_pid()
    assert f"pid={transport.get_pid()} running" in repr(transport)
    transport.get_pipe_transport(0).close()
    await protocol.hears("connection_lost")
    assert transport.get_returncode() == 0
    assert "returncode=0" in repr(transport)
    transport.close()


async def test_the_protocol_of_standard_input_is_paused_and_resumed(loop):
    transport, protocol = await loop.subprocess_exec(Notes, "cat", stderr=None)
    transport.get_pipe_transport(0).write(b"x" * MEGABYTE)
    assert protocol.calls[-1] == "pause_writing"
    await protocol.hears("resume_writing")
    await protocol.gets(MEGABYTE)
    transport.close()
    await protocol.hears("connection_lost")


@treadle_only  # a thread of asyncio has a context of its own
async def test_all_protocol_methods_run_in_the_context_of_the_start(loop):
    import contextvars

    name = contextvars.ContextVar("name", default="unset")
    seen = set()

    class Looks(Notes):
        def note(self, call):
            super().note(call)
            seen.add(name.get())

    name.set("starter")
    transport, protocol = await loop.subprocess_shell(Looks, "echo x")
    name.set("changed")
    await protocol.hears("connection_lost")
    assert seen == {"starter"}
    transport.close()


# several loops -------------------------------------------------------------------------------


@treadle_only  # asyncio may close a loop before its transports
@pytest.mark.parametrize("children", [30])
def test_two_loops_in_two_threads_start_processes_at_once(loop_factory, children, watched_by):
    """Neither is the main thread's."""
    results = []

    async def ask(number):
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(b"%d" % number)
        return int(output), process.returncode

    def run(barrier):
        loop = loop_factory()
        try:
            barrier.wait()

            async def main():
                return await asyncio.gather(*map(ask, range(children)))

            results.append(loop.run_until_complete(main()))
        finally:
            loop.close()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(barrier,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[(number, 0) for number in range(children)]] * 2


@treadle_only  # asyncio's policy decides
async def test_no_thread_is_started_where_the_kernel_tells(loop, watched_by):
    before = threading.active_count()
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
    more = threading.active_count() - before
    assert more == (0 if watched_by == "pidfd" else 1)
    process.stdin.close()
    await process.wait()


async def test_an_interpreter_can_be_talked_to_line_by_line(loop):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "-c",
        "import sys\nfor line in sys.stdin: print(eval(line))",
        stdin=PIPE,
        stdout=PIPE,
    )
    for number in range(20):
        process.stdin.write(b"%d * %d\n" % (number, number))
        assert int(await process.stdout.readline()) == number * number
    process.stdin.close()
    assert await process.wait() == 0
