"""The doctor is judged as a process, on this machine as it is and on ones that are made worse."""

from __future__ import annotations

import errno
import json
import os
import platform
import pty
import re
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import treadle
from treadle import _build, doctor
from treadle._drivers import available_drivers
from treadle.doctor import Check, Feature, Report

pytest.importorskip("click")

PATIENCE = 60  # seconds that a process may take
DOCTOR = ("-m", "treadle", "doctor")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")

SECCOMP = """\
import ctypes, struct, sys

def instruction(code, jump_true, jump_false, k):
    return struct.pack("HBBI", code, jump_true, jump_false, k)

LOAD, EQUAL, ANSWER = 0x20, 0x15, 0x06
program = instruction(LOAD, 0, 0, 0)  # the number of the system call
for number, error in {calls!r}.items():
    program += instruction(EQUAL, 0, 1, number) + instruction(ANSWER, 0, 0, 0x00050000 | error)
program += instruction(ANSWER, 0, 0, 0x7FFF0000)  # everything else is allowed
code = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None, use_errno=True)
descriptor = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS: then it needs no privileges
assert libc.prctl(22, 2, descriptor, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""
"""Makes the kernel answer some system calls with an error, in this process (seccomp(2))."""

BROKEN = """\
import asyncio, signal, sys
import treadle
from treadle import doctor
from treadle.__main__ import main
{patch}
sys.argv = ["treadle", "doctor", "--json"]
main()
"""


@pytest.fixture(autouse=True)
def patience() -> None:
    """No limit for the test as a whole: each process that it starts has one of its own."""


def environment(**more: str) -> dict[str, str]:
    """The environment of these tests without what would change the outcome, and with `more`."""
    ours = {"TREADLE_DRIVER", "PYTHONASYNCIODEBUG", "FORCE_COLOR", "NO_COLOR"}
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def run(
    *arguments: str, before: Callable[[], None] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run this Python with `arguments`, `before` having been called in the new process."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment(**variables),
        preexec_fn=before,
        timeout=PATIENCE,
    )


def examined(
    *arguments: str, before: Callable[[], None] | None = None, **variables: str
) -> tuple[int, dict[str, Any]]:
    """Exit code and report of ``treadle doctor --json``, or of the `arguments` given."""
    done = run(*(arguments or (*DOCTOR, "--json")), before=before, **variables)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def broken(patch: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and checks, by name, of a doctor in whose process `patch` was executed first."""
    code, report = examined("-c", BROKEN.format(patch=textwrap.dedent(patch)))
    return code, checks_of(report)


def checks_of(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The checks of a report by name."""
    return {check["name"]: check for check in report["checks"]}


def open_files(soft: int, hard: int) -> Callable[[], None]:
    """A function that limits open files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# a machine on which treadle works --------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """The report of a doctor on this machine as it is."""
    code, report = examined()
    assert code == 0
    return report


def test_the_report_names_what_is_running(healthy: dict[str, Any]) -> None:
    assert healthy["treadle"] == {
        "version": treadle.__version__,
        "compiled": treadle.COMPILED,
        "why_pure": _build.WHY_PURE,
        "folder": str(Path(treadle.__file__).parent),
        "uncompiled": [],
    }
    assert healthy["python"] == {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
    }
    assert healthy["platform"]["kernel"] == platform.release()
    assert healthy["driver"] == {
        "in_use": available_drivers()[0],
        "available": available_drivers(),
        "asked": None,
        "obstacle": None,
    }


def test_the_report_names_the_limits(healthy: dict[str, Any]) -> None:
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    limits = healthy["limits"]
    assert (limits["open_files_soft"], limits["open_files_hard"]) == (soft, hard)
    assert limits["connections"] is None or 0 < limits["connections"] < limits["open_files_soft"]
    somaxconn = Path("/proc/sys/net/core/somaxconn")
    if somaxconn.exists():
        assert limits["somaxconn"] == int(somaxconn.read_text())


def test_the_self_test_passes(healthy: dict[str, Any]) -> None:
    checks = checks_of(healthy)
    names = ["loop", "timer", "wake-up", "echo"]
    assert list(checks)[-4:] == names
    assert [checks[name]["verdict"] for name in names] == ["ok"] * 4
    assert available_drivers()[0] in checks["loop"]["sentence"]


def test_every_check_has_a_sentence_and_advice_unless_all_is_well(healthy: dict[str, Any]) -> None:
    for check in healthy["checks"]:
        assert check["verdict"] in {"ok", "warning"}
        assert check["sentence"].endswith(".")
        assert (check["advice"] == "") == (check["verdict"] == "ok")


def test_the_plain_text_says_the_same(healthy: dict[str, Any]) -> None:
    done = run(*DOCTOR)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["treadle", f"{treadle.__version__},"]
    for name, check in checks_of(healthy).items():
        assert any(line.startswith(f"{check['verdict']:<9}{name}") for line in lines)
    for name, feature in healthy["kernel"].items():
        assert any(f"{name}: {feature['state']}" in line for line in lines)
    assert lines[-1] in {"All is well.", "1 warning.", "2 warnings."}


# a terminal ------------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """What a process prints on a terminal 200 columns wide."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=its,
        stderr=its,
        env=environment(TERM="xterm-256color", COLUMNS="200", **variables),
    ) as process:
        limit = threading.Timer(PATIENCE, process.kill)
        limit.start()
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError as exc:  # Linux tells the end of a terminal so
            if exc.errno != errno.EIO:
                raise
        os.close(ours)
        assert process.wait() == 0
        limit.cancel()
    return shown.decode()


