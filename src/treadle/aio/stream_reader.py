# cython: nonecheck=True
"""Reading from a stream.

A read is an `Operation`: it looks whether the buffer has what it wants, and only if not makes a
future and waits. What arrives wakes it when it can be of use (`_wanted`): ``readexactly`` sleeps
until there is enough, ``read()`` until the end. All that is read stays in the buffer until the read
returns it. So a read that is cancelled, at any time, leaves every byte where it was.

The buffer is bounded: with more than twice the limit in it, and nobody waiting for more, the
transport is paused, and resumed when half of that is gone or somebody waits. ``readuntil`` finds
its separator within the limit or fails; it looks at each byte once, however many pieces came.

`ReaderCore` is compiled. What users see is `StreamReader`, an ordinary class that derives from it
and from asyncio's: programs ask ``isinstance(reader, asyncio.StreamReader)``, and derive from it.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events, format_helpers
from typing import Any

from treadle._core.invoke import settle
from treadle.aio.operation import Operation, new_operation
from treadle.aio.pieces import as_count
from treadle.aio.shortcuts import new_future
from treadle.aio.stand_in import StandIn
from treadle.aio.stream_buffer import StreamBuffer

__all__ = ["DEFAULT_LIMIT", "ReaderCore", "StreamReader"]

DEFAULT_LIMIT = 2**16  # bytes; asyncio's
_MOST = sys.maxsize
_HALF = sys.maxsize // 2
_IncompleteReadError = asyncio.IncompleteReadError
_InvalidStateError = asyncio.InvalidStateError
_LimitOverrunError = asyncio.LimitOverrunError

SOME, ALL, EXACTLY, UNTIL, UNTIL_ANY, LINE, NEXT_LINE = range(7)  # what a read can be
_NAMES = ("read", "read", "readexactly", "readuntil", "readuntil", "readline", "__anext__")


class ReaderCore(StreamBuffer):
    """A stream reader, all of it but the name."""

    def __init__(self, limit: int = DEFAULT_LIMIT, loop: Any = None) -> None:
        if limit <= 0:
            raise ValueError("Limit cannot be <= 0")
        StreamBuffer.__init__(self)
        self._limit = limit
        self._loop = events.get_event_loop() if loop is None else loop
        self._eof = False  # nothing more will be fed
        self._waiter: Any = None  # future of the read that waits
        self._wanted = 1  # bytes in the buffer that it waits for
        self._exception: BaseException | None = None
        self._transport: Any = None  # None also when it cannot be paused
        self._paused = False  # we paused the transport
        self._source_traceback: Any = None
        if self._loop.get_debug():
            self._source_traceback = format_helpers.extract_stack()

    @property
    def _limit(self) -> Any:
        return self._given_limit

    @_limit.setter
    def _limit(self, limit: Any) -> None:
        self._given_limit = limit
        self._low = int(min(limit, _HALF))  # resume at this size
        self._high = 2 * self._low  # pause above it

    def __repr__(self) -> str:
        info = ["StreamReader"]
        if self.size():
            info.append(f"{self.size()} bytes")
        if self._eof:
            info.append("eof")
        if self._limit != DEFAULT_LIMIT:
            info.append(f"limit={self._limit}")
        if self._waiter:
            info.append(f"waiter={self._waiter!r}")
        if self._exception:
            info.append(f"exception={self._exception!r}")
        if self._transport:
            info.append(f"transport={self._transport!r}")
        if self._paused:
            info.append("paused")
        return f"<{' '.join(info)}>"

    # being fed -----------------------------------------------------------------------------

    def exception(self) -> BaseException | None:
        """Return what `set_exception` was given, or None."""
        return self._exception

    def set_exception(self, exc: BaseException) -> None:
        """Have the read that waits, and all that follow, raise `exc`."""
        self._exception = exc
        waiter, self._waiter = self._waiter, None
        self._wanted = 1
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc)

    def set_transport(self, transport: Any) -> None:
        """Name the transport to pause when too much comes; once."""
        assert self._transport is None, "Transport already set"
        self._transport = transport

    def change_transport(self, transport: Any) -> None:
        """Go on with another transport, which is not paused."""
        self._transport = transport
        self._paused = False
        self._pause_if_full()

    def feed_data(self, data: Any) -> None:
        """Append bytes to what can be read."""
        if type(data) is not bytes:
            whole = bytearray()
            whole.extend(data)
            data = bytes(whole)
        self.put_in(data)

    def put_in(self, data: bytes) -> None:
        """Like `feed_data`."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        self.put(data)
        if self._waiter is not None:
            if self.size() < self._wanted:
                return
            self._wake()
        self._pause_if_full()

    def feed_eof(self) -> None:
        """Say that nothing more comes."""
        self._eof = True
        self._wake()

    def at_eof(self) -> bool:
        """Say whether all is read and nothing more comes."""
        return self._eof and not self.size()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        self._wanted = 1
        try:
            settle(waiter, None)
        except _InvalidStateError:
            pass  # its task was cancelled, and has not heard of it yet

    def _pause_if_full(self) -> None:
        if self._transport is None or self._paused or self.size() <= self._high:
            return
        try:
            self._transport.pause_reading()
        except NotImplementedError:
            self._transport = None  # it cannot be paused: do not ask it again
        else:
            self._paused = True

    def resume_if_low(self) -> None:
        """Let the transport go on if enough was read."""
        if self._paused and self.size() <= self._low:
            self.resume()

    def resume(self) -> None:
        """Let the transport go on."""
        self._paused = False
        self._transport.resume_reading()

    # reading -------------------------------------------------------------------------------

    def read(self, n: Any = -1) -> Any:
        """Read up to `n` bytes, as soon as there are any; without `n`, or -1, up to the end.

        Returns ``b""`` at the end of the stream, and for 0. Not bounded by the limit. Cancelled, it
        leaves all that came in the buffer.

        >>> import asyncio, treadle
        >>> async def main():
        ...     reader = treadle.StreamReader()
        ...     reader.feed_data(b"abcdef")
        ...     reader.feed_eof()
        ...     return await reader.read(2), await reader.read(), await reader.read()
        >>> asyncio.run(main())
        (b'ab', b'cdef', b'')
        """
        return new_operation(self, SOME, n)

    def readexactly(self, n: Any) -> Any:
        """Read exactly `n` bytes; ``asyncio.IncompleteReadError`` when the stream ends before.

        What is incomplete is in the exception's ``partial``, and gone from the buffer. ValueError
        for a negative `n`. Not bounded by the limit. Cancelled, it leaves all in the buffer.
        """
        return new_operation(self, EXACTLY, n)

    def readline(self) -> Any:
        r"""Read up to and with the next ``b"\n"``, or, without one, up to the end of the stream.

        ValueError for a line that is longer than the limit: it is then removed, or, when its end
        has not come yet, all that came of it. Cancelled, it leaves all in the buffer.
        """
        return new_operation(self, LINE, b"\n")

    def readuntil(self, separator: Any = b"\n") -> Any:
        r"""Read up to and with `separator`: bytes, or a tuple of them of which any will do.

        Of several separators the one that ends first counts, so that the result does not depend on
        the pieces in which the stream comes; of those the shortest.

        ``asyncio.LimitOverrunError`` when there is more than the limit before the separator, or in
        a stream without one: then nothing is removed, and the exception's ``consumed`` is how much
        can be read away. ``asyncio.IncompleteReadError`` at the end of the stream: then what was
        left is in its ``partial``. Cancelled, it leaves all in the buffer.

        >>> import asyncio, treadle
        >>> async def main():
        ...     reader = treadle.StreamReader()
        ...     reader.feed_data(b"one\rtwo\n")
        ...     return [await reader.readuntil((b"\n", b"\r")) for _ in range(2)]
        >>> asyncio.run(main())
        [b'one\r', b'two\n']
        """
        return new_operation(self, UNTIL, separator)

    def __aiter__(self) -> Any:
        return self

    def __anext__(self) -> Any:
        if type(self).readline is not _OUR_READLINE:
            return _next_line(self)
        return new_operation(self, NEXT_LINE, b"\n")

    # what a read does: `number` and `mark` of the operation are explained below ---------------

    def begin(self, operation: Operation) -> Any:
        """Check the argument, then read."""
        verb = operation.verb
        if verb <= EXACTLY:
            operation.number = as_count(operation.argument)
            if operation.number < 0:
                if verb == EXACTLY:
                    raise ValueError("readexactly size can not be less than zero")
                operation.verb = ALL
        else:
            operation.number = 0
            if type(operation.argument) is not bytes or not operation.argument:
                operation.argument = _separators_of(operation.argument)
                operation.verb = UNTIL_ANY
        if self._exception is not None:
            raise self._exception
        return self.go_on(operation)

    def woken(self, operation: Operation) -> Any:
        """Read on."""
        self.failed(operation)
        return self.go_on(operation)

    def failed(self, operation: Operation) -> None:
        """Let another read wait."""
        if self._waiter is operation.waiting:  # it was not the reader that woke it
            self._waiter = None
            self._wanted = 1

    def title(self, operation: Operation) -> str:
        """Return the name to show to users."""
        return f"StreamReader.{_NAMES[operation.verb]}"

    def go_on(self, operation: Operation) -> Any:
        """Return what is wanted, or wait for it."""
        data = self.attempt(operation)
        if data is None:
            if self._waiter is not None:
                raise RuntimeError(
                    f"{_NAMES[operation.verb]}() called while another coroutine is already "
                    "waiting for incoming data"
                )
            if self._paused:  # to wait while the transport is paused would be for ever
                self.resume()
                data = self.attempt(operation)
        if data is None:
            return self.wait(operation)
        if self._paused:
            self.resume_if_low()
        return data

    def wait(self, operation: Operation) -> Any:
        """Wait for as many bytes as make another attempt worth while."""
        self.settle()
        waiter = new_future(self._loop)
        self._waiter = waiter
        if operation.verb == ALL:
            self._wanted = _MOST  # only the end helps
        elif operation.verb == SOME:
            self._wanted = 1
        elif operation.verb == EXACTLY:
            self._wanted = operation.number
        else:
            self._wanted = operation.number + 1
        return operation.wait_for(waiter)

    def attempt(self, operation: Operation) -> Any:
        """Return what is wanted, or None if more must come first.

        For SOME and EXACTLY `number` is how many bytes are asked for.
        """
        verb = operation.verb
        if verb > EXACTLY:
            return self.attempt_until(operation)
        size = self.size()
        if verb == EXACTLY:
            if size >= operation.number:
                return self.take(operation.number)
            if self._eof:
                raise _IncompleteReadError(self.take(size), operation.number)
            return None
        if verb == ALL:
            return self.take(size) if self._eof else None
        if operation.number == 0:
            return b""
        if size == 0:
            return b"" if self._eof else None
        return self.take(size if size < operation.number else operation.number)

    def attempt_until(self, operation: Operation) -> Any:
        """The same for those that read up to a separator.

        `number` is how many bytes from the beginning of the buffer on can not be the beginning of
        one; `mark` is where the one that was found begins.
        """
        several = operation.verb == UNTIL_ANY
        end = self.look_for_any(operation) if several else self.look(operation)
        if end >= 0:
            if operation.mark > self._low:
                message = "Separator is found, but chunk is longer than limit"
                return self.overrun(operation, end, message)
            return self.take(end)
        if operation.number > self._low:
            operation.mark = operation.number
            message = "Separator is not found, and chunk exceed the limit"
            return self.overrun(operation, -1, message)
        return self.ended(operation) if self._eof else None

    def look(self, operation: Operation) -> int:
        """Return where the separator ends, or -1."""
        separator: bytes = operation.argument
        size = self.size()
        length = len(separator)
        if size - operation.number < length:
            return -1
        place = self.seek(separator, operation.number)
        if place >= 0:
            operation.mark = place
            return place + length
        operation.number = size + 1 - length
        return -1

    def look_for_any(self, operation: Operation) -> int:
        """Return where the separator that ends first ends, or -1."""
        size = self.size()
        found = -1
        length = 0
        for separator in operation.argument:
            length = len(separator)
            place = self.seek(separator, operation.number)
            if place >= 0 and (found < 0 or place + length < found):
                found = place + length
                operation.mark = place
        if found < 0 and size + 1 - length > operation.number:
            operation.number = size + 1 - length
        return found

    def overrun(self, operation: Operation, end: int, message: str) -> Any:
        """Fail because of the limit; `end` is where the separator ends, -1 when there is none."""
        if operation.verb < LINE:
            raise _LimitOverrunError(message, operation.mark)
        if end >= 0:
            self.take(end)
        else:
            self.clear()
        self.resume_if_low()
        raise ValueError(message)

    def ended(self, operation: Operation) -> Any:
        """Take what is left where the stream has ended, or fail."""
        if operation.verb == NEXT_LINE and not self.size():
            raise StopAsyncIteration
        left = self.take(self.size())
        if operation.verb < LINE:
            raise _IncompleteReadError(left, None)
        return left


