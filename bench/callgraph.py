"""Reading what callgrind wrote: costs by line, and by whom a function was called.

With `--separate-callers=N` callgrind keeps a function's costs apart for each chain of N callers, and
writes the chain into its name (`inner'outer'outermost`). So a name is a stack, and the own cost of
a name is the cost of that stack: nothing has to be guessed, as it must be from plain call graphs.
"""

import re
from collections import defaultdict
from pathlib import Path

from bench import symbols
from bench.flame import Stack

DEPTH = 48
"""Callers that are told apart; what lies further out is cut off."""

OPTIONS = (f"--separate-callers={DEPTH}", "--separate-recs=1", "--dump-line=yes")

_NAMED = re.compile(r"\((\d+)\)(?: (.*))?")
_COST = re.compile(r"(?:[+-]?\d+|\*)(?: \d+)+$")


class _Names:
    """Callgrind writes a name once, and its number from then on."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, text: str) -> str:
        match = _NAMED.match(text)
        if match is None:
            return text
        number, name = match.groups()
        if name is not None:
            self._known[number] = name
        return self._known.get(number, "?")


def read(path: Path) -> dict[Stack, float]:
    """Stack -> own cost. The innermost frame of compiled treadle's functions is a line."""
    stacks: dict[Stack, float] = defaultdict(float)
    files, functions = _Names(), _Names()
    function, file, line = "", "", 0
    call = False
    with path.open(errors="replace") as content:
        for text in content:
            text = text.rstrip("\n")
            key, equals, value = text.partition("=")
            if equals and key in ("fl", "fi", "fe"):
                file = files.of(value)
            elif equals and key == "fn":
                function = functions.of(value)
            elif equals and key in ("cfi", "cfl"):
                files.of(value)
            elif equals and key == "cfn":
                functions.of(value)
            elif equals and key == "calls":
                call = True
            elif _COST.match(text):
                place, cost = text.split()[:2]
                line = _line(place, line)
                if not call:  # what a call cost inclusively is told by the callee itself
                    stacks[_stack(function, file, line)] += int(cost)
                call = False
    return dict(stacks)


def _line(text: str, before: int) -> int:
    if text == "*":
        return before
    return before + int(text) if text[0] in "+-" else int(text)


def _stack(function: str, file: str, line: int) -> Stack:
    chain = [re.sub(r"'\d+$", "", name) for name in function.split("'") if not name.isdigit()]
    names = [symbols.plain(name) for name in reversed(chain)]
    if names and names[-1].startswith("treadle.") and file.endswith((".py", ".pxd")):
        names.append(symbols.where(file, line))
    return tuple(names)
