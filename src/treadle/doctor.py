"""What is here to run treadle, and whether it runs: what `treadle doctor` finds out.

Nothing is concluded from a version number. Containers and sandboxes forbid system calls that the
kernel has, and administrators turn io_uring off, so each call is made, and what it answers is told.

The self-test runs in a child process: a loop that hangs or crashes is a finding, not the doctor's
end. The child is forked rather than started anew, which gives it exactly this interpreter, with
these paths and flags.

May not know: how a report is shown.
"""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import platform
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import treadle
from treadle import _build
from treadle._drivers import available_drivers, make_driver

__all__ = ["Check", "Feature", "Report", "examine"]

Verdict = Literal["ok", "warning", "problem"]

FEW_FILES = 4096  # a soft limit below this deserves a warning
OWN_FILES = 16  # descriptors that a server needs for itself: streams, the loop's, listeners, logs
BACKLOG = 100  # what `create_server` asks for when it is not told
MESSAGE = bytes(range(256)) * 4096  # a mebibyte: more than the kernel's buffers hold
PATIENCE = 10.0  # seconds that each self-test may take


# the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: a sentence, and what to do unless all is well."""

    name: str
    verdict: Verdict
    sentence: str
    advice: str = ""


@dataclass(frozen=True)
class Feature:
    """What the kernel answered when it was asked for something."""

    state: Literal["usable", "missing", "forbidden", "failed", "unknown"]
    reason: str = ""  # empty when usable

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else self.state


@dataclass(frozen=True)
class Build:
    """Which treadle this is."""

    version: str
    compiled: bool
    why_pure: str | None  # the choice that made it a plain one; None when compiled
    folder: str
    uncompiled: list[str]  # modules of a compiled treadle whose compiled form is missing

    def __str__(self) -> str:
        how = "compiled" if self.compiled else f"uncompiled: {self.why_pure}"
        return f"{self.version}, {how}"


@dataclass(frozen=True)
class Interpreter:
    """Which Python runs it."""

    version: str
    implementation: str
    executable: str


@dataclass(frozen=True)
class Platform:
    """Which machine this is."""

    system: str
    kernel: str
    architecture: str
    libc: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.system, self.kernel, self.architecture, self.libc)))


@dataclass(frozen=True)
class Drivers:
    """What can wait for the kernel, and what does."""

    in_use: str | None  # None when there is an obstacle
    available: list[str]
    asked: str | None  # the value of TREADLE_DRIVER
    obstacle: str | None

    def __str__(self) -> str:
        return f"{self.in_use or 'none'} (available: {', '.join(self.available)})"


@dataclass(frozen=True)
class Limits:
    """How much there may be of things; None where there is no limit or none is told."""

    open_files_soft: int | None
    open_files_hard: int | None
    somaxconn: int | None  # connections that wait to be accepted, per listener
    connections: int | None  # that the open files leave room for

    def __str__(self) -> str:
        soft, hard, queue, connections = (
            "unlimited" if limit is None else str(limit)
            for limit in (
                self.open_files_soft,
                self.open_files_hard,
                self.somaxconn,
                self.connections,
            )
        )
        return f"{soft} open files (hard: {hard}), {connections} connections, somaxconn {queue}"


@dataclass(frozen=True)
class Report:
    """All that was found; as a dict it is what ``--json`` prints."""

    treadle: Build
    python: Interpreter
    platform: Platform
    driver: Drivers
    kernel: dict[str, Feature]
    limits: Limits
    checks: list[Check]

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks' verdicts."""
        found = {check.verdict for check in self.checks}
        return "problem" if "problem" in found else "warning" if "warning" in found else "ok"


def examine() -> Report:
    """Look at everything, run the self-test, and report; takes about a tenth of a second."""
    driver, features, limits = _drivers(), kernel_features(), _limits()
    build = _build_facts()
    checks = [_check_build(build), _check_driver(driver)]
    if driver.in_use == "epoll":
        checks.append(_check_timers(features["epoll_pwait2"]))
    checks += [_check_open_files(limits), _check_backlog(limits)]
    if driver.in_use is not None:
        checks += self_test()
    return Report(build, _interpreter(), _platform(), driver, features, limits, checks)


# facts ---------------------------------------------------------------------------------------


def _build_facts() -> Build:
    return Build(
        version=treadle.__version__,
        compiled=treadle.COMPILED,
        why_pure=_build.WHY_PURE,
        folder=str(Path(treadle.__file__).parent),
        uncompiled=_uncompiled() if treadle.COMPILED else [],
    )


def _uncompiled() -> list[str]:
    """Return the modules that have a ``.pxd`` beside them and no compiled form."""
    folder = Path(treadle.__file__).parent
    linux = "epoll" in available_drivers()
    elsewhere = [] if linux else list((folder / "_drivers").glob("epoll*.pxd"))
    found = [
        declarations.relative_to(folder.parent).with_suffix("")
        for declarations in folder.rglob("*.pxd")
        if declarations.stem != "__init__"
        and declarations.with_suffix(".py").exists()
        and declarations not in elsewhere
        and not any(declarations.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES)
    ]
    return sorted(".".join(path.parts) for path in found)


def _interpreter() -> Interpreter:
    return Interpreter(
        platform.python_version(), platform.python_implementation(), sys.executable or "unknown"
    )


def _platform() -> Platform:
    libc = " ".join(platform.libc_ver()).strip()
    return Platform(platform.system(), platform.release(), platform.machine(), libc)


def _drivers() -> Drivers:
    available, asked = available_drivers(), os.environ.get("TREADLE_DRIVER")
    try:
        return Drivers(make_driver().name, available, asked, None)
    except ValueError as exc:
        return Drivers(None, available, asked, str(exc))
    except Exception as exc:  # a compiled module that is missing or too old fails in many ways
        return Drivers(None, available, asked, f"the driver's module does not load, {exc!r}")


def _limits() -> Limits:
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    connections = None if soft is None else max(0, soft - OWN_FILES)
    return Limits(soft, hard, _sysctl("net/core/somaxconn"), connections)


def _sysctl(name: str) -> int | None:
    """Return a kernel setting, or None where there is none of that name."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


# what the kernel can do ----------------------------------------------------------------------
# The numbers are the same on every architecture but Alpha: calls added since Linux 5.1 share them.

_IO_URING_SETUP = 425
_PIDFD_OPEN = 434
_EPOLL_PWAIT2 = 441


def kernel_features() -> dict[str, Feature]:
    """Try each system call that a driver uses, or might; leaves nothing open."""
    features = {name: _try(probe) for name, probe in _PROBES.items()}
    features["io_uring"] = _explain_io_uring(features["io_uring"])
    return features


def _try(probe: Callable[[], None]) -> Feature:
    if sys.platform != "linux":
        return Feature("missing", "Linux has it")
    try:
        probe()
    except OSError as exc:
        return _refusal(exc)
    except (ImportError, AttributeError) as exc:  # ctypes or os.eventfd: left out of this Python
        return Feature("unknown", f"this Python cannot ask: {exc}")
    return Feature("usable")


def _refusal(exc: OSError) -> Feature:
    code = errno.errorcode.get(exc.errno or 0, str(exc.errno))
    if exc.errno == errno.ENOSYS:
        return Feature("missing", f"{code}: not in this kernel, or hidden by a sandbox")
    if exc.errno in (errno.EPERM, errno.EACCES):
        return Feature("forbidden", f"{code}: by a sandbox or an administrator")
    return Feature("failed", f"{code}: {exc.strerror}")


def _explain_io_uring(feature: Feature) -> Feature:
    """Say more where the kernel does: the setting exists when io_uring was built in."""
    disabled = _sysctl("kernel/io_uring_disabled")
    if feature.state == "forbidden" and disabled:
        return Feature("forbidden", f"EPERM: kernel.io_uring_disabled is {disabled}")
    if feature.state == "missing" and disabled is not None:
        return Feature("forbidden", "ENOSYS, though the kernel has it: hidden by a sandbox")
    return feature


def _system_call(number: int, *arguments: Any) -> int:
    """Make a system call that Python has no function for; return its result or raise OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    # an int would be passed with half of its register undefined
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in (number, *arguments)]
    result = int(libc.syscall(*words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _try_epoll_pwait2() -> None:
    import ctypes

    events = ctypes.create_string_buffer(16)  # one struct epoll_event, or a little more
    no_time = (ctypes.c_int64 * 2)(0, 0)  # struct __kernel_timespec
    with select.epoll() as poll:
        _system_call(_EPOLL_PWAIT2, poll.fileno(), events, 1, no_time, None, 8)


def _try_eventfd() -> None:
    os.close(os.eventfd(0))


def _try_pidfd_open() -> None:
    os.close(_system_call(_PIDFD_OPEN, os.getpid(), 0))


def _try_io_uring() -> None:
    import ctypes

    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, all zero
    os.close(_system_call(_IO_URING_SETUP, 1, parameters))


_PROBES: dict[str, Callable[[], None]] = {
    "epoll_pwait2": _try_epoll_pwait2,
    "eventfd": _try_eventfd,
    "pidfd_open": _try_pidfd_open,
    "io_uring": _try_io_uring,
}


# checks --------------------------------------------------------------------------------------


def _check_build(build: Build) -> Check:
    if build.uncompiled:
        return Check(
            "build",
            "problem",
            f"Compiled modules are missing: {', '.join(build.uncompiled)}.",
            "Install treadle anew for this Python.",
        )
    if not build.compiled:
        return Check(
            "build",
            "warning",
            f"treadle runs uncompiled, which is slow: {build.why_pure}.",
            "Unset TREADLE_PURE, and install treadle without it.",
        )
    return Check("build", "ok", "treadle runs compiled.")


def _check_driver(driver: Drivers) -> Check:
    if driver.in_use is None:
        advice = "Install treadle anew for this Python."
        if driver.asked and driver.asked not in driver.available:
            advice = "Unset TREADLE_DRIVER, or set it to a driver that is available."
        return Check("driver", "problem", f"No loop can be made: {driver.obstacle}.", advice)
    return Check("driver", "ok", f"The driver is {driver.in_use}.")


def _check_timers(epoll_pwait2: Feature) -> Check:
    if epoll_pwait2.state != "usable":
        return Check(
            "timers",
            "warning",
            f"Timers are rounded up to milliseconds, for epoll_pwait2 is {epoll_pwait2}.",
            "Use Linux 5.11 or newer, and allow epoll_pwait2 in the sandbox's (seccomp) profile.",
        )
    return Check("timers", "ok", "Timers are not rounded to milliseconds: epoll_pwait2 is usable.")


def _check_open_files(limits: Limits) -> Check:
    soft, hard = limits.open_files_soft, limits.open_files_hard
    if soft is None:
        return Check("open files", "ok", "Open files are not limited.")
    sentence = f"{soft} open files are allowed: room for about {limits.connections} connections."
    if soft >= FEW_FILES:
        return Check("open files", "ok", sentence)
    if hard is None or hard > soft:
        most = "without limit" if hard is None else f"up to {hard}"
        advice = f"Raise the soft limit before the program starts ({most}): ulimit -n NUMBER."
    else:
        advice = "Have the hard limit raised: LimitNOFILE= in a systemd unit, --ulimit in docker."
    return Check("open files", "warning", sentence, advice)


def _check_backlog(limits: Limits) -> Check:
    if limits.somaxconn is None:
        return Check("backlog", "ok", "The kernel names no limit for connections that wait.")
    sentence = f"{limits.somaxconn} connections may wait to be accepted, per listener."
    if limits.somaxconn < BACKLOG:
        advice = f"Raise it, a server asks for {BACKLOG}: sysctl -w net.core.somaxconn=4096."
        return Check("backlog", "warning", sentence, advice)
    return Check("backlog", "ok", sentence)


# the self-test -------------------------------------------------------------------------------


class SelfTestError(Exception):
    """What ran was not what was promised; the text is a sentence."""


@dataclass(frozen=True)
class SelfTest:
    """A promise of the loop, tried on a loop of its own."""

    name: str
    run: Callable[[], Coroutine[Any, Any, str]]  # returns the sentence for when all is well
    advice: str


def self_test() -> list[Check]:
    """Run the self-tests in a child process; those after a hang or a crash are left out."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run_self_tests, args=(sender,), daemon=True)
    child.start()
    sender.close()  # ours; the child's is then the last, and its end is noticed
    checks: list[Check] = []
    try:
        for test in SELF_TESTS:
            if not receiver.poll(PATIENCE):
                return [*checks, _failed(test, f"There was no result after {PATIENCE:g} s.")]
            checks.append(receiver.recv())
    except EOFError:
        child.join()
        checks.append(_failed(SELF_TESTS[len(checks)], _obituary(child.exitcode)))
    finally:
        child.kill()
        child.join()
        receiver.close()
    return checks


def _run_self_tests(report: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    for test in SELF_TESTS:
        report.send(_run_self_test(test))


def _run_self_test(test: SelfTest) -> Check:
    try:
        with treadle.Runner() as runner:
            sentence = runner.run(test.run())
    except SelfTestError as exc:
        return _failed(test, str(exc))
    except Exception as exc:
        return _failed(test, f"It raised {exc!r}.")
    return Check(test.name, "ok", sentence)


def _failed(test: SelfTest, sentence: str) -> Check:
    return Check(test.name, "problem", sentence, test.advice)


def _obituary(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"The process that tried it was ended by {signal.Signals(-exitcode).name}."
    return f"The process that tried it ended with exit code {exitcode}."


async def _loop_runs() -> str:
    loop: Any = asyncio.get_running_loop()
    if not isinstance(loop, treadle.Loop):
        raise SelfTestError(f"The loop that ran is not treadle's: {loop!r}.")
    return f"A loop runs, on the driver {loop.driver_name}."


async def _timer_fires() -> str:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 0.01
    fired: asyncio.Future[float] = loop.create_future()
    loop.call_at(deadline, lambda: fired.set_result(loop.time()))
    late_us = (await fired - deadline) * 1e6
    if late_us < -0.001:  # a nanosecond is the clock's resolution
        raise SelfTestError(f"A timer fired {-late_us:.3f} µs too early.")
    return f"A timer fired {max(0.0, late_us):.0f} µs after its deadline."


async def _thread_wakes() -> str:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    # by then the loop waits in the kernel, without a timer that would end the wait
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, (woken.set_result, None))
    thread.start()
    await woken
    thread.join()
    return "Another thread woke a waiting loop."


async def _echo_returns() -> str:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(MESSAGE)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    if answer != MESSAGE:
        raise SelfTestError(
            f"{len(MESSAGE)} bytes went through a TCP connection, and {len(answer)} that are not "
            "the same came back."
        )
    return f"{len(MESSAGE)} bytes went through a TCP connection on 127.0.0.1 and back."


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


_REPORT_IT = "Please report it with what treadle doctor --json prints"

SELF_TESTS = (
    SelfTest("loop", _loop_runs, f"{_REPORT_IT}; TREADLE_DRIVER=selector may work meanwhile."),
    SelfTest("timer", _timer_fires, f"{_REPORT_IT}."),
    SelfTest("wake-up", _thread_wakes, f"{_REPORT_IT}."),
    SelfTest(
        "echo", _echo_returns, f"Does this sandbox allow TCP on 127.0.0.1? If so: {_REPORT_IT}."
    ),
)
