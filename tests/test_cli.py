"""`treadle run` is judged as its users would: as a process, by what python does with the same."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest

import treadle

pytest.importorskip("click")

PATIENCE = 60  # seconds that a process may take
TREADLE = ("-m", "treadle")
RUN = (*TREADLE, "run")

PROBE = '''\
"""What a program can see of how it was started."""
import json, sys
main = sys.modules["__main__"]
print(json.dumps({
    "argv": sys.argv,
    "path": sys.path,
    "name": __name__,
    "file": __file__,
    "doc": __doc__,
    "package": __package__,
    "cached": __cached__,
    "spec": repr(__spec__),
    "loader": repr(__loader__),
    "builtins": type(__builtins__).__name__,
    "names": sorted(globals()),
    "is_main": vars(main) is globals(),
    "compiled_as": sys._getframe().f_code.co_filename,
}))
'''

WHOSE_NAMES = """\
import asyncio
from asyncio.queues import Queue
print(asyncio.Lock.__module__, Queue.__module__, asyncio.gather.__module__.partition(".")[0])
"""

WHICH_LOOP = """\
import asyncio
async def main():
    loop = asyncio.get_running_loop()
    print(type(loop).__module__, loop.driver_name, loop.get_debug())
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def patience() -> None:
    """No limit for the test as a whole: each process that it starts has one of its own."""


