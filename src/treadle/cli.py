"""The command ``treadle``: reads the command line, then runs a program or shows what was found.

`treadle run` is ``python`` with another event loop underneath: a program must not notice the
difference. So it does not run inside click's call, which has opinions about exceptions, and what
it sees is what CPython's own start-up prepares (``Modules/main.c``, ``Python/pythonrun.c``):

- `__main__` is a fresh module that stays in ``sys.modules`` until the process ends, since exit
  handlers, threads and pickles look it up there. That rules out `runpy.run_path`, which takes it
  away again. Modules, directories and zip files go through the function that ``python`` itself
  calls for them, ``runpy._run_module_as_main``; a file is three lines.
- An exception leaves through the interpreter, which alone knows how to end a process: exit codes,
  death by SIGINT, ``sys.last_exc``. Only the frames that started the program are left out of the
  traceback that it prints.
"""

from __future__ import annotations

import builtins
import json
import os
import runpy
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import find_spec
from pkgutil import get_importer
from types import ModuleType, TracebackType
from typing import IO, TYPE_CHECKING, Any

import click

import treadle
from treadle._drivers import make_driver

if TYPE_CHECKING:
    from treadle.doctor import Report

__all__ = ["Program", "commands", "main"]

INTERRUPTED = 128 + 2  # what a shell calls the end by SIGINT
_LAUNCHERS = (
    "<frozen importlib",
    "<frozen zipimport>",
    runpy.run_module.__code__.co_filename,
    __file__,
)
"""How the file names begin whose frames come before a program's own."""


def main() -> None:
    """Do what the command line says; returns or raises as the program that was run does."""
    chosen = _read_command_line()
    if isinstance(chosen, Program):
        chosen.run()
    elif chosen:
        sys.exit(chosen)


def _read_command_line() -> Program | int | None:
    """Return the program to run, or do what else was asked for and return the exit code."""
    try:
        chosen: Program | int | None = commands.main(prog_name="treadle", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # Ctrl-C
        sys.exit(INTERRUPTED)
    return chosen


class _RefusedError(click.ClickException):
    """Something on the command line cannot be; told in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"treadle: {self.format_message()}", file=file, err=file is None)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(treadle.__version__, prog_name="treadle", message="%(prog)s %(version)s")
def commands() -> None:
    """An asynchronous runtime for Python: asyncio programs, unchanged, on a compiled event loop."""


@commands.command("run", context_settings={"allow_interspersed_args": False})
@click.option("-m", "is_module", is_flag=True, help="Run a module, found as imports are.")
@click.option("--debug", is_flag=True, help="asyncio's debug mode, as PYTHONASYNCIODEBUG=1 has it.")
@click.option("--driver", metavar="NAME", help="What waits for the kernel; sets TREADLE_DRIVER.")
@click.option(
    "--no-accelerate",
    "accelerate",
    flag_value=False,
    default=True,
    help="Leave asyncio its own queues, locks, streams and helpers of tasks.",
)
@click.argument("name", metavar="{SCRIPT | -m MODULE}", type=click.UNPROCESSED)
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def run_command(
    is_module: bool,
    debug: bool,
    driver: str | None,
    accelerate: bool,
    name: str,
    arguments: tuple[str, ...],
) -> Program:
    """Run an asyncio program on treadle's loop and streams, as python would run it.

    SCRIPT is a file, a directory or zip file with a __main__.py, or - for the standard input. What
    comes after it belongs to the program. A process that the program starts anew ("spawn") has
    asyncio's own again.
    """
    if debug:
        _choose_debug_mode()
    if driver is not None:
        os.environ["TREADLE_DRIVER"] = driver
    try:
        make_driver()
    except ValueError as error:
        raise _RefusedError(str(error)) from None
    return Program(name, arguments, is_module, accelerate)


@commands.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def doctor_command(as_json: bool) -> int:
    """Look at what is here to run treadle, and try it.

    Exit code 0 when treadle works here, perhaps with warnings, and 1 when something is wrong.
    """
    from treadle.doctor import examine  # late: `treadle run` needs none of it

    report = examine()
    if as_json:
        print(json.dumps(asdict(report) | {"verdict": report.verdict}, indent=2))
    else:
        _show(report)
    return 1 if report.verdict == "problem" else 0


def _choose_debug_mode() -> None:
    if sys.flags.ignore_environment:
        raise _RefusedError("--debug has no effect under python -E or -I: use python -X dev")
    os.environ["PYTHONASYNCIODEBUG"] = "1"  # asyncio looks each time a loop is made


# running a program ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """A program, as a command line for ``python`` names it."""

    name: str  # path of a script, a directory or a zip file, or "-"; a module's with `is_module`
    arguments: tuple[str, ...]
    is_module: bool = False
    accelerate: bool = True

    def run(self) -> None:
        """Run it as ``python`` does, with treadle's loop; raises what the program raises.

        The process is the program's from here on: `__main__`, ``sys.argv``, ``sys.path``, the
        event loop policy and asyncio's names stay as they are set now.
        """
        _forget_click()
        sys.modules["__main__"] = main_module = _new_main_module()
        treadle.install(accelerate=self.accelerate)
        try:
            if self.is_module:
                self._run_module()
            elif self.name != "-" and get_importer(self.name) is not None:
                self._run_container()
            else:
                self._run_file(main_module)
        except BaseException as error:
            _report_without_launchers(error)
            raise

    def _run_module(self) -> None:
        sys.argv = ["-m", *self.arguments]  # as long as the module is looked for
        _import_first_from(os.getcwd())
        runpy._run_module_as_main(self.name)  # type: ignore[attr-defined]

    def _run_container(self) -> None:
        """Run the `__main__` in a directory or a zip file."""
        sys.argv = [self.name, *self.arguments]
        _import_first_from(_absolute(self.name), always=True)
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]

    def _run_file(self, main_module: ModuleType) -> None:
        path, loader, source = self._read()
        sys.argv = [self.name, *self.arguments]
        _import_first_from("" if self.name == "-" else os.path.dirname(os.path.realpath(path)))
        names = vars(main_module)
        names.update(__file__=path, __cached__=None, __loader__=loader)
        if isinstance(loader, SourcelessFileLoader):
            exec(loader.get_code("__main__"), names)  # type: ignore[arg-type]
        else:
            exec(compile(source, path, "exec", dont_inherit=True), names)

    def _read(self) -> tuple[str, Any, bytes]:
        """Return the path that the program is known by, its loader, and what is in the file."""
        if self.name == "-":
            return "<stdin>", BuiltinImporter, sys.stdin.buffer.read()
        path = _absolute(self.name)
        kind = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
        loader = kind("__main__", path)
        try:
            return path, loader, loader.get_data(path)
        except OSError as error:
            print(
                f"treadle: can't open file {path!r}: [Errno {error.errno}] {error.strerror}",
                file=sys.stderr,
            )
            sys.exit(2)


def _forget_click() -> None:
    """Let a program that has a module of that name beside it import its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "click":
            del sys.modules[name]


def _new_main_module() -> ModuleType:
    module = ModuleType("__main__")
    vars(module)["__builtins__"] = builtins  # the module itself, where `exec` would put its dict
    if sys.version_info < (3, 14):
        vars(module)["__annotations__"] = {}
    return module


def _import_first_from(folder: str, always: bool = False) -> None:
    """Put `folder` first in ``sys.path``, in the place of where this command was found.

    Under ``python -P`` there is no such place, and python adds none unless the program *is* the
    folder (`always`).
    """
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


def _absolute(path: str) -> str:
    """Return `path` made absolute as python does it: nothing is normalised."""
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def _report_without_launchers(error: BaseException) -> None:
    """Should nobody catch `error`, let its traceback begin in the program.

    It is on its way out through this module, whose frames are added as it goes. So they are taken
    off at the last moment, in ``sys.excepthook``; the program may have put its own hook there.
    """
    own, show = _program_part(error.__traceback__), sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, tb: TracebackType | None) -> None:
        if value is error:
            value.__traceback__ = sys.last_traceback = tb = own
        try:
            show(kind, value, tb)
        except BaseException as failure:
            failure.__traceback__ = _program_part(failure.__traceback__)
            raise

    sys.excepthook = hook


