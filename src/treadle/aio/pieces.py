"""Finding and cutting in bytes, without objects in between.

This is the plain twin; the compiled one is ``pieces_native.py``.
"""

from __future__ import annotations

import sys
from operator import index
from typing import Any

__all__ = ["as_count", "cut", "find", "is_ours_alone", "take_front"]


def as_count(number: Any) -> int:
    """Return an integer of any size as one that counts bytes; TypeError for what is none."""
    return max(-sys.maxsize - 1, min(index(number), sys.maxsize))


def cut(data: bytes, start: int, stop: int) -> bytes:
    """Return ``data[start:stop]``; both lie within `data`."""
    return data[start:stop]


def find(data: Any, separator: bytes, start: int) -> int:
    """Return where `separator` begins in bytes or a bytearray, from `start` on; -1: nowhere."""
    place: int = data.find(separator, start)
    return place


def take_front(data: bytearray, count: int) -> bytes:
    """Remove the first `count` bytes of a bytearray and return them."""
    with memoryview(data) as view:
        front = bytes(view[:count])
    del data[:count]
    return front


def is_ours_alone(data: bytearray) -> bool:
    """Say whether nobody but the caller's object holds `data`; False where that is not known."""
    return False