def test_a_terminal_shows_verdicts_in_colour() -> None:
    pytest.importorskip("rich")
    assert re.search(r"\x1b\[32mok *\x1b\[0m", on_a_terminal(*DOCTOR))


def test_a_terminal_without_colour_shows_none() -> None:
    pytest.importorskip("rich")
    shown = on_a_terminal(*DOCTOR, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3\dm", shown)
    assert "A loop runs, on the driver" in shown


def test_a_terminal_without_rich_shows_plain_text() -> None:
    program = (
        "import sys; sys.modules['rich'] = None; sys.argv = ['treadle', 'doctor']; "
        "from treadle.__main__ import main; main()"
    )
    shown = on_a_terminal("-c", program)
    assert "\x1b" not in shown
    assert "A loop runs, on the driver" in shown


# warnings --------------------------------------------------------------------------------------


def test_an_uncompiled_treadle_is_a_warning_that_names_the_reason() -> None:
    code, report = examined(TREADLE_PURE="1")
    build = checks_of(report)["build"]
    assert (code, build["verdict"]) == (0, "warning")
    assert "TREADLE_PURE is set" in build["sentence"]
    assert report["treadle"]["compiled"] is False


@pytest.mark.parametrize(
    ("soft", "hard", "advice"),
    [(1000, 1000, "Have the hard limit raised"), (1000, 2000, "(up to 2000): ulimit -n")],
)
def test_few_open_files_are_a_warning(soft: int, hard: int, advice: str) -> None:
    code, report = examined(before=open_files(soft, hard))
    check = checks_of(report)["open files"]
    assert (code, check["verdict"]) == (0, "warning")
    assert check["sentence"].startswith("1000 open files are allowed: room for about 984 ")
    assert advice in check["advice"]
    assert (report["limits"]["connections"], report["verdict"]) == (984, "warning")


def test_a_short_queue_of_connections_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_sysctl", lambda name: 64)
    check = doctor._check_backlog(doctor._limits())
    assert check.verdict == "warning"
    assert "sysctl -w net.core.somaxconn" in check.advice


# the kernel, asked ------------------------------------------------------------------------------


@linux_only
def test_asking_the_kernel_leaves_nothing_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    features = doctor.kernel_features()
    assert list(features) == ["epoll_pwait2", "eventfd", "pidfd_open", "io_uring"]
    assert set(os.listdir("/proc/self/fd")) == before


@linux_only
def test_what_a_sandbox_forbids_is_found_by_asking() -> None:
    seccomp = SECCOMP.format(calls={425: errno.EPERM, 434: errno.ENOSYS, 441: errno.EPERM})
    program = seccomp + BROKEN.format(patch="")
    code, report = examined("-c", program)
    kernel, checks = report["kernel"], checks_of(report)
    assert code == 0
    assert kernel["io_uring"]["state"] == "forbidden"
    assert kernel["pidfd_open"]["state"] == "missing"
    assert kernel["epoll_pwait2"]["state"] == "forbidden"
    assert checks["timer"]["verdict"] == "ok"
    if report["driver"]["in_use"] == "epoll":
        assert checks["timers"]["verdict"] == "warning"
        assert "EPERM" in checks["timers"]["sentence"]


@pytest.mark.parametrize(
    ("disabled", "answer", "found"),
    [
        (2, errno.EPERM, Feature("forbidden", "EPERM: kernel.io_uring_disabled is 2")),
        (0, errno.EPERM, Feature("forbidden", "EPERM: by a sandbox or an administrator")),
        (
            0,
            errno.ENOSYS,
            Feature("forbidden", "ENOSYS, though the kernel has it: hidden by a sandbox"),
        ),
        (
            None,
            errno.ENOSYS,
            Feature("missing", "ENOSYS: not in this kernel, or hidden by a sandbox"),
        ),
        (None, errno.ENOMEM, Feature("failed", f"ENOMEM: {os.strerror(errno.ENOMEM)}")),
    ],
)
def test_a_refused_io_uring_is_explained(
    monkeypatch: pytest.MonkeyPatch, disabled: int | None, answer: int, found: Feature
) -> None:
    def refuse() -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "_sysctl", lambda name: disabled)
    monkeypatch.setitem(doctor._PROBES, "io_uring", refuse)
    assert doctor.kernel_features()["io_uring"] == found