def _program_part(tb: TracebackType | None) -> TracebackType | None:
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_LAUNCHERS):
        tb = tb.tb_next
    return tb


# showing what the doctor found -----------------------------------------------------------------

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def _show(report: Report) -> None:
    """Print a report: with rich where somebody looks and it is installed, else plainly."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _print_with_rich(report)
    else:
        _print_plainly(report)


def _print_plainly(report: Report) -> None:
    for label, fact in _facts(report):
        print(f"{label:<10}{fact}")
    print()
    for check in report.checks:
        print(f"{check.verdict:<9}{check.name:<12}{check.sentence}")
        if check.advice:
            print(f"{'':<21}{check.advice}")
    print()
    print(_summary(report))


def _print_with_rich(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    facts, checks = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
    for label, fact in _facts(report):
        facts.add_row(Text(label, "bold"), Text(fact, overflow="fold"))
    for check in report.checks:
        sentence = Text(check.sentence)
        if check.advice:
            sentence.append(f"\n{check.advice}", "italic")
        checks.add_row(Text(check.verdict, _STYLES[check.verdict]), Text(check.name), sentence)
    console = Console(highlight=False)
    console.print(facts, "", checks, "", Text(_summary(report), _STYLES[report.verdict]), sep="\n")


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    """Return what a person wants to know of the facts, as labels and lines."""
    yield "treadle", str(report.treadle)
    yield "", report.treadle.folder
    yield "Python", f"{report.python.implementation} {report.python.version}"
    yield "", report.python.executable
    yield "platform", str(report.platform)
    yield "driver", str(report.driver)
    label = "kernel"
    for name, feature in report.kernel.items():
        yield label, f"{name}: {feature}"
        label = ""
    yield "limits", str(report.limits)


def _summary(report: Report) -> str:
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for word in ("problem", "warning")
        if (count := sum(check.verdict == word for check in report.checks))
    ]
    return f"{', '.join(counts)}." if counts else "All is well."
