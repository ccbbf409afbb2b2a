"""The write buffers: what the kernel did not take yet, and when to ask the protocol to pause.

May not know sockets, drivers or protocols: they say *that* a mark was crossed, their owner calls.
"""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = [
    "DEFAULT_HIGH",
    "DatagramBuffer",
    "Marks",
    "WriteBuffer",
    "as_bytes",
    "as_piece",
    "flat",
]

DEFAULT_HIGH = 64 * 1024  # bytes; asyncio's default
_LOW_FRACTION = 4  # low mark = high mark / 4 unless given
_HEADER = 8  # bytes that a waiting datagram counts for besides its own: UDP's header


class Marks:
    """A high and a low mark for a number of bytes.

    Invariant: `paused` changes only by `crossed_high` and `crossed_low`, in turn.
    """

    def __init__(self) -> None:
        self.size = 0  # bytes waiting
        self.high = DEFAULT_HIGH
        self.low = DEFAULT_HIGH // _LOW_FRACTION
        self.paused = False  # the protocol was asked to pause and not yet to resume

    def set_limits(self, high: int | None, low: int | None) -> None:
        """Set the marks; one follows from the other as asyncio documents it."""
        if high is None:
            high = DEFAULT_HIGH if low is None else _LOW_FRACTION * low
        if low is None:
            low = high // _LOW_FRACTION
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high = high
        self.low = low

    def crossed_high(self) -> bool:
        """Say, once, that more is waiting than the high mark."""
        if self.paused or self.size <= self.high:
            return False
        self.paused = True
        return True

    def crossed_low(self) -> bool:
        """Say, once, that after a `crossed_high` no more is waiting than the low mark."""
        if not self.paused or self.size > self.low:
            return False
        self.paused = False
        return True


class WriteBuffer(Marks):
    """A queue of bytes objects.

    Invariants: ``size == sum(map(len, chunks)) - offset``; ``0 <= offset < len(chunks[0])`` while
    there are chunks, else 0.
    """

    def __init__(self) -> None:
        Marks.__init__(self)
        self.chunks: deque[bytes] = deque()
        self.offset = 0  # bytes of the first chunk that are sent already

    def append(self, data: bytes, sent: int = 0) -> None:
        """Add a chunk at the end, all of it or what is left after the `sent` first bytes.

        Only into an empty buffer may a chunk go of which something was sent.
        """
        if sent:
            self.offset = sent
        self.chunks.append(data)
        self.size += len(data) - sent

    def consume(self, count: int) -> None:
        """Take the first `count` bytes away; they have been sent."""
        self.size -= count
        count += self.offset
        while count:
            length = len(self.chunks[0])
            if count < length:
                break
            self.chunks.popleft()
            count -= length
        self.offset = count

    def clear(self) -> None:
        """Drop everything that waits."""
        self.chunks.clear()
        self.offset = 0
        self.size = 0


class DatagramBuffer(Marks):
    """A queue of datagrams, each with the address where it goes.

    Invariant: ``size == sum(len(data) + 8 for data, address in waiting)``.
    """

    def __init__(self) -> None:
        Marks.__init__(self)
        self.waiting: deque[tuple[bytes, Any]] = deque()

    def push(self, data: bytes, address: Any) -> None:
        """Add a datagram at the end; it may be empty."""
        self.waiting.append((data, address))
        self.size += len(data) + _HEADER

    def pop(self) -> None:
        """Take the first datagram away."""
        self.size -= len(self.waiting.popleft()[0]) + _HEADER

    def clear(self) -> None:
        """Drop everything that waits."""
        self.waiting.clear()
        self.size = 0


def flat(data: Any) -> Any:
    """Return a view of single bytes, or a copy where the memory is not contiguous."""
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous else view.tobytes()


def as_piece(data: Any) -> Any:
    """Return what a user wants to write as `bytes` or a view of single bytes; or TypeError."""
    if type(data) is bytes:
        return data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
    return flat(data)


def as_bytes(data: Any) -> bytes:
    """Return a bytes-like object as `bytes` itself; a copy unless it is one."""
    return data if type(data) is bytes else memoryview(data).tobytes()
