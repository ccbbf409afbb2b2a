"""Finds, for every CPython here, an installation of treadle as users have it: from a wheel.

`make test-all` leaves such installations behind, one per Python (``.tox/py311-compiled``), and they
are taken where they were built from the sources that are here now. Elsewhere one is made, in
``.venv-conformance-3.11``, and kept for the next time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from filecmp import cmp
from pathlib import Path

from tools.conformance.process import ROOT, UnusableError
from tools.every_python import candidates, works

__all__ = ["every_python"]

SOURCES = ROOT / "src" / "treadle"
BUILT_WITH = ("setup.py", "pyproject.toml", "README.md", "LICENSE")  # and the sources
DECIDES_BUILD = BUILT_WITH[:2]  # a change of these can change a module that is compiled
Version = tuple[int, int]


def every_python() -> tuple[list[Path], list[str]]:
    """Return interpreters with treadle, one per version, and why other versions have none.

    Raises UnusableError when treadle cannot be built.
    """
    found: dict[Version, Path] = {}
    without: dict[Version, Path] = {}
    for version, path in candidates():
        if version in found or not works(path, version):
            continue
        if has_tests(path):
            found[version] = path
        else:
            without.setdefault(version, path)
    reasons = [
        f"Python {version[0]}.{version[1]} ({path}) was installed without test.test_asyncio"
        for version, path in sorted(without.items())
        if version not in found
    ]
    return [_with_treadle(*each) for each in sorted(found.items())], reasons


def has_tests(python: Path) -> bool:
    """Say whether this Python was installed with its own tests of asyncio."""
    program = "import test.test_asyncio, test.support"
    return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0


def is_current(environment: Path) -> bool:
    """Say whether a compiled treadle is installed there, made from the sources that are here."""
    installed = next(environment.glob("lib/python3*/site-packages/treadle"), None)
    compiled = list(installed.rglob("*.so")) if installed is not None else []
    if installed is None or not compiled:
        return False
    installed_at = min(file.stat().st_mtime for file in compiled)
    if any((ROOT / name).stat().st_mtime > installed_at for name in DECIDES_BUILD):
        return False
    ours = {file.relative_to(SOURCES) for file in _sources(SOURCES)}
    theirs = {file.relative_to(installed) for file in _sources(installed)}
    return ours == theirs and all(
        cmp(SOURCES / name, installed / name, shallow=False) for name in ours
    )


def _sources(folder: Path) -> list[Path]:
    return [file for kind in ("*.py", "*.pxd") for file in folder.rglob(kind)]


def _with_treadle(version: Version, base: Path) -> Path:
    name = f"{version[0]}.{version[1]}"
    own = ROOT / f".venv-conformance-{name}"
    for environment in (ROOT / ".tox" / f"py{name.replace('.', '')}-compiled", own):
        python = environment / "bin" / "python"
        if is_current(environment) and has_tests(python):
            return python
    print(f"building treadle for Python {name} in {own.name}", flush=True)
    _call([base, "-m", "venv", "--clear", own])
    python = own / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        # from a copy: the folder `build` here may hold what no longer is in the sources
        shutil.copytree(ROOT / "src", f"{folder}/src", ignore=shutil.ignore_patterns("*.so"))
        for file in BUILT_WITH:
            shutil.copy(ROOT / file, folder)
        _call([python, "-m", "pip", "install", "--quiet", folder])
    if not is_current(own):
        raise UnusableError(f"what was installed in {own} is not what lies in {SOURCES}")
    return python


def _call(command: list[str | Path]) -> None:
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    environment.pop("TREADLE_PURE", None)
    done = subprocess.run(command, env=environment, check=False, stdout=sys.stderr)
    if done.returncode != 0:
        raise UnusableError(f"failed: {' '.join(map(str, command))}")
