# cython: nonecheck=True
"""Reading from a stream.

A read is an `Awaiting`: it looks whether the buffer has what it wants, and only if not makes a
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

from treadle._core.invoke import make_future
from treadle._core.wheel import Wheel
from treadle.aio.awaiting import Awaiting, start, swift
from treadle.aio.loop import Loop
from treadle.aio.pieces import as_count
from treadle.aio.stand_in import StandIn
from treadle.aio.stream_buffer import StreamBuffer

__all__ = ["DEFAULT_LIMIT", "ReaderCore", "StreamReader"]

DEFAULT_LIMIT = 2**16  # bytes; asyncio's
_MOST = sys.maxsize
_HALF = sys.maxsize // 2
_Loop = Loop
_IncompleteReadError = asyncio.IncompleteReadError
_InvalidStateError = asyncio.InvalidStateError
_LimitOverrunError = asyncio.LimitOverrunError


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
            waiter.set_result(None)
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
        count = as_count(n)
        if count < 0:
            return start(ReadAll.__new__(ReadAll), self, None, 0)
        return start(ReadSome.__new__(ReadSome), self, None, count)

    def readexactly(self, n: Any) -> Any:
        """Read exactly `n` bytes; ``asyncio.IncompleteReadError`` when the stream ends before.

        What is incomplete is in the exception's ``partial``, and gone from the buffer. ValueError
        for a negative `n`. Not bounded by the limit. Cancelled, it leaves all in the buffer.
        """
        return start(ReadExactly.__new__(ReadExactly), self, None, as_count(n))

    def readline(self) -> Any:
        r"""Read up to and with the next ``b"\n"``, or, without one, up to the end of the stream.

        ValueError for a line that is longer than the limit: it is then removed, or, when its end
        has not come yet, all that came of it. Cancelled, it leaves all in the buffer.
        """
        return start(ReadLine.__new__(ReadLine), self, b"\n", 0)

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
        if type(separator) is bytes and len(separator):
            return start(ReadUntil.__new__(ReadUntil), self, separator, 0)
        return start(ReadUntilAny.__new__(ReadUntilAny), self, separator, 0)

    def __aiter__(self) -> Any:
        return self

    def __anext__(self) -> Any:
        if type(self).readline is not _OUR_READLINE:
            return _next_line(self)
        return start(NextLine.__new__(NextLine), self, b"\n", 0)


_OUR_READLINE = ReaderCore.readline


async def _next_line(reader: Any) -> bytes:
    """Read the next line with the method of a derived class."""
    line: bytes = await reader.readline()
    if line == b"":
        raise StopAsyncIteration
    return line


def new_future(loop: Any) -> Any:
    """Do what ``loop.create_future()`` does; on a loop of ours as it is, by a C call."""
    if type(loop) is _Loop:
        wheel: Wheel = loop
        return make_future(wheel._future_keywords)
    return loop.create_future()


class Reading(Awaiting):
    """One read. `owner` is the reader; the other fields are explained by the derived classes."""

    def begin(self) -> Any:
        """Check the arguments, then read."""
        reader: ReaderCore = self.owner
        self.check()
        if reader._exception is not None:
            raise reader._exception
        return self.go_on(reader)

    def resume(self) -> Any:
        """Read on."""
        reader: ReaderCore = self.owner
        if reader._waiter is self.waiter:  # it was not the reader that woke us
            self.abandon()
        self.waited()
        return self.go_on(reader)

    def abandon(self) -> None:
        """Let another read wait."""
        reader: ReaderCore = self.owner
        if reader._waiter is self.waiter:
            reader._waiter = None
            reader._wanted = 1

    def go_on(self, reader: ReaderCore) -> Any:
        """Return what is wanted, or wait for it."""
        data = self.attempt(reader)
        if data is None:
            if reader._waiter is not None:
                raise RuntimeError(
                    f"{self.title()[13:]}() called while another coroutine is already waiting "
                    "for incoming data"
                )
            if reader._paused:  # to wait while the transport is paused would be for ever
                reader.resume()
                data = self.attempt(reader)
        if data is None:
            return self.wait(reader)
        if reader._paused:
            reader.resume_if_low()
        return data

    def wait(self, reader: ReaderCore) -> Any:
        """Wait for as many bytes as make another attempt worth while."""
        reader.settle()
        waiter = new_future(reader._loop)
        reader._waiter = waiter
        reader._wanted = self.wanted()
        return self.wait_for(waiter)

    # by kind -------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what is wrong with the arguments."""

    def attempt(self, reader: ReaderCore) -> Any:
        """Return what is wanted, or None if more must come first."""
        raise NotImplementedError

    def wanted(self) -> int:
        """Return how large the buffer must be before another attempt."""
        return 1


