"""Building the programs in bench/c, on demand, into bench/.build.

A binary's name carries a hash of the sources and of how it is compiled, so that a stale one is
never run and nothing has to be cleaned.
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
SOURCES = HERE / "c"
BUILD = HERE / ".build"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
OPENSSL = ("-lssl", "-lcrypto")


@dataclass(frozen=True)
class Recipe:
    """How a program is made."""

    source: str
    flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


PROGRAMS = {
    "echo_epoll": Recipe("echo_epoll.c"),
    "echo_uring": Recipe("echo_uring.c"),
    "load": Recipe("load.c"),
    "load_tls": Recipe("load.c", ("-DWITH_TLS",), OPENSSL),
    "load_udp": Recipe("load_udp.c"),
    "http_load": Recipe("http_load.c"),
    "broadcast_load": Recipe("broadcast_load.c"),
    "fanout_load": Recipe("fanout_load.c"),
    "handshakes": Recipe("handshakes.c", (), OPENSSL),
    "instrument": Recipe("instrument.c", ("-shared", "-fPIC")),
}

TOOLS = frozenset({"instrument", "fanout_load"})
"""Those that no workload needs: for counting and profiling, and for `bench.fanout`."""


@dataclass(frozen=True)
class Built:
    """Where a program is, or why it is nowhere."""

    path: Path | None
    obstacle: str = ""


def build(name: str) -> Built:
    """Compile a program unless that has been done."""
    found = find(name)
    if found is not None:
        return Built(found)
    command = compiler()
    if command is None:
        return Built(None, "no C compiler")
    BUILD.mkdir(exist_ok=True)
    recipe, target = PROGRAMS[name], _target(name, command)
    unfinished = target.with_suffix(f".{os.getpid()}")
    whole = [*command, *FLAGS, *recipe.flags, "-o", str(unfinished)]
    whole += [str(SOURCES / recipe.source), *recipe.libraries]
    try:
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
    except OSError as error:
        return Built(None, f"{command[0]}: {error.strerror}")
    if done.returncode != 0:
        return Built(None, f"{recipe.source} does not compile: {_complaint(done)}")
    unfinished.replace(target)
    return Built(target)


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    errors = [line for line in lines if "error" in line]
    return (errors or lines or [f"exit status {done.returncode}"])[0]


def find(name: str) -> Path | None:
    """The program if it has been built from these sources in this way."""
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


def _target(name: str, command: list[str]) -> Path:
    recipe = PROGRAMS[name]
    digest = hashlib.sha256()
    for path in (SOURCES / recipe.source, *sorted(SOURCES.glob("*.h"))):
        digest.update(path.read_bytes() + b"\0")
    how = [*command, *FLAGS, *recipe.flags, *recipe.libraries, platform.platform()]
    digest.update("\0".join(how).encode())
    return BUILD / f"{name}-{digest.hexdigest()[:16]}"
