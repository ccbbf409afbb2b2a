"""What fork(2) does to a loop: in the child it is useless, and for the parent nothing changes.

Facts. A forked child has copies of the parent's descriptors, but these lead to the same kernel
objects. An epoll set is one of them: a descriptor that the child deletes from "its" set is deleted
from the parent's. So is the eventfd or the socket by which the parent is woken, and the socket to
which the C-level signal handler writes: a signal that the child gets would be delivered to the
parent's loop. Of the threads, the child has only the one that forked.

So, right after a fork, each loop that the child has inherited is parted from its kernel objects:
the child's descriptors of them are closed, which tells the parent's nothing, and no further call
reaches them. The loop is closed from then on and says why. Descriptors of transports stay open, as
after any fork, and are closed when the transports are dropped: the socket objects among them are
the user's.

Forks that run no Python in the child (subprocess, posix_spawn) need none of this, and pay nothing.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

__all__ = ["remember"]

_loops: weakref.WeakSet[Any] = weakref.WeakSet()  # every loop that may be inherited


def remember(loop: Any) -> None:
    """Have `loop` hear in every forked child that it was left behind."""
    _loops.add(loop)


def _after_fork() -> None:
    for loop in list(_loops):
        loop._leave_behind()
    _loops.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
