"""The peers that are no Python loops: whether they can be run here, and by which command.

Node.js is whatever `node` is on the path. Of packages its servers need one, `ws`, for WebSockets;
it is installed by npm into bench/.build, when it is asked for the first time. The C servers have
been built by `compiler.py`; whether the system allows io_uring shows when one tries.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import compiler
from bench.loops import LIMIT, NODE, RING, CannotError

HERE = Path(__file__).parent
SCRIPTS = HERE / "node"
MODULES = compiler.BUILD / "node"
"""Where npm puts what it installs."""
PROBE_SECONDS = 20.0
INSTALL_SECONDS = 120.0

SCRIPT = {
    "idle_connection": "idle.js",
    "idle_tls": "idle.js",
    "uvicorn_hello": "http.js",
    "fastapi_json": "http.js",
    "aiohttp_hello": "http.js",
    "websockets_broadcast": "broadcast.js",
    "tcp_proxy": "proxy.js",
}
"""Kind of server -> its program for Node.js; all others echo."""


@dataclass(frozen=True)
class Peer:
    """A version, or the obstacle."""

    version: str = ""
    obstacle: str = ""


def look() -> dict[str, Peer]:
    """What there is to say about each peer."""
    return {name: probe() for name, probe in _PROBES.items()}


def command(name: str, kind: str, argument: str) -> list[str]:
    """How the server of this kind is started; raises CannotError when something is missing."""
    if name == NODE:
        script = SCRIPT.get(kind, "echo.js")
        return ["node", "--expose-gc", str(SCRIPTS / script), kind, argument]
    program = compiler.find("echo_epoll" if name == LIMIT else "echo_uring")
    if program is None:
        raise CannotError(f"{name} has not been built")
    return [str(program), *({"echo_unix": [argument], "echo_udp": ["udp"]}.get(kind, []))]


def environment(name: str, kind: str) -> dict[str, str]:
    """The environment in which that server runs."""
    inherited = dict(os.environ)
    if name == NODE and SCRIPT.get(kind) == "broadcast.js":
        inherited["NODE_PATH"] = str(_packages())
    return inherited


def _packages() -> Path:
    """The folder of Node.js's packages, with the one that is needed in it."""
    folder = MODULES / "node_modules"
    if (folder / "ws" / "package.json").exists():
        return folder
    MODULES.mkdir(parents=True, exist_ok=True)
    shutil.copy(SCRIPTS / "package.json", MODULES)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            npm,
            cwd=MODULES,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotError(f"no package ws: npm: {error}") from error
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise CannotError(f"no package ws: {complaint[0]}")
    return folder


def _node() -> Peer:
    try:
        done = subprocess.run(
            ["node", "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
    except FileNotFoundError:
        return Peer(obstacle="not installed")
    except (OSError, subprocess.SubprocessError) as error:
        return Peer(obstacle=f"broken: {error}")
    return Peer(done.stdout.strip())


def _epoll() -> Peer:
    built = compiler.find("echo_epoll")
    return Peer("bench/c/echo_epoll.c") if built else Peer(obstacle="not built")


def _ring() -> Peer:
    """Whether the kernel makes a ring: many containers forbid it."""
    program = compiler.find("echo_uring")
    if program is None:
        return Peer(obstacle="not built")
    done = subprocess.run(
        [str(program), "probe"],
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        return Peer(obstacle=done.stderr.strip() or f"exit status {done.returncode}")
    return Peer("bench/c/echo_uring.c")


_PROBES: dict[str, Callable[[], Peer]] = {NODE: _node, LIMIT: _epoll, RING: _ring}
