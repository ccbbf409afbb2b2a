# cython: nonecheck=True
"""What has arrived on a stream and was not read yet.

Mostly a message arrives, and the one who waits for it takes it whole. So the bytes stay the object
in which they came (`_chunk`, read from `_start` on), and that object itself is handed out when
exactly that much is asked for. When more comes before all is read, the rest is put in front of it
if it is the smaller part, which copies each byte once; a long rest goes into a bytearray (`_big`)
that grows at its end and shrinks at its front, as asyncio's buffer does. When that is empty, it
goes again. So no sequence of reads costs more than a constant per byte.

Programs know asyncio's ``reader._buffer``, measure it, clear it, put into it. Who asks for it gets
the bytearray, and as long as somebody holds that, it is where the bytes are (`_lent`).
"""

from __future__ import annotations

from typing import Any

from treadle.aio.operation import Owner
from treadle.aio.pieces import cut, find, is_ours_alone, take_front

__all__ = ["StreamBuffer"]

_LARGE = 4096  # bytes: a chunk of this size is not kept for a quarter of it


class StreamBuffer(Owner):
    """A queue of bytes. Exactly one of `_chunk` and `_big` may hold some.

    It owns operations: a derived class has those that read the bytes.
    """

    def __init__(self) -> None:
        self._chunk = b""
        self._start = 0  # bytes of `_chunk` that are read
        self._big: bytearray | None = None
        self._lent = False  # somebody else may have seen `_big`

    @property
    def _buffer(self) -> bytearray:
        if self._big is None:
            self._big = bytearray(self._rest())
            self._forget_chunk()
        self._lent = True
        return self._big

    @_buffer.setter
    def _buffer(self, data: bytearray) -> None:
        self._forget_chunk()
        self._big = data
        self._lent = True

    def size(self) -> int:
        """Return the number of bytes."""
        if self._big is not None:
            return len(self._big)
        return len(self._chunk) - self._start

    def put(self, data: bytes) -> None:
        """Append `data`, which is not empty."""
        if self._big is not None and not self._drop_big():
            self._big += data
            return
        left = len(self._chunk) - self._start
        if left == 0:
            self._chunk = data
            self._start = 0
        elif left <= len(data):
            self._chunk = self._rest() + data
            self._start = 0
        else:
            big = bytearray(self._rest())
            big += data
            self._big = big
            self._forget_chunk()

    def take(self, count: int) -> bytes:
        """Remove the first `count` bytes, of which there are as many, and return them."""
        if self._big is not None:
            data = take_front(self._big, count)
            self._drop_big()
            return data
        start = self._start
        data = cut(self._chunk, start, start + count)
        self._start = start + count
        if self._start == len(self._chunk):
            self._forget_chunk()
        return data

    def seek(self, separator: bytes, offset: int) -> int:
        """Return where `separator` begins, from `offset` on, or -1."""
        if self._big is not None:
            return find(self._big, separator, offset)
        place = find(self._chunk, separator, self._start + offset)
        return place - self._start if place >= 0 else -1

    def clear(self) -> None:
        """Drop all."""
        if self._big is not None:
            self._big.clear()
            self._drop_big()
        else:
            self._forget_chunk()

    def settle(self) -> None:
        """Let go of a large chunk that is kept for a small rest; nothing will be read soon."""
        left = len(self._chunk) - self._start
        if len(self._chunk) >= _LARGE and 4 * left <= len(self._chunk):
            self._chunk = self._rest()
            self._start = 0

    def _rest(self) -> bytes:
        return cut(self._chunk, self._start, len(self._chunk))

    def _forget_chunk(self) -> None:
        self._chunk = b""
        self._start = 0

    def _drop_big(self) -> bool:
        """Let go of the bytearray if it is empty and no one else may fill it; say whether."""
        if self._big or (self._lent and not self._is_back()):
            return False
        self._big = None
        self._lent = False
        return True

    def _is_back(self) -> bool:
        big: Any = self._big
        self._big = None
        alone = is_ours_alone(big)
        self._big = big
        return alone
