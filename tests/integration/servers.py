"""Real servers as programs of their own: found, started in a throw-away folder, stopped.

A server is ready when it has answered, never because time has passed. Ports are free ones that the
kernel names; when another program takes one before the server does, the server is started again on
another. What a server printed is kept, for the report of a test that fails.

The servers die with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60  # seconds that a server may take to start or to stop
ATTEMPTS = 5  # to find ports that are still free when the server binds them
LOG_TAIL = 4000  # characters of a log that a failed test shows
CERTIFICATE = Path(__file__).parents[1] / "net" / "certs" / "localhost.crt"
KEY = CERTIFICATE.with_suffix(".key")
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin")  # not always in a user's PATH


def client_context() -> ssl.SSLContext:
    """Trusts the certificate of the servers, and nothing else."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def server_context() -> ssl.SSLContext:
    """Shows a certificate for localhost and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def find(binary: str, package: str, *folders: str) -> str:
    """The path of a server's program; without one the test is skipped, or fails in the gate."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), *FOLDERS])
    found = shutil.which(binary, path=path)
    if found is None:
        missing = f"{package} is not installed: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


def free_ports(count: int) -> list[int]:
    """So many different ports on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


class Program:
    """A server process. Subclasses say how it is called and how to see that it answers."""

    name: str
    ports_needed = 1
    user: str | None = None  # None: whoever runs the tests
    end = signal.SIGTERM  # asks it to stop at once

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="treadle-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.ports: list[int] = []

    # to be filled in -------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make what the server needs in its folder before it is started for the first time."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Is it ready? May raise OSError as well."""
        raise NotImplementedError

    # -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it on the ports that it had, or on new ones, and return when it answers."""
        if not self.ports:
            self.prepare()
        for _ in range(ATTEMPTS):
            self.ports = self.ports or free_ports(self.ports_needed)
            self.process = self.spawn(self.command())
            if self.becomes_ready():
                return
            self.process.wait()
            if "in use" not in self.log():
                break
            self.ports = []
        pytest.fail(f"{self.name} did not start:\n{self.log()}", pytrace=False)

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        identity: dict[str, Any] = {}
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        if shutil.which("setpriv"):  # a run that is killed leaves no server behind
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests
                **identity,
            )

    def becomes_ready(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.answers():
                    return True
            if time.monotonic() > deadline:
                self.process.kill()
                break
            time.sleep(0.01)  # between two questions
        return False

    def stop(self) -> None:
        """End the process and wait for it; the folder and the ports stay for a new start."""
        if self.process is None:
            return
        self.process.send_signal(self.end)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None

    def crash(self) -> None:
        """Kill the process, so that it can put nothing in order."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def remove(self) -> None:
        """Stop it and forget all that it stored."""
        self.stop()
        shutil.rmtree(self.folder)

    def log(self) -> str:
        try:
            return (self.folder / "log").read_text(errors="replace")[-LOG_TAIL:]
        except FileNotFoundError:
            return ""

    def ask(self, port: int, question: bytes, answer: bytes) -> bool:
        """Does what listens on the port answer so?"""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(question)
            return sock.recv(len(answer)) == answer


class Redis(Program):
    """Redis with a TCP port, a TLS port and a Unix socket; stores nothing on disk."""

    name = "redis-server"
    ports_needed = 2

    def __init__(self) -> None:
        self.binary = find("redis-server", "redis-server")
        super().__init__()

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def tls_port(self) -> int:
        return self.ports[1]

    @property
    def path(self) -> str:
        return str(self.folder / "redis.sock")

    def command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "tls-port": self.tls_port,
            "tls-cert-file": CERTIFICATE,
            "tls-key-file": KEY,
            "tls-ca-cert-file": CERTIFICATE,
            "tls-auth-clients": "no",
            "unixsocket": self.path,
            "save": "",
            "appendonly": "no",
        }
        pairs = ((f"--{key}", str(value)) for key, value in options.items())
        return [self.binary, *[word for pair in pairs for word in pair]]

    def answers(self) -> bool:
        return self.ask(self.port, b"PING\r\n", b"+PONG")


class DurableRedis(Redis):
    """Redis that has on disk what it has answered."""

    def command(self) -> list[str]:
        return [*super().command(), "--appendonly", "yes", "--appendfsync", "always"]


class Nats(Program):
    """NATS with JetStream, without TLS."""

    name = "nats-server"

    def __init__(self) -> None:
        self.binary = find("nats-server", "nats-server")
        super().__init__()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.ports[0]}"

    def command(self) -> list[str]:
        store = str(self.folder / "store")
        return [self.binary, "-a", "127.0.0.1", "-p", str(self.ports[0]), "-js", "-sd", store]

    def answers(self) -> bool:
        return self.ask(self.ports[0], b"", b"INFO ")


class TlsNats(Nats):
    """NATS that speaks TLS only, and wants to see a certificate of the client, too."""

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.ports[0]}"

    def command(self) -> list[str]:
        tls = ["--tlscert", str(CERTIFICATE), "--tlskey", str(KEY), "--tlscacert", str(CERTIFICATE)]
        return [*super().command(), "--tlsverify", *tls]


class Postgres(Program):
    """PostgreSQL with TCP, TLS on the same port, and a Unix socket; its user is `postgres`.

    TCP asks for the password `secret`, the Unix socket trusts everybody.
    """

    name = "postgresql"
    end = signal.SIGINT  # the fast shutdown: does not wait for clients

    def __init__(self) -> None:
        self.bin = Path(find("initdb", "postgresql", *newest_postgres())).resolve().parent
        super().__init__()
        # it refuses to be root
        self.user = "postgres" if os.getuid() == 0 else None

    @property
    def port(self) -> int:
        return self.ports[0]

    def prepare(self) -> None:
        shutil.copy(CERTIFICATE, self.folder / "server.crt")
        shutil.copy(KEY, self.folder / "server.key")
        (self.folder / "server.key").chmod(0o600)
        (self.folder / "password").write_text("secret")
        if self.user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self.user)
        initdb = [str(self.bin / "initdb"), "--pgdata", "data", "--username", "postgres"]
        options = ["--no-sync", "--no-instructions", "--encoding", "UTF8", "--locale", "C"]
        access = ["--pwfile", "password", "--auth-local", "trust", "--auth-host", "scram-sha-256"]
        if self.spawn([*initdb, *options, *access]).wait(PATIENCE):
            pytest.fail(f"initdb failed:\n{self.log()}", pytrace=False)

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "ssl": "on",
            "ssl_cert_file": self.folder / "server.crt",
            "ssl_key_file": self.folder / "server.key",
            "fsync": "off",
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",
            "autovacuum": "off",
        }
        settings = [x for key, value in options.items() for x in ("-c", f"{key}={value}")]
        return [str(self.bin / "postgres"), "-D", "data", *settings]

    def answers(self) -> bool:
        question = [str(self.bin / "pg_isready"), "-q", "-U", "postgres", "-h", str(self.folder)]
        return subprocess.run([*question, "-p", str(self.port)], check=False).returncode == 0


def newest_postgres() -> list[str]:
    """Debian keeps the programs of each major version in a folder of its own."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return [str(path) for path in sorted(folders, key=lambda path: -float(path.parent.name))]


Make = Callable[[type[Program]], Any]


@contextlib.contextmanager
def programs() -> Any:
    """A function that starts programs; they are removed in the end."""
    with contextlib.ExitStack() as stack:

        def make(kind: type[Program]) -> Program:
            program = kind()
            stack.callback(program.remove)
            program.start()
            return program

        yield make