def environment(**more: str) -> dict[str, str]:
    """The environment of these tests without what would change the outcome, and with `more`."""
    for_treadle = {"TREADLE_DRIVER", "PYTHONASYNCIODEBUG", "FORCE_COLOR", "NO_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in for_treadle}
    return kept | {"COLUMNS": "200"} | more


def python(
    folder: Path, *arguments: str, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run this Python with `arguments` in `folder`."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=environment(**variables),
        timeout=PATIENCE,
    )


def outcome(finished: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit code, stdout, and stderr without what differs from process to process."""
    anywhere = re.compile(r" at 0x[0-9a-f]+")
    return (
        finished.returncode,
        anywhere.sub("", finished.stdout),
        anywhere.sub("", finished.stderr),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the probe as a script, a link, a module, a package, a directory, a zip file."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "probe.py").write_text(PROBE)
    (tmp_path / "link.py").symlink_to(tmp_path / "scripts" / "probe.py")
    (tmp_path / "module.py").write_text(PROBE)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(PROBE)
    (tmp_path / "package" / "part.py").write_text(PROBE)
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", PROBE)
    return tmp_path


def script(folder: Path, text: str, name: str = "script.py") -> str:
    """Write a script; returns its name."""
    (folder / name).write_text(textwrap.dedent(text))
    return name


# what a program sees -------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [(), ("-P",), ("-I",)], ids=["no flag", "-P", "-I"])
@pytest.mark.parametrize(
    "program",
    [
        ("scripts/probe.py",),
        ("./scripts/../scripts/probe.py",),
        ("link.py",),
        ("package",),
        ("package/",),
        ("program.zip",),
        ("-m", "module"),
        ("-m", "package"),
        ("-m", "package.part"),
        ("-",),
        ("--", "scripts/probe.py"),
    ],
    ids=" ".join,
)
def test_a_program_sees_what_python_would_show_it(
    folder: Path, program: tuple[str, ...], flag: tuple[str, ...]
) -> None:
    arguments = (*program, "--help", "-m", "", "--debug", "--", "\udcff")
    expected = outcome(python(folder, *flag, *arguments, given=PROBE))
    assert outcome(python(folder, *flag, *RUN, *arguments, given=PROBE)) == expected


def test_the_probe_tells_what_it_should(folder: Path) -> None:
    seen = json.loads(python(folder, *RUN, "scripts/probe.py", "--help").stdout)
    assert seen["argv"] == ["scripts/probe.py", "--help"]
    assert seen["name"] == "__main__"
    assert seen["file"] == str(folder / "scripts" / "probe.py")
    assert seen["path"][0] == str(folder / "scripts")
    assert seen["is_main"] is True


def test_an_absolute_path_is_taken_as_it_is(folder: Path) -> None:
    path = str(folder / "scripts" / "probe.py")
    expected = outcome(python(folder, path))
    assert expected[0] == 0
    assert outcome(python(folder, *RUN, path)) == expected


def test_a_compiled_script_runs_without_its_source(tmp_path: Path) -> None:
    name = script(tmp_path, "print(__name__, __file__)\n")
    python(tmp_path, "-c", f"import py_compile; py_compile.compile({name!r}, 'script.pyc')")
    (tmp_path / name).unlink()
    done = python(tmp_path, *RUN, "script.pyc")
    assert outcome(done) == (0, f"__main__ {tmp_path / 'script.pyc'}\n", "")


def test_a_module_beside_the_script_wins_over_what_the_command_itself_imports(
    tmp_path: Path,
) -> None:
    (tmp_path / "scripts").mkdir()
    script(tmp_path, "WHOSE = 'mine'\n", "scripts/click.py")
    name = script(tmp_path, "import click; print(click.WHOSE)\n", "scripts/script.py")
    assert outcome(python(tmp_path, *RUN, name)) == (0, "mine\n", "")


def test_classes_of_the_program_travel_to_processes_that_are_started_anew(tmp_path: Path) -> None:
    name = script(
        tmp_path,
        """\
        import multiprocessing

        class Parcel:
            def __init__(self, content):
                self.content = content

        def deliver(parcel):
            return Parcel(parcel.content + 1)

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(deliver, (Parcel(41),)).content)
        """,
    )
    assert outcome(python(tmp_path, *RUN, name)) == (0, "42\n", "")
    assert outcome(python(tmp_path, *RUN, "-m", "script")) == (0, "42\n", "")


# the loop ------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [("script.py",), ("-m", "script")], ids=["script", "module"])
def test_asyncio_run_lands_on_treadle(tmp_path: Path, program: tuple[str, ...]) -> None:
    script(tmp_path, WHICH_LOOP)
    done = python(tmp_path, *RUN, *program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[0] == "treadle"


@pytest.mark.parametrize("program", [("script.py",), ("-m", "script")], ids=["script", "module"])
def test_the_program_s_queues_and_locks_are_treadle_s(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    script(tmp_path, WHOSE_NAMES)
    done = python(tmp_path, *RUN, *program)
    assert outcome(done) == (0, "treadle treadle treadle\n", "")


def test_no_accelerate_leaves_asyncio_its_names(tmp_path: Path) -> None:
    name = script(tmp_path, WHOSE_NAMES)
    done = python(tmp_path, *RUN, "--no-accelerate", name)
    assert outcome(done) == (0, "asyncio.locks asyncio.queues asyncio\n", "")


def test_no_accelerate_keeps_treadle_s_loop(tmp_path: Path) -> None:
    name = script(tmp_path, WHICH_LOOP)
    done = python(tmp_path, *RUN, "--no-accelerate", name)
    assert done.stdout.split()[0] == "treadle"


def test_no_accelerate_after_the_program_belongs_to_the_program(tmp_path: Path) -> None:
    name = script(tmp_path, f"import sys; print(sys.argv[1:])\n{WHOSE_NAMES}")
    done = python(tmp_path, *RUN, name, "--no-accelerate")
    assert outcome(done) == (0, "['--no-accelerate']\ntreadle treadle treadle\n", "")


def test_a_name_that_was_patched_before_the_program_is_a_warning(tmp_path: Path) -> None:
    script(tmp_path, "import asyncio\nasyncio.gather = print\n", "sitecustomize.py")
    name = script(tmp_path, WHOSE_NAMES)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = python(tmp_path, *RUN, name, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (0, "asyncio.locks asyncio.queues builtins\n")
    assert "RuntimeWarning: asyncio.gather is not asyncio's own" in done.stderr
    assert "treadle run --no-accelerate" in done.stderr


def test_the_doctor_leaves_asyncio_its_names(tmp_path: Path) -> None:
    name = script(
        tmp_path,
        f"""\
        import sys
        sys.argv[1:] = ["doctor"]
        from treadle.cli import main
        main()
        {textwrap.indent(WHOSE_NAMES, " " * 8).strip()}
        """,
    )
    done = python(tmp_path, name)
    assert done.stdout.splitlines()[-1] == "asyncio.locks asyncio.queues asyncio"


def test_debug_is_asyncio_s_debug_mode(tmp_path: Path) -> None:
    name = script(tmp_path, WHICH_LOOP)
    assert python(tmp_path, *RUN, name).stdout.split()[2] == "False"
    assert python(tmp_path, *RUN, "--debug", name).stdout.split()[2] == "True"


def test_debug_is_refused_where_python_would_not_hear_of_it(tmp_path: Path) -> None:
    name = script(tmp_path, WHICH_LOOP)
    done = python(tmp_path, "-I", *RUN, "--debug", name)
    assert outcome(done) == (
        2,
        "",
        "treadle: --debug has no effect under python -E or -I: use python -X dev\n",
    )


def test_the_driver_can_be_chosen(tmp_path: Path) -> None:
    name = script(tmp_path, WHICH_LOOP)
    done = python(tmp_path, *RUN, "--driver", "selector", name)
    assert done.stdout.split()[1] == "selector"


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_driver_that_does_not_exist_is_one_line(tmp_path: Path, way: str) -> None:
    name = script(tmp_path, "print('ran')")
    if way == "option":
        done = python(tmp_path, *RUN, "--driver", "nonsense", name)
    else:
        done = python(tmp_path, *RUN, name, TREADLE_DRIVER="nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("treadle: no driver 'nonsense' here: choose one of ")


# the end of a program ------------------------------------------------------------------------

ENDINGS = {
    "the last line": "print('done')",
    "exit with None": "import sys; sys.exit(None)",
    "exit with a number": "import sys; sys.exit(3)",
    "exit with a text": "import sys; sys.exit('that was it')",
    "exit with an object": "import sys; sys.exit([1, 2])",
    "an exception": "def f():\n    1 / 0\nf()",
    "a chain of exceptions": """\
        def f():
            try:
                {}["key"]
            except KeyError as exc:
                raise ValueError("no key") from exc
        try:
            f()
        except ValueError:
            raise RuntimeError("no value")
        """,
    "a group of exceptions": "raise ExceptionGroup('two', [ValueError(1), TypeError(2)])",
    "a wrong name": "value = 1\nprint(valve)",
    "a missing import": "import there_is_no_such_module",
    "an import with a mistake": "import mistake",
    "a mistake in the syntax": "x = (",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "a hook for exceptions": """\
        import sys, traceback
        def hook(kind, exc, tb):
            print(kind.__name__, exc, [frame.name for frame in traceback.extract_tb(tb)])
        sys.excepthook = hook
        1 / 0
        """,
    "a hook that fails": "import sys\nsys.excepthook = lambda *a: 1 / 0\nraise ValueError",
    "a hook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(7)\nraise ValueError",
    "exit handlers": """\
        import atexit, sys
        kept = "still here"
        @atexit.register
        def last():
            print(sys.modules["__main__"].kept, sys.last_value, sys.last_traceback.tb_lineno)
        raise ValueError("why")
        """,
    "a thread that outlives the program": """\
        import sys, threading
        kept = "still here"
        def work():
            threading.main_thread().join()
            print(sys.modules["__main__"].kept)
        threading.Thread(target=work).start()
        """,
    "a deprecated call": "import warnings; warnings.warn('old', DeprecationWarning)",
    "a class that is pickled": """\
        import pickle
        class Thing: pass
        print(type(pickle.loads(pickle.dumps(Thing()))))
        """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_as_it_does_under_python(tmp_path: Path, ending: str) -> None:
    script(tmp_path, "def f():\n    raise ValueError('imported')\nf()\n", "mistake.py")
    name = script(tmp_path, ENDINGS[ending])
    expected = outcome(python(tmp_path, name))
    assert outcome(python(tmp_path, *RUN, name)) == expected


@pytest.mark.parametrize(
    ("text", "code", "err"),
    [
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("raise SystemExit('sorry')", 1, "sorry\n"),
    ],
)
def test_exit_codes_are_the_program_s(tmp_path: Path, text: str, code: int, err: str) -> None:
    script(tmp_path, text)
    for program in (("script.py",), ("-m", "script")):
        assert outcome(python(tmp_path, *RUN, *program)) == (code, "", err)


@pytest.mark.parametrize("program", [("script.py",), ("-m", "script")], ids=["script", "module"])
def test_a_traceback_has_the_program_s_frames_only(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    script(tmp_path, "def f():\n    raise ValueError('mine')\nf()\n")
    done = python(tmp_path, *RUN, *program)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.findall(r'File "(.*)", line \d+, in (.*)', done.stderr) == [
        (str(tmp_path / "script.py"), "<module>"),
        (str(tmp_path / "script.py"), "f"),
    ]
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("\nValueError: mine\n")


@pytest.mark.parametrize("program", [("script.py",), ("-m", "script")], ids=["script", "module"])
def test_a_mistake_in_the_syntax_is_reported_without_frames(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    script(tmp_path, "x = (")
    done = python(tmp_path, *RUN, *program)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f'  File "{tmp_path / "script.py"}", line 1\n    x = (\n')
    assert done.stderr.count("File") == 1
    assert "SyntaxError: '(' was never closed" in done.stderr


def test_a_file_that_is_no_source_is_a_mistake_in_the_syntax(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_bytes(b"x = '\xe9'\n")
    done = python(tmp_path, *RUN, "script.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f'  File "{tmp_path / "script.py"}", line 1\n')
    assert "\nSyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xe9" in done.stderr


def test_a_package_that_fails_to_import_shows_its_own_frames(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    script(tmp_path, "1 / 0\n", "broken/__init__.py")
    script(tmp_path, "print('never')\n", "broken/__main__.py")
    done = python(tmp_path, *RUN, "-m", "broken")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.findall('File "(.*)", line', done.stderr) == [
        str(tmp_path / "broken" / "__init__.py")
    ]
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_an_exception_out_of_the_loop_begins_in_the_program(tmp_path: Path) -> None:
    name = script(
        tmp_path,
        """\
        import asyncio
        async def main():
            raise ValueError("in the loop")
        asyncio.run(main())
        """,
    )
    done = python(tmp_path, *RUN, name)
    files = re.findall(r'File "(.*)", line', done.stderr)
    assert files[0] == files[-1] == str(tmp_path / "script.py")
    assert not [file for file in files if re.search(r"cli\.py|__main__\.py|click|runpy", file)]


@pytest.mark.parametrize("program", [("script.py",), ("-m", "script")], ids=["script", "module"])
def test_ctrl_c_ends_the_process_by_the_signal(tmp_path: Path, program: tuple[str, ...]) -> None:
    script(
        tmp_path,
        """\
        import asyncio, atexit
        atexit.register(print, "cleaned up")
        async def main():
            print("ready", flush=True)
            await asyncio.get_running_loop().create_future()
        asyncio.run(main())
        """,
    )
    with subprocess.Popen(
        [sys.executable, *RUN, *program],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        limit = threading.Timer(PATIENCE, process.kill)
        limit.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        limit.cancel()
    assert process.returncode == -signal.SIGINT
    assert out == "cleaned up\n"
    assert err.endswith("\nKeyboardInterrupt\n")


# what cannot be run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nowhere.py"], 2, "treadle: can't open file '{folder}/nowhere.py': [Errno 2] No such"),
        (["empty"], 1, "{python}: can't find '__main__' module in '{folder}/empty'"),
        (["-m", "nowhere"], 1, "{python}: No module named nowhere"),
        (["-m", "package.nowhere"], 1, "{python}: No module named package.nowhere"),
        (["-m", "empty"], 1, "{python}: No module named empty.__main__; 'empty' is a package"),
        (["-m", "os.path.nowhere"], 1, "{python}: Error while finding module specification for"),
        (["-m", ".nowhere"], 1, "{python}: Relative module names not supported"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_one_line(
    folder: Path, arguments: list[str], code: int, line: str
) -> None:
    (folder / "empty").mkdir()
    done = python(folder, *RUN, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    (told,) = done.stderr.splitlines()
    assert told.startswith(line.format(folder=folder, python=sys.executable))


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--nonsense", "script.py"]], ids=" ".join)
def test_a_command_line_that_makes_no_sense_is_told_the_usage(
    tmp_path: Path, arguments: list[str]
) -> None:
    script(tmp_path, "print('ran')")
    done = python(tmp_path, *RUN, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: treadle run [OPTIONS] {SCRIPT | -m MODULE} [ARGS]...\n")


# the command itself --------------------------------------------------------------------------


def test_version(tmp_path: Path) -> None:
    done = python(tmp_path, *TREADLE, "--version")
    assert outcome(done) == (0, f"treadle {treadle.__version__}\n", "")


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = python(tmp_path, *TREADLE, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^  (\w+) ", done.stdout, re.MULTILINE)[-2:] == ["doctor", "run"]


def test_the_installed_command_does_what_the_module_does(folder: Path) -> None:
    installed = script(
        folder,
        """\
        import sys
        from treadle.__main__ import main
        if __name__ == "__main__":
            sys.exit(main())
        """,
        "scripts/treadle-command",
    )
    script(folder, "import sys; sys.exit(3)", "exits.py")
    script(folder, "raise KeyboardInterrupt", "interrupted.py")
    for program in ("link.py", "exits.py", "interrupted.py"):
        assert outcome(python(folder, installed, "run", program)) == outcome(
            python(folder, program)
        )


def test_without_click_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['click'] = None; from treadle.__main__ import main; main()"
    assert outcome(python(tmp_path, "-c", program)) == (
        1,
        "",
        'treadle: the command line needs click: pip install "treadle[cli]"\n',
    )


def test_importing_treadle_imports_nothing_of_the_command(tmp_path: Path) -> None:
    program = "import sys, treadle; print(*sys.modules)"
    loaded = set(python(tmp_path, "-c", program).stdout.split())
    assert "treadle.aio.runner" in loaded
    assert not loaded & {"click", "rich", "runpy", "treadle.cli", "treadle.doctor"}


def test_a_program_does_not_pay_for_the_doctor(tmp_path: Path) -> None:
    name = script(tmp_path, "import sys; print(*sys.modules)")
    loaded = set(python(tmp_path, *RUN, name).stdout.split())
    assert "treadle.cli" in loaded
    assert not loaded & {"click", "rich", "ctypes", "multiprocessing", "treadle.doctor"}
