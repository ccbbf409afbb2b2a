"""Run every program on one kind of loop and print what they logged.

``python -m tests.differential.run_all LOOP`` prints ``{program: log}`` as JSON; LOOP is ``asyncio``
or ``treadle``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.differential.asyncio_programs import PROGRAMS

PATIENCE = 5  # seconds for one program; none should come near it


class Hangs(BaseException):
    """A program waits for something that does not come."""


def factory_of(name: str) -> Callable[[], Any]:
    """Return what makes a loop of the kind `name`."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    import treadle  # asyncio's run shall not depend on it

    return treadle.Loop


def lose(*_: object) -> None:
    raise Hangs


def run(program: Callable[..., Any], factory: Callable[[], Any]) -> list[Any]:
    """Run one program and return its log; what it did not catch comes last."""
    log: list[Any] = []
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)
    try:
        if asyncio.iscoroutinefunction(program):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(program(log))
        else:
            loop = factory()
            try:
                program(loop, log)
            finally:
                loop.close()
    except BaseException as exc:
        log.append(f"UNCAUGHT {exc!r}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return log


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGALRM, lose)
    factory = factory_of(arguments[0])
    names = arguments[1:] or list(PROGRAMS)
    logs = {name: run(PROGRAMS[name], factory) for name in names}
    json.dump(logs, sys.stdout, default=repr)


if __name__ == "__main__":
    main(sys.argv[1:])
