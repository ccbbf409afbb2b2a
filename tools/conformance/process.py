"""Runs one module in child processes until every test has an outcome."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.conformance.outcome import Outcome, Subject

__all__ = ["ROOT", "Job", "UnusableError", "probe", "run"]

ROOT = Path(__file__).resolve().parent.parent.parent
TAIL = 3000  # characters shown of what a dead process wrote


@dataclass(frozen=True)
class Job:
    """A module on a loop with one Python."""

    subject: Subject
    module: str
    loop: str
    aio: bool = False  # with treadle.aio's names in asyncio's place
    only: tuple[str, ...] | None = None  # just these tests
    excluded: bool = False  # run the excluded tests instead of the others


def run(job: Job, limit: float) -> list[Outcome]:
    """Run the module, each test for `limit` seconds at most.

    After a hang or a crash the remaining tests run in a new process.
    """
    outcomes: dict[str, Outcome] = {}
    while True:
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            finished = _run_once(job, limit, outcomes, Path(folder))
        if finished:
            return list(outcomes.values())


def _run_once(job: Job, limit: float, outcomes: dict[str, Outcome], folder: Path) -> bool:
    """Run one process; return whether nothing is left to be run."""
    events, dump, scratch = folder / "events", folder / "dump", folder / "scratch"
    scratch.mkdir()
    code, output = _child(job, _wish(job, limit, outcomes, folder))
    running, finished = None, False
    for event in _events(events):
        kind = event.pop("event")
        if kind == "finished":
            finished = True
        elif kind == "skip":
            outcomes[job.module] = Outcome(job.module, "skipped", text=event["reason"])
            finished = True
        elif kind == "plan" and not job.excluded and job.only is None:
            for test in event["excluded"]:
                outcomes[test] = Outcome(test, "excluded")
        elif kind == "start":
            running = event["test"]
        elif kind == "end":
            outcomes[event["test"]] = Outcome(**event)
            running = None
    if finished and code == 0:
        return True
    text = _death(code, _read(dump), output, limit)
    if running is None:  # between tests, before the first one or after the last one
        running = f"{job.module}.(the process)"
        outcomes[running] = Outcome(running, "failed", text=text, whole=True)
        return True
    outcomes[running] = Outcome(running, "failed", loops=1, text=text)
    return False


def _wish(job: Job, limit: float, done: Collection[str], folder: Path) -> dict[str, Any]:
    return {
        "module": job.module,
        "loop": job.loop,
        "aio": job.aio,
        "limit": limit,
        "excluded": job.excluded,
        "only": job.only,
        "done": list(done),
        "events": str(folder / "events"),
        "dump": str(folder / "dump"),
        "scratch": str(folder / "scratch"),
    }


def _child(job: Job, wish: dict[str, Any]) -> tuple[int, str]:
    """Run the process in a session of its own; what it leaves behind is ended with it."""
    command = [str(job.subject.python), "-m", "tools.conformance.child", json.dumps(wish)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _events(file: Path) -> Iterator[dict[str, Any]]:
    for line in _read(file).splitlines():
        event: dict[str, Any] = json.loads(line)
        yield event


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _death(code: int, dump: str, output: str, limit: float) -> str:
    if "Timeout (" in dump:
        return f"hung: not done after {limit:g} seconds\n{dump[-TAIL:]}"
    why = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"the process died: {why}\n{dump[-TAIL:]}\n{output[-TAIL:]}"


class UnusableError(Exception):
    """An interpreter, or what is asked of it, cannot be used."""


def probe(python: Path, loop: str, aio: bool) -> dict[str, Any]:
    """Ask an interpreter for its version, the loop's and the names of the test modules."""
    command = [str(python), "-m", "tools.conformance.probe", loop, *(["aio"] if aio else [])]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnusableError(f"{python}: {error.strerror}") from error
    if done.returncode != 0:
        raise UnusableError(done.stderr.strip() or f"{python} does not work")
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts
