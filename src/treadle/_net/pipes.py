"""Pipe transports: one direction of a pipe, a socket or a character device.

Facts. read(2) and write(2) know all three; recv(2) and send(2) know sockets only, hence the kind
`Pipe` of the drivers. A writer learns that the reader has gone by an error that the kernel reports
without being asked for it; a terminal reports no such thing. A terminal's master end fails with EIO
when the last slave end is closed: that is its end of file, and asyncio's protocols hear it as
``connection_lost(OSError(EIO))``.

Hazards. A file object has no count by which it could be kept open, as a socket object has: its user
may close it behind our back, and then its number is somebody else's. So for a pipe that a user
hands in, the transport has a descriptor of its own, a duplicate, and closes it together with the
user's object. Two transports on one terminal, one for each direction, then do not share a number
either. O_NONBLOCK belongs to the open file, and so is set for all its duplicates, in other
processes too; as in asyncio it is not taken back. A pipe that we made for a child process is used
as it is.

States are those of ``tcp.py``: ``OPEN`` -> ``FLUSHING`` (closed by us, bytes still to be sent) ->
``LOST`` (connection_lost is queued) -> ``CLOSED`` (descriptors closed). A reader never flushes. A
pipe has one direction, so to write the end of file is to close it.

Every call of a protocol method may close this transport, switch its protocol or raise. So each is
the last thing its method does, or the method looks at the state again afterwards.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import warnings
from contextvars import Context
from typing import Any

from treadle._core.invoke import invoke_method, invoke_method1
from treadle._core.log import logger
from treadle._drivers.base import Driver, Pipe
from treadle._net.buffer import WriteBuffer, as_bytes, flat
from treadle._net.failures import note, report

__all__ = ["ReadPipe", "WritePipe"]

OPEN = 0
FLUSHING = 1
LOST = 2
CLOSED = 3
_NEXT = {OPEN: (FLUSHING, LOST), FLUSHING: (LOST,), LOST: (CLOSED,), CLOSED: ()}
_STATE_NAMES = {OPEN: "", FLUSHING: "closing", LOST: "closing", CLOSED: "closed"}

_SILENT_WRITES = 5  # writes on a lost pipe before a warning is logged, as in asyncio

_ReadTransport = asyncio.ReadTransport
_WriteTransport = asyncio.Transport  # what asyncio's writing ends are, too


class PipeTransport(Pipe):
    """What both directions share: a descriptor, a protocol, and how they part."""

    def __init__(self, loop: Any, protocol: Any, context: Context) -> None:
        Pipe.__init__(self)
        self._loop = loop
        self._driver: Driver = loop._driver
        self._context = context  # what protocol methods run in
        self._protocol = protocol  # None again after connection_lost
        self._state = OPEN
        self._pipe: Any = None  # the file object; closed by us, kept for get_extra_info
        self._is_copy = False  # our descriptor is a duplicate, which we close ourselves
        self._number = -1  # descriptor number of `_pipe`, for repr

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._state != OPEN:
            info.append(_STATE_NAMES[self._state])
        info.append(f"fd={self._number}")
        if self.fd >= 0:
            info += self._activity()
        return f"<{' '.join(info)}>"

    def __del__(self) -> None:
        if self.fd >= 0 and self._state != CLOSED:
            if not self._loop._inherited:
                warnings.warn(
                    f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self
                )
            self._release()

    # life ----------------------------------------------------------------------------------

    def adopt(self, pipe: Any, shared: bool) -> int:
        """Own `pipe` from now on, also its closing; return the file type of its mode.

        `shared`: others know the object, so a duplicate of its descriptor is used. When this fails
        (ValueError: no pipe, socket or character device), the pipe is still the caller's.
        """
        number: int = pipe.fileno()
        kind = stat.S_IFMT(os.fstat(number).st_mode)
        if kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR):
            raise ValueError("Pipe transport is only for pipes, sockets and character devices")
        os.set_blocking(number, False)
        fd = os.dup(number) if shared else number
        try:
            self._driver.attach(self, fd)
        except BaseException:
            if shared:
                os.close(fd)
            raise
        self._pipe = pipe
        self._is_copy = shared
        self._number = number
        return kind

    def begin(self, waiter: Any) -> None:
        """Call ``connection_made``, begin to watch, then wake `waiter`."""
        if self._state != CLOSED:
            try:
                self._protocol.connection_made(self)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                self._report(exc, "Error in protocol.connection_made()")
        try:
            self._engage()
        except OSError as exc:  # the kernel cannot watch this: /dev/null, for example
            self._force_close(exc)
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc)
                return
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _engage(self) -> None:
        """Begin to watch, unless the transport is closed or paused by now."""
        raise NotImplementedError

    def _activity(self) -> list[str]:
        """Return what ``repr`` tells of an open transport."""
        raise NotImplementedError

    def dispose(self) -> None:
        """Close at once and tell nobody: the loop is closed."""
        if self._state != CLOSED:
            self._state = CLOSED
            self._release()

    def _force_close(self, exc: BaseException | None) -> None:
        if self._state < LOST:
            self._lose(exc)

    def _lose(self, exc: BaseException | None) -> None:
        self._enter(LOST)
        self._driver.set_interest(self, 0)
        self._loop.call_soon(self._call_connection_lost, exc, context=self._context)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._protocol = None
            self.dispose()

    def _release(self) -> None:
        if self._is_copy:
            self._driver.close(self)
        else:
            self._driver.detach(self)
        self._pipe.close()

    def _enter(self, state: int) -> None:
        assert state in _NEXT[self._state], (self._state, state)
        self._state = state

    def _report(self, exc: BaseException, message: str) -> None:
        report(self._loop, self, self._protocol, exc, message)

    def _log(self, exc: BaseException, message: str) -> None:
        note(self._loop, self, exc, message)

    def set_protocol(self, protocol: Any) -> None:
        """Have `protocol` hear what happens from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol, or None after ``connection_lost``."""
        return self._protocol

    def is_closing(self) -> bool:
        """Say whether the transport is closed or about to be."""
        return self._state != OPEN

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``pipe``, the file object, or `default`."""
        return self._pipe if name == "pipe" and self._pipe is not None else default


