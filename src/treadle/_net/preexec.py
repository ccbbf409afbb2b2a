"""Starting a process with a `preexec_fn` without waiting for that function in the loop's thread.

Facts. `Popen` forks; the child runs `preexec_fn`, then the program. The parent waits, by reading a
pipe (`errpipe`), until the child has either written there why it failed, or has closed its end by
running the program. So a `preexec_fn` that takes long holds up the loop.

Why not start it in another thread. PR_SET_PDEATHSIG, for which `preexec_fn` is used most, is sent
when the *thread* ends that has started the child. And a lock that the loop's thread holds at that
moment would be locked for ever in the child, where that thread is not.

Design. The first thing that the child does is to put the writing end of a pipe of ours in the place
of its `errpipe`. That closes what the parent reads from: `Popen` returns as soon as it has forked.
What goes wrong in the child from then on is written to our pipe, in Popen's words, and the loop
reads it like any other pipe. The fork itself, and with it the child's parent and the state of all
locks, is what it is in asyncio.

The number of `errpipe` is a local variable of the method of `Popen` that calls us. Where a Python
should not have it under that name, nothing is replaced, and `Popen` waits as it does anyway.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from treadle._core.invoke import current_context
from treadle._net.pipes import ReadPipe

__all__ = ["StartReport"]


class StartReport(asyncio.Protocol):
    """What a child says of its start; closed by `forked` and by the end of `outcome`."""

    def __init__(self, preexec_fn: Callable[[], object]) -> None:
        self._preexec_fn = preexec_fn
        self._receiver, self._sender = os.pipe()
        self._said = bytearray()
        self._end: Any = None  # future: nothing more will be said

    def begin(self) -> None:
        """Let the parent go, then do what the user wants; runs in the child, as `preexec_fn`."""
        number = sys._getframe(1).f_locals.get("errpipe_write")
        if isinstance(number, int):
            os.dup2(self._sender, number, inheritable=False)
        self._preexec_fn()

    def forked(self, succeeded: bool) -> None:
        """Close what the parent does not need: all of it, if there is no child."""
        os.close(self._sender)
        if not succeeded:
            os.close(self._receiver)

    async def outcome(self, loop: Any, args: Any, keywords: dict[str, Any]) -> None:
        """Wait until the child runs the program; raise what `Popen` would have raised if not."""
        self._end = loop.create_future()
        pipe = ReadPipe(loop, self, current_context())
        with open(self._receiver, "rb", 0) as file:
            pipe.adopt(file, True)
        pipe.begin(None)
        try:
            await self._end
        finally:
            pipe.close()
        if self._said:
            raise _explained(bytes(self._said), args, keywords)

    def data_received(self, data: bytes) -> None:
        """Take a part of what the child says."""
        self._said += data

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hear that it says no more."""
        if not self._end.done():
            self._end.set_result(None)


def _explained(said: bytes, args: Any, keywords: dict[str, Any]) -> Exception:
    """Return the exception behind ``type:errno in hexadecimal:detail``."""
    kind, _, rest = said.partition(b":")
    number, _, detail = rest.decode(errors="replace").partition(":")
    if kind != b"OSError":
        return subprocess.SubprocessError(detail)
    code = int(number, 16)
    if detail == "noexec":
        return OSError(code, os.strerror(code))
    if detail == "noexec:chdir":
        return OSError(code, os.strerror(code), keywords.get("cwd"))
    program = "/bin/sh" if keywords.get("shell") else args[0]
    return OSError(code, os.strerror(code), keywords.get("executable") or program)
