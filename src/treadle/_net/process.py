"""Subprocess transports: a child process, its pipes, and the protocol that hears of both.

Children are started by `subprocess.Popen` in the loop's thread, as in asyncio, so every argument
means what it means there. What the loop adds begins when Popen returns: pipes become transports
(``pipes.py``), and the end of the process is watched for (``_core/children.py``). With a
`preexec_fn`, Popen returns before the program runs (``preexec.py``), and the rest waits for that.

Order. ``connection_made`` comes first and alone; then the pipes are read and the process watched.
Data of the pipes, their ends, and ``process_exited`` come in the order in which the kernel reports
them; ``connection_lost`` comes last, when the process has ended and all pipes are closed.

`wait` ends with the process, not with the pipes: a grandchild that has inherited one may hold it
for ever. What the process has written by its end is in the pipes, though, and is delivered before.

Why not asyncio's base class: it loses the pipes that are not connected yet when one of them fails,
its `wait` can outlive the process, and each start costs a task and four waiters.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import warnings
from contextvars import Context
from typing import Any

from treadle._core.children import Child, Children
from treadle._core.invoke import current_context
from treadle._core.log import logger
from treadle._net.pipes import ReadPipe, WritePipe
from treadle._net.preexec import StartReport

__all__ = ["ProcessTransport", "start_process"]

_STDIN = 0
_LAST_READS = 16  # receives per pipe when the process has ended: more than a pipe holds


async def start_process(
    loop: Any, protocol: Any, args: Any, keywords: dict[str, Any]
) -> ProcessTransport:
    """Start a child process for `protocol`; `args` and `keywords` are Popen's.

    Raises what Popen raises. When it fails or is cancelled afterwards, the process is killed and
    waited for, and no descriptor stays open.
    """
    report: StartReport | None = None
    if keywords.get("preexec_fn") is not None:
        report = StartReport(keywords["preexec_fn"])
        keywords = keywords | {"preexec_fn": report.begin}
    try:
        popen = subprocess.Popen(args, **keywords)
    except BaseException:
        if report is not None:
            report.forked(False)
        raise
    transport = ProcessTransport(loop, protocol, popen)
    try:
        if report is not None:
            report.forked(True)
            await report.outcome(loop, args, keywords)
        waiter = loop.create_future()
        loop.call_soon(transport._begin, waiter, context=transport._context)
        await waiter
    except GeneratorExit:  # dropped: nothing may be waited for
        transport._give_up()
        raise
    except BaseException:
        transport._give_up()
        await transport._wait()
        raise
    return transport


class ProcessTransport(asyncio.SubprocessTransport):
    """A child process and its pipes."""

    def __init__(self, loop: Any, protocol: Any, popen: subprocess.Popen[bytes]) -> None:
        super().__init__({"subprocess": popen})
        self._loop = loop
        self._protocol = protocol  # None again after connection_lost
        self._popen = popen
        self._context: Context = current_context()  # what protocol methods run in
        self._pid = popen.pid
        self._returncode: int | None = None
        self._closed = False  # close() was called
        self._exited = False  # process_exited() was called
        self._finished = False  # connection_lost() is queued or was called
        self._pipes: dict[int, PipeProtocol] = {}  # by the child's descriptor number
        self._exit_waiters: list[asyncio.Future[int]] = []  # of `wait` calls
        if loop._children is None:
            loop._children = Children(loop)
        self._child: Child = loop._children.add(popen, self._process_ended)
        self._begun = False  # the protocol may be called, and the process is watched
        self._adopt_error: Exception | None = None  # why a pipe could not become a transport
        self._adopt_pipes()

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        info.append(f"pid={self._pid}")
        info.append("running" if self._returncode is None else f"returncode={self._returncode}")
        names = ("stdin", "stdout", "stderr")
        info += [f"{names[number]}={pipe.transport!r}" for number, pipe in self._pipes.items()]
        return f"<{' '.join(info)}>"

    def __del__(self) -> None:
        if not self._closed and not self._finished and not self._loop._inherited:
            warnings.warn(
                f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self
            )
            self.close()

    # life ----------------------------------------------------------------------------------

    def _adopt_pipes(self) -> None:
        files = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        for number, file in enumerate(files):
            if file is None:
                continue
            pipe = PipeProtocol(self, number)
            kind = WritePipe if number == _STDIN else ReadPipe
            transport = kind(self._loop, pipe, self._context)
            try:
                transport.adopt(file, False)
            except Exception as exc:
                self._adopt_error = exc
                file.close()
                continue
            pipe.transport = transport
            self._pipes[number] = pipe

    def _begin(self, waiter: asyncio.Future[None]) -> None:
        if self._begun:
            return  # given up
        if self._adopt_error is not None:
            waiter.set_exception(self._adopt_error)
            return
        self._begun = True
        self._call("connection_made", self)
        for pipe in list(self._pipes.values()):
            pipe.transport.begin(None)
        self._child.watch()
        if not waiter.done():
            waiter.set_result(None)

    def _give_up(self) -> None:
        """End a process whose start has failed; a protocol that heard nothing hears nothing."""
        self.close()
        if not self._begun:
            self._begun = True
            self._protocol = asyncio.SubprocessProtocol()
            self._child.watch()

    def close(self) -> None:
        """Close the pipes, and kill the process if it still runs."""
        if self._closed:
            return
        self._closed = True
        loop_is_closed = self._loop.is_closed()
        for pipe in list(self._pipes.values()):
            if loop_is_closed:
                pipe.transport.dispose()
            else:
                pipe.transport.close()
        if self._loop._inherited or self._returncode is not None or self._child.poll() is not None:
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        try:
            self._popen.kill()
        except PermissionError:
            pass  # it runs as another user

    def _process_ended(self, returncode: int) -> None:
        self._returncode = returncode
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        for pipe in list(self._pipes.values()):
            pipe.drain(_LAST_READS)
        self._loop.call_soon(self._call_process_exited, context=self._context)

    def _call_process_exited(self) -> None:
        self._exited = True
        try:
            self._protocol.process_exited()
        finally:
            self._finish_if_done()
            if not self._finished:
                self._wake_waiters()  # somebody else holds a pipe, or nobody reads it

    def _pipe_lost(self, number: int, exc: BaseException | None) -> None:
        self._call("pipe_connection_lost", number, exc)
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._exited and not self._finished and all(pipe.lost for pipe in self._pipes.values()):
            self._finished = True
            self._loop.call_soon(self._call_connection_lost, context=self._context)

    def _call_connection_lost(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._protocol = None
            self._wake_waiters()

    def _call(self, name: str, *args: Any) -> None:
        """Call the protocol from one of its pipes; what it raises is reported, nothing ends."""
        try:
            getattr(self._protocol, name)(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._loop.call_exception_handler(
                {
                    "message": f"Error in protocol.{name}()",
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    # waiting, under the name by which asyncio.subprocess.Process calls it --------------------

    async def _wait(self) -> int:
        if self._returncode is not None and (self._exited or self._loop.is_closed()):
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.append(waiter)
        try:
            returncode: int = await waiter
        finally:
            if waiter in self._exit_waiters:
                self._exit_waiters.remove(waiter)
        return returncode

    def _wake_waiters(self) -> None:
        waiters, self._exit_waiters = self._exit_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(self._returncode)  # type: ignore[arg-type]

    # what asyncio.SubprocessTransport promises -----------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Have `protocol` hear what happens from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol, or None after ``connection_lost``."""
        return self._protocol

    def is_closing(self) -> bool:
        """Say whether `close` was called."""
        return self._closed

    def get_pid(self) -> int:
        """Return the process's number."""
        return self._pid

    def get_returncode(self) -> int | None:
        """Return the status, negative for the signal that ended the process; None while it runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """Return the transport to the child's descriptor 0, 1 or 2, or None."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.transport

    def send_signal(self, signal: int) -> None:
        """Send a signal; ProcessLookupError after ``connection_lost``.

        Does nothing when the process has ended and that was not told yet.
        """
        if self._protocol is None:
            raise ProcessLookupError
        if self._returncode is None and self._child.poll() is None:
            self._popen.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class PipeProtocol(asyncio.Protocol):
    """Hears one pipe and tells the process's protocol."""

    def __init__(self, process: ProcessTransport, number: int) -> None:
        self._process: Any = process  # None again after connection_lost
        self._number = number
        self.transport: Any = None
        self.lost = False

    def drain(self, rounds: int) -> None:
        """Receive what the process has left in the pipe."""
        if self._number != _STDIN:
            self.transport.drain(rounds)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        self._process._call("pipe_data_received", self._number, data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand on."""
        self.lost = True
        process, self._process = self._process, None
        process._pipe_lost(self._number, exc)

    def pause_writing(self) -> None:
        """Hand on."""
        self._process._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._process._protocol.resume_writing()
