"""The event loops that take part, and the one way to make each of them.

Nothing here imports a loop until it is asked for: a worker process must hold the code of the loop
it measures and of no other.
"""

import asyncio
import importlib
from importlib import metadata
from types import ModuleType

MODULES = {
    "asyncio": "asyncio",
    "uvloop": "uvloop",
    "rloop": "rloop",
    "treadle": "treadle",
    "treadle-stock": "treadle",
    "treadle-pure": "treadle",
    "aiofastnet": "aiofastnet",
}
"""Loop name -> its module, in which `new_event_loop` makes it."""

PATCH = "aiofastnet"
"""Not a loop of its own: it puts its transports into another one, here into the baseline."""

BASELINE = "uvloop"
"""Ratios are taken to this loop."""

SUBJECT = "treadle"
"""Targets are set for this loop."""

STOCK = "treadle-stock"
"""The subject with asyncio's own streams and primitives, to tell the share of its loop alone."""

PURE = "treadle-pure"
"""The subject without its compiled modules; takes part only when it is asked for."""

ENVIRONMENT = {PURE: {"TREADLE_PURE": "1"}}
"""What the processes of a loop need in their environment."""

NODE = "node"
"""Not a Python loop: servers in JavaScript, by Node.js's own modules (`bench/node`)."""

LIMIT = "c-epoll"
"""Not a Python loop: the echo server in C, as the physical limit of some echo workloads."""

RING = "c-uring"
"""The same on io_uring, for streams over TCP."""

OUTSIDERS = (NODE, LIMIT, RING)
"""No Python loops: they take part in the workloads that name them; see `peers.py`."""

LABELS = {
    NODE: "Node.js",
    LIMIT: "C epoll",
    RING: "C io_uring",
    PATCH: f"{PATCH} on {BASELINE}",
    STOCK: f"{SUBJECT}, stock names",
    PURE: f"{SUBJECT}, not compiled",
}

NAMES = (*MODULES, *OUTSIDERS)

DEFAULT = tuple(name for name in NAMES if name != PURE)


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Make a loop of this name, which the caller closes."""
    module = importlib.import_module(MODULES[name])
    loop = module.patch_loop(new_loop(BASELINE)) if name == PATCH else module.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    return loop


def settle(name: str) -> None:
    """Put in asyncio's place what a user of this loop would; before a program is imported."""
    if name in (SUBJECT, PURE):
        importlib.import_module(MODULES[name]).install()


def names(loop: str) -> ModuleType:
    """Where a program on this loop finds streams, queues, locks, timeouts and groups.

    The subject has its own ones, under asyncio's names.
    """
    return importlib.import_module("treadle.aio" if loop in (SUBJECT, PURE) else "asyncio")


def version(name: str) -> str:
    """The version of the installed package; asyncio has none but Python's."""
    if name == "asyncio":
        return "standard library"
    try:
        return metadata.version(MODULES[name])
    except metadata.PackageNotFoundError:
        return str(getattr(importlib.import_module(MODULES[name]), "__version__", "unknown"))


def obstacle(name: str) -> str | None:
    """Why this loop cannot be measured here; None when it can."""
    module = MODULES[name]
    try:
        new_loop(name).close()
    except ModuleNotFoundError as error:
        return "not installed" if error.name == module else f"broken: {error}"
    except Exception as error:
        return f"broken: {type(error).__name__}: {error}"
    return None


class CannotError(Exception):
    """A workload cannot be run on this loop, or here at all; says what is missing."""


def missing_method(error: NotImplementedError) -> str:
    """That the loop lacks the method that raised `error`."""
    frame = error.__traceback__
    assert frame is not None
    while frame.tb_next is not None:
        frame = frame.tb_next
    reason = f": {error}" if str(error) else ""
    return f"{frame.tb_frame.f_code.co_name} raises NotImplementedError{reason}"
