"""Prepare the interpreters that are compared, then run the benchmark.

The default Python and, where it is found, Python 3.13 get an environment each with treadle and its
peers. Arguments are handed on to ``python -m bench``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.every_python import ROOT, interpreters

COMPARED = (3, 13)  # the version that the targets are stated for


def environment(version: tuple[int, int], interpreter: Path) -> Path:
    """Make, or bring up to date, the environment of one version; return its interpreter."""
    folder = ROOT / f".venv-bench-{version[0]}.{version[1]}"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder.name}", flush=True)
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--editable", ".[bench]"], cwd=ROOT, check=True)
    return python


def main() -> int:
    """Return the exit code of the benchmark."""
    found = interpreters()
    own = sys.version_info[:2]
    command = [sys.executable, "-m", "bench"]
    if own != COMPARED and COMPARED in found:
        command += ["--python", str(environment(COMPARED, found[COMPARED]))]
    command += ["--python", sys.executable, *sys.argv[1:]]
    clean = {key: value for key, value in os.environ.items() if key != "TREADLE_PURE"}
    return subprocess.run(command, cwd=ROOT, env=clean, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