def test_a_python_without_ctypes_can_still_be_examined() -> None:
    code, report = examined(
        "-c", "import sys; sys.modules['ctypes'] = None\n" + BROKEN.format(patch="")
    )
    assert code == 0
    assert report["kernel"]["io_uring"]["state"] == (
        "unknown" if sys.platform == "linux" else "missing"
    )


# problems --------------------------------------------------------------------------------------


def test_a_driver_that_does_not_exist_is_a_problem() -> None:
    code, report = examined(TREADLE_DRIVER="nonsense")
    checks = checks_of(report)
    assert (code, report["verdict"]) == (1, "problem")
    assert "no driver 'nonsense' here" in checks["driver"]["sentence"]
    assert checks["driver"]["advice"].startswith("Unset TREADLE_DRIVER")
    assert "loop" not in checks
    done = run(*DOCTOR, TREADLE_DRIVER="nonsense")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\nproblem  driver      No loop can be made: no driver 'nonsense' here" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 problem")


def test_a_driver_that_cannot_start_is_a_problem() -> None:
    code, checks = broken(
        """\
        from treadle._drivers.selector import SelectorDriver
        class Faulty(SelectorDriver):
            def open(self):
                raise OSError(24, "Too many open files")
        import treadle.aio.loop
        treadle.aio.loop.make_driver = lambda name=None: Faulty()
        """
    )
    assert (code, checks["loop"]["verdict"]) == (1, "problem")
    assert "Too many open files" in checks["loop"]["sentence"]


def test_bytes_that_come_back_changed_are_a_problem() -> None:
    code, checks = broken(
        """\
        async def echo(reader, writer):
            writer.write((await reader.read())[::-1])
            writer.close()
        doctor._echo = echo
        """
    )
    assert (code, checks["echo"]["verdict"]) == (1, "problem")
    assert "1048576 that are not the same came back." in checks["echo"]["sentence"]
    assert checks["wake-up"]["verdict"] == "ok"


def test_a_timer_that_is_early_is_a_problem() -> None:
    code, checks = broken(
        """\
        def call_at(self, when, callback, *args, context=None):
            return self.call_soon(callback, *args, context=context)
        treadle.Loop.call_at = call_at
        """
    )
    assert (code, checks["timer"]["verdict"]) == (1, "problem")
    assert checks["timer"]["sentence"].endswith(" µs too early.")


