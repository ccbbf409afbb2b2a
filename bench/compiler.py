"""Building the programs in bench/c, on demand, into bench/.build.

A binary's name carries a hash of its source and of how it is compiled, so that a stale one is never
run and nothing has to be cleaned.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
PROGRAMS = ("load", "echo_epoll")


@dataclass(frozen=True)
class Built:
    """Where a program is, or why it is nowhere."""

    path: Path | None
    obstacle: str = ""


def build(name: str) -> Built:
    """Compile bench/c/NAME.c unless that has been done."""
    found = find(name)
    if found is not None:
        return Built(found)
    command = compiler()
    if command is None:
        return Built(None, "no C compiler")
    BUILD.mkdir(exist_ok=True)
    target = _target(name, command)
    unfinished = target.with_suffix(f".{os.getpid()}")
    try:
        done = subprocess.run(
            [*command, *FLAGS, "-o", str(unfinished), str(_source(name))],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return Built(None, f"{command[0]}: {error.strerror}")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Built(None, f"{name}.c does not compile: {lines[0]}")
    unfinished.replace(target)
    return Built(target)


def find(name: str) -> Path | None:
    """The program if it has been built from this source in this way."""
    command = compiler()
    if command is None:
        return None
    target = _target(name, command)
    return target if target.exists() else None


def compiler() -> list[str] | None:
    """The command of the C compiler: $CC, or the first of the usual names that is there."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in (named, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def _source(name: str) -> Path:
    return HERE / "c" / f"{name}.c"


def _target(name: str, command: list[str]) -> Path:
    recipe = "\0".join([*command, *FLAGS, platform.platform()]).encode()
    digest = hashlib.sha256(_source(name).read_bytes() + b"\0" + recipe).hexdigest()
    return BUILD / f"{name}-{digest[:16]}"
