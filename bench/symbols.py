"""Names of C functions as one would write them: those that Cython makes, and the interpreter's."""

import re
from pathlib import Path

# Cython's prefixes: a C function, a method as Python calls it, its body, a generator's body.
_CYTHON = re.compile(r"__pyx_(?:f|pw|pf|gb|getprop|setprop|tp\w*?)_(?:_)?(\d.*)")
_LENGTH = re.compile(r"\d+")
_SLOT = re.compile(r"__pyx_(tp_[a-z]+|getprop|setprop)_")
_SUFFIX = re.compile(r"(\.(constprop|isra|part|cold|lto_priv)(\.\d+)?)+$")

_LINE = re.compile(r"\w+\.(py|pxd):\d+")

OURS = "treadle."
"""So begin the names of compiled treadle's functions."""

NAMES = {
    "_PyEval_EvalFrameDefault": "[Python] interpreting byte code",
    "_PyEval_EvalFrame": "[Python] interpreting byte code",
}


def plain(symbol: str) -> str:
    """`treadle._core.wheel.Wheel.turn` for `__pyx_f_7treadle_5_core_5wheel_5Wheel_turn`.

    A name that is none of Cython's stays as it is, without what the C compiler added.
    """
    symbol = _SUFFIX.sub("", symbol)
    slot = _SLOT.match(symbol)
    match = _CYTHON.match(symbol)
    if match is None:
        return NAMES.get(symbol, symbol)
    parts, rest = _unfolded(match[1])
    # a counter makes the names of wrappers unique
    rest = re.sub(r"^\d+", "", rest)
    if slot and slot[1] not in ("getprop", "setprop"):
        rest = f"{rest}[{slot[1]}]" if rest else f"[{slot[1]}]"
    return ".".join([*parts, *([rest] if rest else [])])


def _unfolded(text: str) -> tuple[list[str], str]:
    """The pieces that are written with their lengths, and what follows them.

    The last number may be a counter and no length: `5Wheel_7call_soon` is `Wheel.call_soon`. It is
    a length only where what it covers ends at an underscore, and where no class came before it.
    """
    parts: list[str] = []
    while (match := _LENGTH.match(text)) is not None:
        length = int(match[0])
        piece, after = text[match.end() :][:length], text[match.end() + length :]
        if len(piece) < length or not after.startswith("_"):
            break
        parts.append(piece)
        text = after[1:]
        if piece.lstrip("_")[:1].isupper():
            break
    return parts, text


def brief(name: str) -> str:
    """Without the packages: `Wheel.turn`, or `tasks.sleep`."""
    return ".".join(name.split(".")[-2:]) if name.startswith(OURS) else name


def where(path: str, line: int) -> str:
    """A line of a source as a frame of its own."""
    return f"{Path(path).name}:{line}"


def is_line(name: str) -> bool:
    """Whether a frame is a line of a Python source."""
    return _LINE.fullmatch(name) is not None
