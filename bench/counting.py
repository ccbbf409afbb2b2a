"""Instructions per operation, counted by callgrind.

They do not depend on how busy the machine is: a change of a few per cent shows. They do depend on
how CPython and treadle were compiled, so a count is compared only with one that the same CPython,
compiler and kind of processor gave. What waits for memory costs more than its instructions say:
counts guard against getting slower, and do not tell how fast something is.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import compiler
from bench.child import last_line
from bench.interpreter import ROOT
from bench.loops import SUBJECT

FILE = Path(__file__).parent / "instructions.json"
TOLERANCE = 0.03
"""A count may be this part above the one in the file."""

PATIENCE_SECONDS = 120.0
INSTALL = "valgrind is not installed (Debian: apt-get install valgrind; Fedora: valgrind-devel)"


class CannotCountError(Exception):
    """Counting is impossible here; says what to do about it."""


@dataclass(frozen=True)
class Limits:
    """The counts to which new ones are compared."""

    maker: dict[str, str]
    """Under what they were counted."""
    counts: dict[str, float]

    def text(self) -> str:
        content = {"maker": self.maker, "tolerance": TOLERANCE, "instructions": self.counts}
        return json.dumps(content, indent=1) + "\n"

    def strangers(self) -> list[str]:
        """What is different here from where these were counted: one line each."""
        here = maker()
        if not self.maker:
            return [f"there are no limits yet: no {FILE.name}"]
        return [
            f"{key}: the limits were made with {self.maker.get(key, 'none')}, this is {value}"
            for key, value in here.items()
            if self.maker.get(key) != value
        ]


def read() -> Limits:
    """Those that are kept; none at all when there is no file."""
    if not FILE.exists():
        return Limits({}, {})
    content = json.loads(FILE.read_text())
    return Limits(content["maker"], content["instructions"])


def maker() -> dict[str, str]:
    """All that counts depend on, but for the sources of treadle."""
    return {
        "CPython": f"{platform.python_version()} ({_digest(_interpreter_code())})",
        "compiler": _compiler(),
        "processor": platform.machine(),
    }


def _interpreter_code() -> Path:
    """The file that holds the interpreter: the shared library, where there is one."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    library = Path(str(folder), str(name))
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED") and library.exists()
    return library if shared else Path(sys.executable).resolve()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _compiler() -> str:
    command = compiler.compiler()
    if command is None:
        return "none"
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0]


def prepare() -> str:
    """The library by which programs speak to callgrind; raises CannotCountError."""
    if shutil.which("valgrind") is None:
        raise CannotCountError(INSTALL)
    built = compiler.build("instrument")
    if built.path is None:
        raise CannotCountError(f"{built.obstacle}; it needs valgrind's header files and a compiler")
    return str(built.path)


def count(row: str, library: str, loop: str = SUBJECT) -> float:
    """Instructions per operation; raises CannotCountError when the program failed."""
    with tempfile.TemporaryDirectory() as folder:
        done = run([*command(folder), "-m", "bench.counted", row, loop, library])
        if done.returncode != 0:
            raise CannotCountError(f"{row}: {last_line(done.stderr)}")
        short, longer = (_total(Path(folder, f"out.{part}")) for part in (1, 2))
        return (longer - short) / int(done.stdout.split()[-1])


def run(
    program: Sequence[str], seconds: float = PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command line that begins with `command` to its end."""
    return subprocess.run(
        program,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def command(folder: str, *options: str) -> list[str]:
    """This Python under callgrind, which writes its files into a folder and counts on request."""
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
    return [*callgrind, f"--callgrind-out-file={folder}/out", *options, sys.executable]


def environment() -> dict[str, str]:
    """One in which two runs do the same."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}


def _total(path: Path) -> int:
    # The line "summary:" of a later part leaves out what earlier parts counted: not to be used.
    with path.open() as lines:
        for line in lines:
            if line.startswith("totals:"):
                return int(line.split()[1])
    raise CannotCountError(f"callgrind wrote no totals into {path.name}")
