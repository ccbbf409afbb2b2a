"""Profiles by Linux's perf: samples in time, with the callers of each.

perf unwinds the stacks from the debugging information, so that nothing has to be compiled in a
special way, and names inlined functions, too. Python functions it does not see.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import symbols, underload
from bench.child import last_line
from bench.flame import Stack
from bench.interpreter import ROOT

RATE = 997
"""Samples a second: a prime, so that it does not beat with anything periodic."""

RECORD = ("record", "--quiet", f"--freq={RATE}", "--call-graph=dwarf,16384")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_FRAME = re.compile(r"\s+([0-9a-f]+) (.*?)(?: \((.*)\))?")
_PLACE = re.compile(r"  (\S+?):(\d+)(?: \(inlined\))?")


class PerfError(Exception):
    """perf failed; says how."""


def obstacle() -> str:
    """Why perf cannot be used here; empty when it can."""
    if shutil.which("perf") is None:
        return "it is not installed (Debian: apt-get install linux-perf)"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        done = _perf(*RECORD, f"--output={data}", "--", "true")
        if done.returncode == 0 and data.exists() and data.stat().st_size:
            return ""
    said = last_line(done.stderr) or f"exit status {done.returncode}"
    level = PARANOID.read_text().strip() if PARANOID.exists() else "unknown"
    return f"{said} (kernel.perf_event_paranoid is {level}, it should be 2 or less)"


def _perf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["perf", *arguments], capture_output=True, text=True, check=False, errors="replace"
    )


def stacks(
    workload: str, loop: str, seconds: float, served: bool, folder: Path
) -> dict[Stack, float]:
    """Stack -> samples."""
    data = folder / "perf.data"
    if served:
        try:
            with underload.server(workload, loop) as pid:
                _record(data, [f"--pid={pid}", "--", "sleep", str(seconds)])
        except underload.NoLoadError as error:
            raise PerfError(str(error)) from error
    else:
        command, acknowledgement = folder / "command", folder / "acknowledgement"
        os.mkfifo(command)
        os.mkfifo(acknowledgement)
        both = f"{command},{acknowledgement}"
        program = ["-m", "bench.profiled", workload, loop, both, str(seconds)]
        _record(data, [f"--control=fifo:{both}", "--delay=-1", "--", sys.executable, *program])
    done = _perf("script", f"--input={data}", "--fields=ip,sym,dso,srcline")
    if done.returncode != 0:
        raise PerfError(f"perf script: {last_line(done.stderr)}")
    return read(done.stdout.splitlines())


def _record(data: Path, arguments: Sequence[str]) -> None:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        ["perf", *RECORD, f"--output={data}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not data.exists():
        raise PerfError(f"perf record: {last_line(done.stderr) or done.returncode}")


@dataclass(frozen=True)
class Frame:
    """A function in a stack; inlined ones have the address of the one that they are in."""

    address: str
    name: str
    place: str = ""
    """File and line."""


def read(lines: Iterable[str]) -> dict[Stack, float]:
    """What `perf script` prints: samples of one frame a line, innermost first, and their places."""
    found: dict[Stack, float] = defaultdict(float)
    frames: list[Frame] = []
    for line in [*lines, ""]:
        if not line.strip():
            if frames:
                found[_stack(frames)] += 1
            frames = []
        elif (match := _PLACE.fullmatch(line)) and frames:
            frames[-1] = replace(frames[-1], place=symbols.where(match[1], int(match[2])))
        elif match := _FRAME.fullmatch(line):
            frames.append(Frame(match[1], _name(match[2], match[3] or "")))
    return dict(found)


def _stack(frames: Sequence[Frame]) -> Stack:
    """From the outermost frame on; on top the line of treadle's source, where that is known.

    What is inlined in a function of treadle, a count of references most often, belongs to the line.
    """
    names = [frame.name for frame in frames]
    innermost = [frame for frame in frames if frame.address == frames[0].address]
    for depth, frame in enumerate(innermost):
        if frame.name.startswith(symbols.OURS) and symbols.is_line(frame.place):
            names = [frame.place, *names[depth:]]
            break
    return tuple(reversed(names))


def _name(symbol: str, file: str) -> str:
    if symbol == "[unknown]":
        return f"[{Path(file).name or 'unknown'}]"
    return f"[kernel] {symbol}" if file.startswith("[kernel") else symbols.plain(symbol)
