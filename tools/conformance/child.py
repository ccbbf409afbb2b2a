"""Runs one test module in a process of its own and tells line by line how it goes.

What the parent wants comes as JSON in the only argument; each event goes to a file as a line of
JSON: the plan, then the start and the outcome of every test. A test that takes too long ends the
process, from a thread that needs no GIL; the parent then knows which test it was.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from tools.conformance import adaptations, aio, exclusions, loops

PACKAGE = adaptations.PACKAGE
TEXT = 6000  # characters kept of a failure

_Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Events:
    """The file that the parent reads, and the clock that ends a test which hangs."""

    def __init__(self, wish: dict[str, Any]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(wish["events"], flags, 0o600)
        self._dump = os.open(wish["dump"], flags, 0o600)
        self._limit: float = wish["limit"]
        faulthandler.enable(self._dump)

    def tell(self, **event: object) -> None:
        """Write one event."""
        os.write(self._fd, json.dumps(event).encode() + b"\n")

    def wind(self) -> None:
        """Let the time limit begin again."""
        faulthandler.dump_traceback_later(self._limit, exit=True, file=self._dump)


class Result(unittest.TestResult):
    """Tells the outcome of each test when it has ended."""

    def __init__(self, events: Events, counter: loops.Counter) -> None:
        super().__init__()
        self._events = events
        self._counter = counter
        self._began = time.monotonic()
        self._made_before = 0
        self._outcome = "passed"
        self._text = ""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._events.wind()
        self._events.tell(event="start", test=name(test))
        self._began = time.monotonic()
        self._made_before = self._counter.made
        self._outcome, self._text = "passed", ""

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._events.wind()
        self._events.tell(
            event="end",
            test=name(test),
            outcome=self._outcome,
            seconds=round(time.monotonic() - self._began, 3),
            loops=self._counter.made - self._made_before,
            text=self._text[-TEXT:],
        )
        self._began = time.monotonic()  # a test of a class that is skipped does not start

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._outcome, self._text = "failed", "passed, though it is expected to fail"

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        if isinstance(test, unittest.TestCase):
            if self._outcome == "passed":
                self._outcome, self._text = "skipped", reason
        else:
            self._fixture(test, "skipped", reason)

    def _failed(self, test: unittest.TestCase, err: _Failure) -> None:
        text = "".join(traceback.format_exception(*err))
        if isinstance(test, unittest.TestCase):
            self._outcome, self._text = "failed", self._text + text
        else:
            self._fixture(test, "failed", text)

    def _fixture(self, fixture: Any, outcome: str, text: str) -> None:
        """Tell of a class or module whose preparation failed: its tests do not run."""
        test = fixture.id().replace(PACKAGE, "")
        self._events.tell(event="end", test=test, outcome=outcome, text=text[-TEXT:], whole=True)


def name(test: unittest.TestCase) -> str:
    """Return the test's name without the package."""
    return test.id().removeprefix(PACKAGE)


def flat(suite: Any) -> Iterator[unittest.TestCase]:
    """Take a suite apart, in its order."""
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flat(part)
        else:
            yield part


def chosen(wish: dict[str, Any], suite: Any) -> tuple[list[unittest.TestCase], list[str]]:
    """Return the tests to be run, and the names of those that are excluded."""
    known = exclusions.load(wish["aio"], sys.version_info[:2])
    run, excluded = [], []
    for test in flat(suite):
        exclusion = exclusions.find(known, name(test))
        if exclusion is not None:
            excluded.append(name(test))
            if not wish["excluded"] or exclusion.repeats:
                continue
        elif wish["excluded"]:
            continue
        if name(test) in wish["done"]:
            continue
        if wish["only"] is None or name(test) in wish["only"]:
            run.append(test)
    return run, excluded


def main() -> None:
    """Run the tests that are asked for."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # a shell ignores it for what runs in the background; tests of Ctrl-C would wait for ever
        signal.signal(signal.SIGINT, signal.default_int_handler)
    wish = json.loads(sys.argv[1])
    events = Events(wish)
    events.wind()
    os.chdir(wish["scratch"])
    counter = loops.install(wish["loop"])
    if wish["aio"]:
        aio.install()
    adaptations.install()
    try:
        module = importlib.import_module(PACKAGE + wish["module"])
    except unittest.SkipTest as skip:
        events.tell(event="skip", reason=str(skip))
        return
    run, excluded = chosen(wish, unittest.defaultTestLoader.loadTestsFromModule(module))
    events.tell(event="plan", tests=[name(test) for test in run], excluded=excluded)
    asyncio.set_event_loop(None)  # as every test leaves it; some rely on one before them
    result = Result(events, counter)
    unittest.TestSuite(run).run(result)
    events.tell(event="finished")
    events.wind()  # the process has to end, too


if __name__ == "__main__":
    main()
