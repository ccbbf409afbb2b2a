"""Which core the server runs on and which one the load comes from.

A server and its load on one core measure the scheduler. The first and the last core this process
may use are taken: on Linux's usual numbering these are not two threads of one physical core.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def split() -> tuple[int, int] | None:
    """(server's core, load's core); None when there is only one or none can be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[-1], cores[0]) if len(cores) > 1 else None


@contextmanager
def on(core: int | None) -> Iterator[None]:
    """Keep this thread, and the processes it starts meanwhile, on a core; None leaves it free.

    A process inherits its place: it never runs elsewhere first, as it would if it were moved once
    it is there, and a program in C needs no code for it.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