_OUR_READLINE = ReaderCore.readline


async def _next_line(reader: Any) -> bytes:
    """Read the next line with the method of a derived class."""
    line: bytes = await reader.readline()
    if line == b"":
        raise StopAsyncIteration
    return line


def _separators_of(given: Any) -> list[bytes]:
    """Return the separators that a user gave, shortest first."""
    separators = given if isinstance(given, tuple) else (given,)
    found = sorted((bytes(memoryview(separator)) for separator in separators), key=len)
    if not found:
        raise ValueError("Separator should contain at least one element")
    if not found[0]:
        raise ValueError("Separator should be at least one-byte string")
    return found


class StreamReader(ReaderCore, asyncio.StreamReader, StandIn):  # type: ignore[misc]
    """Reads bytes from a stream; `open_connection` and `start_server` make them.

    `limit`, in bytes, bounds ``readline`` and ``readuntil`` and, doubled, what is received ahead
    of the reading. One read at a time: a second one that would have to wait fails. ``async for``
    gives lines.

    >>> import asyncio, treadle
    >>> async def main():
    ...     reader = treadle.StreamReader()
    ...     reader.feed_data(b"one\\ntwo")
    ...     reader.feed_eof()
    ...     return [line async for line in reader]
    >>> asyncio.run(main())
    [b'one\\n', b'two']
    """

    __module__ = "treadle"
