"""Two processes over a Redis: `python -m showcase.pair` in the folder `examples`.

Open one address in one window and the other in another: rooms span both. End one of the processes
(its number is shown) to see its people leave, and the other one take over the game.

A Redis that stores nothing is started for the two, unless `--redis` names one.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NotYet

FAREWELL = 5.0  # seconds


def main() -> None:
    """Serve until Ctrl-C, or until both have ended."""
    options = parse()
    with ExitStack() as stack:
        url = options.redis or stack.enter_context(own_redis())
        environment = dict(os.environ, SHOWCASE_SECRET=secrets.token_hex())
        servers = [
            stack.enter_context(server(options.host, port, url, environment))
            for port in (options.port, options.port + 1 if options.port else 0)
        ]
        print("One room spans both:", *(process.pid for process in servers), flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            for process in servers:
                process.wait()
        except KeyboardInterrupt:
            pass


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="showcase.pair", description="Over a Redis.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="the other one takes the next")
    parser.add_argument("--redis", help="the address of a Redis that runs already")
    return parser.parse_args()


@contextmanager
def server(
    host: str, port: int, redis: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """One process; it prints where it is itself."""
    command = [sys.executable, "-m", "showcase", "--host", host, "--port", str(port)]
    with ended(subprocess.Popen([*command, "--redis", redis], env=environment)) as process:
        yield process


@contextmanager
def own_redis() -> Iterator[str]:
    """A Redis of ours, on a Unix socket in a folder that is removed; gives its address."""
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("redis-server is missing: install it, or name a Redis with --redis")
    with tempfile.TemporaryDirectory(prefix="showcase-") as folder:
        path = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        # a process group of its own: Ctrl-C is for the servers, which say goodbye to it
        starting = subprocess.Popen(
            [binary, *options], cwd=folder, stdout=quiet, start_new_session=True
        )
        with ended(starting) as process:
            wait_for_redis(path, process)
            yield f"unix://{path}"


def wait_for_redis(path: Path, process: subprocess.Popen[bytes]) -> None:
    with Redis(unix_socket_path=str(path)) as redis:
        while process.poll() is None:
            try:
                redis.ping()
                return
            except NotYet:
                time.sleep(0.02)
    sys.exit(f"redis-server ended with {process.returncode}")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever happens, the process does not outlive us."""
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    main()
