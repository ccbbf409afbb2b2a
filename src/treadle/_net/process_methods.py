"""The loop's methods for pipes and child processes: arguments are checked here.

The neighbours are imported when first needed: most programs start no process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from treadle._core.log import logger

__all__ = ["ProcessMethods"]


class ProcessMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio."""

    async def connect_read_pipe(
        self, protocol_factory: Callable[[], Any], pipe: Any
    ) -> tuple[Any, Any]:
        """Read from `pipe`, a file object of a pipe, socket or character device.

        Returns (transport, protocol). The transport closes `pipe`. Raises ValueError for other
        files, and OSError when the kernel cannot watch it; then `pipe` is still yours where
        ``connection_made`` was not called. A cancellation closes it.
        """
        from treadle._net.pipes import ReadPipe

        return await _connect(self, ReadPipe, protocol_factory, pipe)

    async def connect_write_pipe(
        self, protocol_factory: Callable[[], Any], pipe: Any
    ) -> tuple[Any, Any]:
        """Write to `pipe`; see `connect_read_pipe`."""
        from treadle._net.pipes import WritePipe

        return await _connect(self, WritePipe, protocol_factory, pipe)

    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], Any],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run a program in a child process; return (transport, protocol).

        `kwargs` are those of `subprocess.Popen`, which says what it raises. A cancellation kills
        the process.
        """
        _check_bytes_only(universal_newlines, bufsize, encoding, errors, text)
        if shell:
            raise ValueError("shell must be False")
        kwargs |= {"stdin": stdin, "stdout": stdout, "stderr": stderr, "bufsize": 0}
        return await _start(self, protocol_factory, (program, *args), kwargs)

    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], Any],
        cmd: Any,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run a command line by the shell; see `subprocess_exec`."""
        if not isinstance(cmd, (bytes, str)):
            raise ValueError("cmd must be a string")
        _check_bytes_only(universal_newlines, bufsize, encoding, errors, text)
        if not shell:
            raise ValueError("shell must be True")
        kwargs |= {"stdin": stdin, "stdout": stdout, "stderr": stderr, "bufsize": 0}
        return await _start(self, protocol_factory, cmd, kwargs | {"shell": True})


async def _connect(
    loop: Any, kind: Any, protocol_factory: Callable[[], Any], pipe: Any
) -> tuple[Any, Any]:
    from treadle._core.invoke import current_context

    protocol = protocol_factory()
    transport = kind(loop, protocol, current_context())
    transport.adopt(pipe, True)
    waiter = loop.create_future()
    loop.call_soon(transport.begin, waiter)
    try:
        await waiter
    except BaseException:
        if loop.is_closed():
            transport.dispose()
        else:
            transport.close()
        raise
    return transport, protocol


async def _start(
    loop: Any, protocol_factory: Callable[[], Any], args: Any, keywords: dict[str, Any]
) -> tuple[Any, Any]:
    from treadle._net.process import start_process

    protocol = protocol_factory()
    transport = await start_process(loop, protocol, args, keywords)
    if loop.get_debug():
        # no arguments: they may hold passwords, and may be long
        logger.info("started %r", transport)
    return transport, protocol


def _check_bytes_only(
    universal_newlines: Any, bufsize: int, encoding: Any, errors: Any, text: Any
) -> None:
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")
