"""Child processes: hearing of their end, and reaping each of them exactly once.

Facts. A process that has ended keeps its number until its parent has asked for the status (it is a
zombie); from then on the number may be another process's. waitpid(2) asks for the status and frees
the number in one step. A pidfd (pidfd_open(2), Linux 5.3) becomes readable when the process ends.
waitid(2) with WNOWAIT waits for the end and leaves the zombie alone.

Design. A driver watches the pidfd. Where there is none (another kernel, a sandbox, no descriptor
left), a thread waits with WNOWAIT and tells the loop. In both cases it is the loop's thread that
reaps, so a signal sent by that thread never hits a process that has got the number since. There is
no SIGCHLD and no lock, nothing needs the main thread, and each loop minds its own children.

A loop that is closed while children run leaves them to threads, which reap them when they end.

May not know: pipes, protocols, how a process was started.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

from treadle._core.executor import run_aside
from treadle._core.log import logger
from treadle._drivers.base import READ, Endpoint

__all__ = ["Child", "Children"]

UNKNOWN_STATUS = 255  # reported for a child that somebody else has reaped, as in asyncio


class Children:
    """The child processes of one loop that have not been reaped."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._running: set[Child] = set()

    def add(self, popen: subprocess.Popen[bytes], ended: Callable[[int], None]) -> Child:
        """Be responsible for a child; ``ended(returncode)`` is called after `Child.watch`."""
        child = Child(self._loop, popen, ended)
        self._running.add(child)
        return child

    def remove(self, child: Child) -> None:
        """Hear that a child is reaped."""
        self._running.discard(child)

    def close(self) -> None:
        """Leave the children that still run to threads."""
        running, self._running = self._running, set()
        for child in running:
            child.leave()

    def disown(self) -> None:
        """In a forked child: they are the parent's children, not ours."""
        running, self._running = self._running, set()
        for child in running:
            child.disown()


class Child(Endpoint):
    """One child process, from its start until it is reaped."""

    def __init__(
        self, loop: Any, popen: subprocess.Popen[bytes], ended: Callable[[int], None]
    ) -> None:
        Endpoint.__init__(self)
        self._loop = loop
        self._popen = popen
        self._ended: Callable[[int], None] | None = ended  # None when told, or never to be told
        self._pidfd = -1  # owned; -1 before `watch`, after the end, and without the kernel's help

    def watch(self) -> None:
        """Begin to wait for the end of the process."""
        if self._ended is None:
            return
        try:
            self._pidfd = os.pidfd_open(self._popen.pid)
            self._loop._driver.attach(self, self._pidfd)
            self._loop._driver.set_interest(self, READ)
        except (AttributeError, OSError):  # no such call, not allowed, no descriptor left
            self._close_pidfd()
            run_aside(f"treadle-child-{self._popen.pid}", self._wait_in_thread)

    def poll(self) -> int | None:
        """Return the status of a process that has ended, reaping it, else None; loop's thread."""
        popen = self._popen
        if popen.returncode is None:
            try:
                pid, status = os.waitpid(popen.pid, os.WNOHANG)
            except ChildProcessError:
                logger.warning(
                    "Unknown child process pid %d, will report returncode %d: "
                    "somebody else has waited for it",
                    popen.pid,
                    UNKNOWN_STATUS,
                )
                popen.returncode = UNKNOWN_STATUS
            else:
                if pid:
                    popen.returncode = os.waitstatus_to_exitcode(status)
        return popen.returncode

    def ready(self, mask: int) -> None:
        """Hear that the process has ended (called by the driver)."""
        self._has_ended()

    def leave(self) -> None:
        """Have a thread reap the process when it ends; nobody is told."""
        self._ended = None
        self._close_pidfd()
        if self.poll() is None:
            try:
                run_aside(f"treadle-child-{self._popen.pid}", self._reap_in_thread)
            except RuntimeError:
                pass  # the interpreter is going down; the system reaps what it leaves

    def disown(self) -> None:
        """In a forked child: close our copy of the pidfd and touch nothing else."""
        self._ended = None
        self._popen.returncode = UNKNOWN_STATUS  # or Popen would wait for its parent's child
        self._close_pidfd()

    def _has_ended(self) -> None:
        ended = self._ended
        if ended is None or self.poll() is None:
            return
        self._ended = None
        self._close_pidfd()
        self._loop._children.remove(self)
        ended(self._popen.returncode)

    def _close_pidfd(self) -> None:
        self._loop._driver.detach(self)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _wait_in_thread(self) -> None:
        _wait_for(self._popen)
        try:
            self._loop.call_soon_threadsafe(self._has_ended)
        except RuntimeError:
            pass  # the loop is closed: `leave` has found another to reap it

    def _reap_in_thread(self) -> None:
        _wait_for(self._popen)
        self._popen.poll()


def _wait_for(popen: subprocess.Popen[bytes]) -> None:
    """Block until a process has ended, and leave it a zombie where the system can."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        popen.wait()
        return
    try:
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        pass  # reaped by somebody else; `poll` will say so
