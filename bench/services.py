"""Servers of other people that a client needs: redis-server and PostgreSQL, in a throw-away folder.

They are started by the worker that measures a client, on the other core, and end with the block. A
program that is not installed raises CannotError.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import cores
from bench.child import last_line
from bench.loops import CannotError

HOST = "127.0.0.1"
PATIENCE_SECONDS = 30.0
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin")
"""Not always in a user's PATH."""
DEBIAN = "/usr/lib/postgresql"
"""Where Debian keeps PostgreSQL, each version in a folder."""
ACCOUNT = "postgres"
"""Who runs PostgreSQL when we are root, which it refuses to be."""


@contextmanager
def redis(core: int | None) -> Iterator[int]:
    """The port of a Redis that stores nothing on disk."""
    program = _find("redis-server")
    with _folder() as folder:
        port = _free_port()
        options = {"bind": HOST, "port": str(port), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with _running([program, *words], folder, core, lambda: _answers(port)):
            yield port


@contextmanager
def postgres(core: int | None) -> Iterator[int]:
    """The port of a PostgreSQL that trusts everybody; its user is `postgres`."""
    initdb = Path(_find("initdb", *_newest())).resolve()
    with _folder() as folder:
        if os.getuid() == 0:
            shutil.chown(folder, ACCOUNT)
        make = ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        with _process([str(initdb), *make, "--no-sync", "--no-instructions"], folder, None) as made:
            if made.wait(PATIENCE_SECONDS):
                raise RuntimeError(f"initdb: {_last(folder)}")
        port = _free_port()
        options = {
            "port": str(port),
            "listen_addresses": HOST,
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",
            "autovacuum": "off",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [str(initdb.parent / "postgres"), "-D", "data", *words]
        ready = [str(initdb.parent / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]
        with _running(command, folder, core, lambda: _succeeds(ready)):
            yield port


def versions() -> dict[str, str]:
    """Of the servers that are installed."""
    found = {}
    for program in ("redis-server", "initdb"):
        try:
            done = subprocess.run(
                [_find(program, *_newest()), "--version"],
                capture_output=True,
                text=True,
                check=False,
            )
        except (CannotError, OSError):
            continue
        number = re.search(r"\d+\.\d+[.\d]*", done.stdout)
        found[{"initdb": "postgresql"}.get(program, program)] = number[0] if number else "unknown"
    return found


def _newest() -> list[str]:
    """Folders of PostgreSQL's programs, the newest version first."""
    folders = Path(DEBIAN).glob("*/bin")
    return [str(path) for path in sorted(folders, key=lambda path: -float(path.parent.name))]


def _find(program: str, *folders: str) -> str:
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), *FOLDERS])
    found = shutil.which(program, path=path)
    if found is None:
        raise CannotError(f"no program {program}")
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="treadle-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _running(
    command: list[str], folder: Path, core: int | None, ready: Callable[[], bool]
) -> Iterator[None]:
    """Run a server that is `ready` before the block begins."""
    with _process(command, folder, core) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(command[0]).name} did not start: {_last(folder)}")
            time.sleep(0.01)
        yield


@contextmanager
def _process(
    command: list[str], folder: Path, core: int | None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the folder's owner that writes a log into it, and ends with the block."""
    owner = folder.stat().st_uid
    other = owner if owner != os.getuid() else None
    with (folder / "log").open("ab") as log, cores.on(core):
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            user=other,
            extra_groups=None if other is None else [],
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # to PostgreSQL: do not wait for clients
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last(folder: Path) -> str:
    return last_line((folder / "log").read_text(errors="replace"))


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), PATIENCE_SECONDS) as asking:
            asking.sendall(b"PING\r\n")
            return asking.recv(5) == b"+PONG"
    except OSError:
        return False


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False).returncode == 0
