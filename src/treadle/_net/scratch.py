"""Memory that all TLS connections of a loop share: what arrived, and what it says.

A connection uses it within one event only: before the protocol, or anything else that is not ours,
is called, nothing of the connection may be left in here. So an idle connection holds no buffer, and
a callback may do what it wants.

Much data at once is better read into the `bytes` that the protocol will get, which saves a copy
(`expect`); the compiled twin does so, this one never.

This is the plain twin; the compiled one is ``scratch_native.py``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["INBOX_SIZE", "PLAIN_SIZE", "RECORD_SIZE", "Scratch"]

RECORD_SIZE = 16 * 1024  # bytes of data in one TLS record at most; RFC 8446, section 5.1
INBOX_SIZE = 256 * 1024  # bytes received at once at most
PLAIN_SIZE = INBOX_SIZE + 2 * RECORD_SIZE  # what the inbox says is never longer than the inbox


class Scratch:
    """Two buffers. What a method returns is valid until the same method is called again."""

    def __init__(self) -> None:
        self._inbox = memoryview(bytearray(INBOX_SIZE))
        self._plain = memoryview(bytearray(PLAIN_SIZE))
        self.last = PLAIN_SIZE - RECORD_SIZE  # where the room for one more record begins at most

    def inbox(self, start: int, stop: int) -> Any:
        """Return a part of the inbox as a writable buffer."""
        return self._inbox[start:stop]

    def inbox_byte(self, index: int) -> int:
        """Return one byte of the inbox."""
        return self._inbox[index]

    def header(self, index: int) -> int:
        """Return the header of a record, five bytes of the inbox: the first and the last two."""
        inbox = self._inbox
        return inbox[index] << 16 | inbox[index + 3] << 8 | inbox[index + 4]

    def load(self, data: bytes, start: int) -> int:
        """Copy what fits of ``data[start:]`` into the inbox; return the number of bytes."""
        count = min(len(data) - start, INBOX_SIZE)
        self._inbox[:count] = data[start : start + count]
        return count

    def expect(self, count: int) -> None:
        """Begin with an empty plain buffer; `count` bytes of records will be read into it.

        With 0 it has its full size, else it may be as small as those records are; so their data
        must not be longer (no compression). Sets `last`.
        """

    def order(self, start: int) -> tuple[int, Any]:
        """Return what `read` of an SSL object is to be called with for the data of one record.

        Which is the longest record, and room for it, `start` bytes into the plain buffer.
        """
        return RECORD_SIZE, self._plain[start : start + RECORD_SIZE]

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes of the plain buffer, which is empty then."""
        return bytes(self._plain[:count])

    def part(self, data: bytes, start: int) -> Any:
        """Return as much of ``data[start:]`` as fits into a record, as a buffer to read from."""
        return memoryview(data)[start : start + RECORD_SIZE]

    def end_part(self) -> None:
        """Let go of what `part` was given."""
