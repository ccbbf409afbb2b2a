"""Run tox with every CPython from 3.11 that is on this machine, pyenv's included.

As many environments at a time as there are processors; `ROOT/.tox/NAME/log` has what each printed.
Arguments are handed on to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FIRST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
KINDS = ("compiled", "pure")
_NAME = re.compile(r"python3\.(\d+)")
_CLOSING = re.compile(r"\d+ (passed|failed|errors?|deselected)\b")


def folders() -> list[Path]:
    """Return where interpreters may be: PATH, and pyenv's versions."""
    found = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found += sorted(pyenv.glob("versions/*/bin"), reverse=True)
    return [folder for folder in found if folder.is_dir() and "shims" not in folder.parts]


def interpreters() -> dict[tuple[int, int], Path]:
    """Return one working CPython per version, from `FIRST` on, oldest first."""
    found: dict[tuple[int, int], Path] = {}
    for version, path in candidates():
        if version not in found and works(path, version):
            found[version] = path
    return dict(sorted(found.items()))


def candidates() -> Iterator[tuple[tuple[int, int], Path]]:
    """Go through what is called like a CPython from `FIRST` on, in the order of `folders`."""
    for folder in folders():
        for path in sorted(folder.glob("python3.*")):
            match = _NAME.fullmatch(path.name)
            if match is not None and (version := (3, int(match[1]))) >= FIRST:
                yield version, path


def works(path: Path, version: tuple[int, int]) -> bool:
    """Say whether the interpreter starts, is a CPython of that version and can make a venv."""
    program = (
        "import sys, venv, ensurepip; "
        "print(sys.implementation.name, *sys.version_info[:2], sys._is_gil_enabled() "
        "if hasattr(sys, '_is_gil_enabled') else True)"
    )
    try:
        done = subprocess.run(
            [path, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.split() == ["cpython", str(version[0]), str(version[1]), "True"]


def main() -> int:
    """Run tox; return its exit code."""
    found = interpreters()
    if not found:
        print("no CPython from 3.11 on was found", file=sys.stderr)
        return 1
    for version, path in found.items():
        print(f"Python {version[0]}.{version[1]}: {path}", flush=True)
    environments = [f"py{a}{b}-{kind}" for kind in KINDS for a, b in found]
    command: list[str] = [
        sys.executable,
        "-m",
        "tox",
        "run-parallel",
        "--parallel",
        str(min(os.cpu_count() or 1, len(environments))),
        "-e",
        ",".join(environments),
        "--discover",
    ]
    command += [str(path) for path in found.values()]
    environment = {key: value for key, value in os.environ.items() if key != "TREADLE_PURE"}
    code = subprocess.run(
        [*command, "--", *sys.argv[1:]], cwd=ROOT, env=environment, check=False
    ).returncode
    for name in environments:
        print(f"{name}: {closing_line(name)}")
    return code


def closing_line(name: str) -> str:
    """Return pytest's last word in an environment; tox shows whole outputs of failures only."""
    logs = sorted((ROOT / ".tox" / name / "log").glob("*commands*.log"))
    lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
    return next((line for line in reversed(lines) if _CLOSING.search(line)), "no result")


if __name__ == "__main__":
    sys.exit(main())
