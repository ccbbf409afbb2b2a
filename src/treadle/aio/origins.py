"""The place where a user made something: cheap to keep, its line worked out when asked for."""

from __future__ import annotations

import os
import sys
from types import CodeType

__all__ = ["origin", "place"]

_HERE = os.path.dirname(__file__) + os.sep


def origin() -> tuple[CodeType, int]:
    """Return the nearest place that is not in this package, for `place`."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_HERE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def place(where: tuple[CodeType, int]) -> str:
    """Return the file and the line, ``file:line``."""
    code, offset = where
    line: int | None = code.co_firstlineno
    for begin, end, number in code.co_lines():
        if begin <= offset < end:
            line = number
    return f"{code.co_filename}:{line}"
