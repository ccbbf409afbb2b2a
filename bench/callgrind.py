"""Profiles by callgrind: instructions by line, and by whom a function was called.

With `--separate-callers=N` callgrind keeps a function's costs apart for each chain of N callers,
and writes the chain into its name (`inner'outer'outermost`). So a name is a stack, and the own cost
of a name is the cost of that stack: nothing is guessed, as it must be from plain call graphs.
"""

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench import counting, symbols, underload
from bench.child import last_line
from bench.flame import Stack

DEPTH = 48
"""Callers that are told apart; what lies further out is cut off."""

OPTIONS = (f"--separate-callers={DEPTH}", "--dump-line=yes")
SLOWER = 25
"""Times as slow is a program under callgrind; a guess."""

PATIENCE_SECONDS = 300.0

_NAMED = re.compile(r"\((\d+)\)(?: (.*))?")
_COST = re.compile(r"(?:[+-]?\d+|\*)(?: \d+)+$")


class CallgrindError(Exception):
    """callgrind cannot be used, or failed; says why."""


def stacks(
    workload: str, loop: str, seconds: float, served: bool, folder: Path
) -> dict[Stack, float]:
    """Stack -> instructions."""
    try:
        library = counting.prepare()
    except counting.CannotCountError as error:
        raise CallgrindError(str(error)) from error
    program = [*counting.command(str(folder), *OPTIONS), "-m", "bench.profiled"]
    if served:
        _watch_server(workload, loop, seconds, [*program, "serve", library], folder)
    else:
        _run([*program, workload, loop, library, str(seconds / SLOWER)])
    written = folder / "out.1"
    if not written.exists():
        raise CallgrindError("callgrind wrote nothing")
    return read(written)


def _run(command: Sequence[str]) -> None:
    done = counting.run(command, PATIENCE_SECONDS)
    if done.returncode != 0:
        raise CallgrindError(last_line(done.stderr) or f"exit status {done.returncode}")


def _watch_server(
    workload: str, loop: str, seconds: float, command: Sequence[str], folder: Path
) -> None:
    """Have the server counted for a while, by the signals that `bench.profiled` waits for."""
    try:
        with underload.server(workload, loop, command) as pid:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(seconds)
            os.kill(pid, signal.SIGUSR2)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _complete(folder / "out.1"):
                if time.monotonic() > deadline:
                    raise CallgrindError("callgrind did not write what it counted")
                time.sleep(0.1)
    except underload.NoLoadError as error:
        raise CallgrindError(str(error)) from error


def _complete(path: Path) -> bool:
    return path.exists() and "\ntotals:" in path.read_text(errors="replace")[-200:]


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
    # a number counts recursions; an address is a stub of the linker, without a name
    parts = function.split("'")
    chain = [name for name in parts if not name.isdigit() and not name.startswith("0x")]
    names = [symbols.plain(name) for name in reversed(chain)]
    if names and names[-1].startswith(symbols.OURS) and file.endswith((".py", ".pxd")):
        names.append(symbols.where(file, line))
    return tuple(names)
