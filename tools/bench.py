"""Prepare the interpreter that is measured, then run the benchmark, its check or a profile.

Python 3.13, for which the targets are set, gets an environment with treadle and its peers; where it
is not found, or is the default Python, that one's environment is taken. The first argument may be
``check`` or ``profile``; all others are handed on to ``python -m bench``, ``bench.check`` or
``bench.profile``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.every_python import ROOT, interpreters

COMPARED = (3, 13)  # the version that the targets are stated for
MODULES = {"check": "bench.check", "profile": "bench.profile"}
# What is done when nothing is asked for; with what is built before, it takes half an hour at most.
WHOLE = ["--growth", "--page", "docs/benchmarks", "--minutes", "22"]
OWN_ENVIRONMENT = (".venv/.extra-bench", "build")  # the Makefile's targets
SOURCES = ("src/**/*.py", "src/**/*.pxd", "setup.py", "pyproject.toml")


def environment(version: tuple[int, int], interpreter: Path) -> Path:
    """Make, or bring up to date, the environment of one version; return its interpreter."""
    folder = ROOT / f".venv-bench-{version[0]}.{version[1]}"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder.name}", flush=True)
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
    stamp = folder / "installed"
    if _stale(stamp):
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", ".[bench]"], cwd=ROOT, check=True)
        stamp.touch()
    return python


def _stale(stamp: Path) -> bool:
    """Whether a source is newer than what was built."""
    if not stamp.exists():
        return True
    built = stamp.stat().st_mtime
    sources = (path for pattern in SOURCES for path in ROOT.glob(pattern))
    return any(path.stat().st_mtime > built for path in sources)


def command(arguments: list[str], python: str) -> list[str]:
    """What is run, by this interpreter."""
    if arguments and arguments[0] in MODULES:
        return [python, "-m", MODULES[arguments[0]], *arguments[1:]]
    return [python, "-m", "bench", *(arguments or WHOLE)]


def main() -> int:
    """Return the exit code of what was run."""
    found = interpreters()
    clean = {key: value for key, value in os.environ.items() if key != "TREADLE_PURE"}
    python = sys.executable
    if sys.version_info[:2] != COMPARED and COMPARED in found:
        python = str(environment(COMPARED, found[COMPARED]))
    elif sys.prefix != sys.base_prefix and Path(sys.prefix) == ROOT / ".venv":
        subprocess.run(["make", *OWN_ENVIRONMENT], cwd=ROOT, env=clean, check=True)
    done = subprocess.run(command(sys.argv[1:], python), cwd=ROOT, env=clean, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