def test_a_loop_that_is_not_woken_is_a_problem_and_no_hang() -> None:
    code, checks = broken(
        """\
        treadle.Loop.call_soon_threadsafe = lambda self, *args, **more: None
        doctor.SELF_TESTS = doctor.SELF_TESTS[2:]
        doctor.PATIENCE = 0.2
        """
    )
    assert (code, checks["wake-up"]["verdict"]) == (1, "problem")
    assert checks["wake-up"]["sentence"] == "There was no result after 0.2 s."
    assert "echo" not in checks


def test_a_crash_is_a_problem_that_names_the_signal() -> None:
    code, checks = broken(
        """\
        async def crash():
            signal.raise_signal(signal.SIGKILL)
        loop, timer, *others = doctor.SELF_TESTS
        doctor.SELF_TESTS = (loop, doctor.SelfTest("timer", crash, "Report it."), *others)
        """
    )
    assert (code, checks["loop"]["verdict"], checks["timer"]["verdict"]) == (1, "ok", "problem")
    assert checks["timer"]["sentence"].endswith("was ended by SIGKILL.")
    assert "wake-up" not in checks


def test_a_loop_of_somebody_else_is_a_problem() -> None:
    code, checks = broken("treadle.Runner = asyncio.Runner")
    assert (code, checks["loop"]["verdict"]) == (1, "problem")
    assert "is not treadle's" in checks["loop"]["sentence"]


def copied(folder: Path, *, without: str) -> str:
    """Copy treadle without the files that `without` matches; returns the folder to import from."""
    shutil.copytree(
        Path(treadle.__file__).parent,
        folder / "treadle",
        ignore=shutil.ignore_patterns("__pycache__", without, ".build-pure"),
    )
    return str(folder)


@pytest.mark.skipif(not treadle.COMPILED, reason="about compiled modules")
def test_a_compiled_module_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    code, report = examined(PYTHONPATH=copied(tmp_path, without="selector.*.so"))
    build = checks_of(report)["build"]
    assert report["treadle"]["folder"] == str(tmp_path / "treadle")
    assert report["treadle"]["uncompiled"] == ["treadle._drivers.selector"]
    assert (code, build["verdict"]) == (1, "problem")
    assert build["sentence"] == "Compiled modules are missing: treadle._drivers.selector."


@pytest.mark.skipif("epoll" not in available_drivers(), reason="about the compiled driver")
def test_a_driver_whose_module_is_missing_is_a_problem(tmp_path: Path) -> None:
    code, report = examined(PYTHONPATH=copied(tmp_path, without="epoll.*.so"))
    driver = checks_of(report)["driver"]
    assert (code, driver["verdict"]) == (1, "problem")
    assert "the driver's module does not load" in driver["sentence"]
    assert driver["advice"].startswith("Install treadle anew")


def test_every_module_with_declarations_counts_as_one_to_be_compiled(tmp_path: Path) -> None:
    folder = copied(tmp_path, without="*.so")
    program = "from treadle import doctor; print(*doctor._uncompiled())"
    found = run("-c", program, PYTHONPATH=folder, TREADLE_PURE="1").stdout.split()
    assert {"treadle._core.wheel", "treadle._drivers.base", "treadle._net.tcp"} <= set(found)
    assert not [name for name in found if "_sys" in name or "_native" in name]


def test_without_any_compiled_module_the_last_line_says_what_to_do(tmp_path: Path) -> None:
    folder = copied(tmp_path, without="*.so")
    done = run(*DOCTOR, PYTHONPATH=folder, TREADLE_PURE="")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: treadle's compiled modules for Python ")
    assert last.endswith("set TREADLE_PURE=1.")


# the verdict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [(["ok"], "ok"), (["ok", "warning"], "warning"), (["problem", "warning", "ok"], "problem")],
)
def test_the_verdict_is_the_worst(verdicts: list[Any], worst: str) -> None:
    checks = [Check("name", verdict, "A sentence.") for verdict in verdicts]
    empty: Any = None
    assert Report(empty, empty, empty, empty, {}, empty, checks).verdict == worst