class ReadPipe(PipeTransport):
    """The reading end of a pipe and the protocol that hears what comes."""

    def __init__(self, loop: Any, protocol: Any, context: Context) -> None:
        PipeTransport.__init__(self, loop, protocol, context)
        self._paused = False  # reading paused by the user

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _ReadTransport

    def _engage(self) -> None:
        if self._state == OPEN and not self._paused:
            self._driver.start_receiving(self)

    def _activity(self) -> list[str]:
        return ["polling" if self.interest else "idle"]

    def close(self) -> None:
        """Stop receiving and call ``connection_lost(None)``; what was not read is lost."""
        self._force_close(None)

    def is_reading(self) -> bool:
        """Say whether the transport receives now."""
        return self._state == OPEN and not self._paused

    def pause_reading(self) -> None:
        """Stop calling the protocol with data; harmless when repeated."""
        if self._state == OPEN and not self._paused:
            self._paused = True
            self._driver.stop_receiving(self)

    def resume_reading(self) -> None:
        """Go on after `pause_reading`; harmless when repeated."""
        if self._state == OPEN and self._paused:
            self._paused = False
            try:
                self._driver.start_receiving(self)
            except OSError as exc:  # the kernel cannot watch one more
                self._log(exc, "Fatal error: the kernel cannot watch the pipe")
                self._force_close(exc)

    def drain(self, rounds: int) -> None:
        """Receive now what is there, as long as reading is not paused, so many times at most."""
        while rounds > 0 and self._state == OPEN and not self._paused:
            rounds -= 1
            self._driver.receive(self)

    def received(self, data: bytes) -> None:
        """Take what arrived (called by the driver)."""
        try:
            invoke_method1(self._context, self._protocol, "data_received", data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            # asyncio's pipes stay open, and so do ours
            self._report(exc, "Error in protocol.data_received()")

    def received_eof(self) -> None:
        """Hear that nothing more will come (called by the driver)."""
        self._enter(LOST)
        self._driver.set_interest(self, 0)
        try:
            invoke_method(self._context, self._protocol, "eof_received")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "Error in protocol.eof_received()")
        finally:
            self._loop.call_soon(self._call_connection_lost, None, context=self._context)

    def receive_failed(self, exc: Exception) -> None:
        """Hear that receiving failed for good (called by the driver)."""
        message = "Fatal read error on pipe transport"
        if isinstance(exc, OSError) and exc.errno == errno.EIO:
            self._log(exc, message)  # how a terminal ends
        else:
            self._report(exc, message)
        self._force_close(exc)


