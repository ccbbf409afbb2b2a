"""The real programs: which server is driven by which generator, and which are clients."""

from contextlib import AbstractContextManager, ExitStack
from importlib import metadata

from bench import child, clients, compiler, cores, served, services
from bench.effort import Effort
from bench.loops import LIMIT
from bench.outcome import Outcome

CLIENTS = 64
"""HTTP connections that are kept, each with one request in flight."""

LOADS: dict[str, tuple[str, tuple[object, ...]]] = {
    "uvicorn_hello": ("http_load", (CLIENTS, "/")),
    "fastapi_json": ("http_load", (CLIENTS, "/items/42")),
    "aiohttp_hello": ("http_load", (CLIENTS, "/")),
    "websockets_broadcast": ("broadcast_load", (1000, 100)),
    "tcp_proxy": ("load", (100, 100, 1024)),
}
"""Server -> its generator and what that is told."""

PACKAGES = ("aiohttp", "asyncpg", "fastapi", "httptools", "redis", "uvicorn", "websockets")


def versions() -> dict[str, str]:
    """Those of what the programs are made of and talk to, as far as it is there."""
    found = services.versions()
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def run(name: str, loop: str, effort: Effort) -> Outcome:
    """Microseconds of CPU, the server's or, where the client runs on the loop, the client's."""
    if name in clients.CLIENTS:
        return clients.run(name, loop, effort)
    generator, parameters = LOADS[name]
    seconds = (effort.warmup_seconds, effort.echo_seconds)
    with ExitStack() as stack:
        argument, proxied = "", name == "tcp_proxy"
        if proxied:
            argument = str(stack.enter_context(_behind()).addresses[0])
        told = (*parameters, *seconds)
        return served.measure(name, argument, loop, generator, told, shared=proxied)


def _behind() -> AbstractContextManager[child.Server]:
    """The echo server behind the proxy, on the core of the load."""
    _, core = cores.split() or (None, None)
    loop = LIMIT if compiler.find("echo_epoll") else "asyncio"
    return child.server("echo_protocol", loop, core)