class ReadSome(Reading):
    """Reads up to `number` bytes."""

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.read"

    def attempt(self, reader: ReaderCore) -> Any:
        """Take what is there."""
        size = reader.size()
        if self.number == 0 or (size == 0 and reader._eof):
            return b""
        if size == 0:
            return None
        return reader.take(size if size < self.number else self.number)


class ReadAll(Reading):
    """Reads up to the end of the stream."""

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.read"

    def attempt(self, reader: ReaderCore) -> Any:
        """Take all when the end has come."""
        return reader.take(reader.size()) if reader._eof else None

    def wanted(self) -> int:
        """Return more than can be: only the end helps."""
        return _MOST


class ReadExactly(Reading):
    """Reads `number` bytes."""

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.readexactly"

    def check(self) -> None:
        """Refuse to read less than nothing."""
        if self.number < 0:
            raise ValueError("readexactly size can not be less than zero")

    def attempt(self, reader: ReaderCore) -> Any:
        """Take them when they are there."""
        if reader.size() >= self.number:
            return reader.take(self.number)
        if reader._eof:
            partial = reader.take(reader.size())
            raise _IncompleteReadError(partial, self.number)
        return None

    def wanted(self) -> int:
        """Return the number itself."""
        return self.number


class ReadUntil(Reading):
    """Reads up to a separator.

    `argument` is the separator; `number` is how many bytes from the beginning of the buffer on can
    not be the beginning of one; `mark` is where the one that was found begins.
    """

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.readuntil"

    def attempt(self, reader: ReaderCore) -> Any:
        """Take up to the separator if it is there."""
        end = self.look(reader)
        if end >= 0:
            if self.mark > reader._low:
                return self.overrun(
                    reader, end, "Separator is found, but chunk is longer than limit"
                )
            return reader.take(end)
        if self.number > reader._low:
            self.mark = self.number
            return self.overrun(reader, -1, "Separator is not found, and chunk exceed the limit")
        return self.ended(reader) if reader._eof else None

    def look(self, reader: ReaderCore) -> int:
        """Return where the separator ends, or -1."""
        separator: bytes = self.argument
        size = reader.size()
        length = len(separator)
        if size - self.number < length:
            return -1
        place = reader.seek(separator, self.number)
        if place >= 0:
            self.mark = place
            return place + length
        self.number = size + 1 - length
        return -1

    def overrun(self, reader: ReaderCore, end: int, message: str) -> Any:
        """Fail because of the limit; `end` is where the separator ends, -1 when there is none."""
        raise _LimitOverrunError(message, self.mark)

    def ended(self, reader: ReaderCore) -> Any:
        """Fail because the stream has ended."""
        raise _IncompleteReadError(reader.take(reader.size()), None)

    def wanted(self) -> int:
        """Return the size of a buffer in which there may be a separator."""
        return self.number + 1


class ReadUntilAny(ReadUntil):
    """Reads up to one of several separators, or one that is not of the type `bytes`.

    `argument` is what the user gave; from `check` on it is a list of `bytes`, shortest first.
    """

    def check(self) -> None:
        """Refuse what is no separator."""
        separators = self.argument
        if not isinstance(separators, tuple):
            separators = (separators,)
        found = sorted((bytes(memoryview(separator)) for separator in separators), key=len)
        if not found:
            raise ValueError("Separator should contain at least one element")
        if not found[0]:
            raise ValueError("Separator should be at least one-byte string")
        self.argument = found

    def look(self, reader: ReaderCore) -> int:
        """Return where the separator that ends first ends, or -1."""
        size = reader.size()
        found = -1
        length = 0
        for separator in self.argument:
            length = len(separator)
            place = reader.seek(separator, self.number)
            if place >= 0 and (found < 0 or place + length < found):
                found = place + length
                self.mark = place
        if found < 0 and size + 1 - length > self.number:
            self.number = size + 1 - length
        return found


class ReadLine(ReadUntil):
    """Reads a line."""

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.readline"

    def overrun(self, reader: ReaderCore, end: int, message: str) -> Any:
        """Remove what came of the line, and fail."""
        if end >= 0:
            reader.take(end)
        else:
            reader.clear()
        reader.resume_if_low()
        raise ValueError(message)

    def ended(self, reader: ReaderCore) -> Any:
        """Take the last line, which has no end."""
        return reader.take(reader.size())


class NextLine(ReadLine):
    """Reads a line, or ends an ``async for``."""

    def title(self) -> str:
        """Return the name to show to users."""
        return "StreamReader.__anext__"

    def ended(self, reader: ReaderCore) -> Any:
        """Take the last line, which has no end, if there is one."""
        if not reader.size():
            raise StopAsyncIteration
        return reader.take(reader.size())


for _kind in (ReadSome, ReadAll, ReadExactly, ReadUntil, ReadUntilAny, ReadLine, NextLine):
    swift(_kind)


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