class WritePipe(PipeTransport):
    """The writing end of a pipe, with flow control."""

    def __init__(self, loop: Any, protocol: Any, context: Context) -> None:
        PipeTransport.__init__(self, loop, protocol, context)
        self._buffer = WriteBuffer()
        self._lost_writes = 0  # writes since the pipe was closed or lost
        self._can_hang_up = False  # the kernel tells when the reader goes: not of terminals

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _WriteTransport

    def adopt(self, pipe: Any, shared: bool) -> int:
        """Own `pipe` from now on (see `PipeTransport.adopt`)."""
        kind = PipeTransport.adopt(self, pipe, shared)
        self._can_hang_up = kind != stat.S_IFCHR
        return kind

    def _engage(self) -> None:
        if self._state < LOST and self._can_hang_up:
            self._driver.await_hangup(self)

    def _activity(self) -> list[str]:
        return ["polling" if self.interest & 2 else "idle", f"bufsize={self._buffer.size}"]

    # ending --------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is buffered, then call ``connection_lost(None)``."""
        if self._state == OPEN:
            if self._buffer.size == 0:
                self._lose(None)
            else:
                self._enter(FLUSHING)

    def write_eof(self) -> None:
        """Close: a pipe has no other way to tell the reader that nothing more will come."""
        self.close()

    def can_write_eof(self) -> bool:
        """Say that `write_eof` is possible."""
        return True

    def abort(self) -> None:
        """Drop what is buffered and call ``connection_lost(None)``."""
        self._force_close(None)

    def hung_up(self) -> None:
        """Hear that nobody reads any more (called by the driver)."""
        self._force_close(BrokenPipeError() if self._buffer.size else None)

    def _lose(self, exc: BaseException | None) -> None:
        self._buffer.clear()
        PipeTransport._lose(self, exc)

    def _send_failed(self, exc: OSError) -> None:
        self._log(exc, "Fatal write error on pipe transport")
        self._lost_writes += 1
        self._force_close(exc)

    # sending -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes: at once what the kernel takes, the rest when it can. Never blocks.

        After `close` or a lost pipe the data is dropped, with a warning in the log when that goes
        on.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        if not isinstance(data, bytes):
            data = flat(data)
        size = len(data)
        if size == 0:
            return
        if self._state != OPEN:
            self._count_lost_write()
            return
        buffer = self._buffer
        sent = 0
        if buffer.size == 0:
            try:
                sent = self._driver.send(self, data, 0)
            except OSError as exc:
                self._send_failed(exc)
                return
        if sent < size:
            if isinstance(data, bytes):
                buffer.append(data, sent)
            else:
                buffer.append(bytes(memoryview(data)[sent:]))
            self._await_send()
            self._maybe_pause()

    def writelines(self, list_of_data: Any) -> None:
        """Send several pieces of bytes with one system call."""
        chunks = [chunk for chunk in map(as_bytes, list_of_data) if chunk]
        if not chunks:
            return
        if self._state != OPEN:
            self._count_lost_write()
            return
        buffer = self._buffer
        idle = buffer.size == 0
        for chunk in chunks:
            buffer.append(chunk)
        if idle:
            self._flush()
        if buffer.size and self._state < LOST:
            self._await_send()
            self._maybe_pause()

    def send_ready(self) -> None:
        """Send what is buffered (called by the driver when the kernel takes bytes)."""
        if self._state >= LOST or not self._flush():
            return
        buffer = self._buffer
        if buffer.crossed_low():
            self._resume_protocol()
        if buffer.size or self._state >= LOST:  # the protocol wrote, or closed
            return
        try:
            self._driver.forget_send(self)
        except OSError as exc:
            self._send_failed(exc)
        if self._state == FLUSHING:
            self._lose(None)

    def _await_send(self) -> None:
        try:
            self._driver.await_send(self)
        except OSError as exc:  # the kernel cannot watch one more
            self._send_failed(exc)

    def _flush(self) -> bool:
        """Send from the buffer once; False when the pipe broke over it."""
        buffer = self._buffer
        try:
            count = self._driver.send_many(self, buffer.chunks, buffer.offset)
        except OSError as exc:
            self._send_failed(exc)
            return False
        buffer.consume(count)
        return True

    def _count_lost_write(self) -> None:
        if self._lost_writes >= _SILENT_WRITES:
            logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
        self._lost_writes += 1

    # flow control --------------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait to be sent."""
        return self._buffer.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        return (self._buffer.low, self._buffer.high)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, at which the protocol is asked to pause and to resume."""
        self._buffer.set_limits(high, low)
        self._maybe_pause()

    def _maybe_pause(self) -> None:
        """Ask the protocol to pause if the buffer is too full; runs in the writer's context."""
        if not self._buffer.crossed_high():
            return
        self._tell_hooks(True)
        try:
            self._protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.pause_writing() failed")

    def _resume_protocol(self) -> None:
        self._tell_hooks(False)
        try:
            invoke_method(self._context, self._protocol, "resume_writing")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.resume_writing() failed")

    def _tell_hooks(self, waiting: bool) -> None:
        if self._loop._hooks is not None:
            self._loop._hooks.tell("resource_waits", self, waiting)
