"""Lines of CPython's test modules that are changed when a module is loaded, each with its reason.

A test often reaches into asyncio's own loop for a thing that it does not test: it mocks the
selector so that nothing is waited for, or looks into a private attribute to see what a public
call tells as well. Such a line is changed here, so that the test applies to any loop; stock asyncio
runs the changed test too. A change keeps the number of lines, because tests look at line numbers.
One that no longer finds its text stops the module: then this file has to be brought up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

__all__ = ["ADAPTATIONS", "Adaptation", "OutdatedError", "adapt", "install"]

PACKAGE = "test.test_asyncio."


@dataclass(frozen=True)
class Adaptation:
    """Replace `old`, wherever it stands in the module, by `new`."""

    why: str
    old: str
    new: str
    since: tuple[int, int] = (3, 11)  # the first Python that has the text
    before: tuple[int, int] = (4, 0)  # the first Python that no longer has it


class OutdatedError(Exception):
    """A text that should be replaced is not in the module."""


REAL_LOOP = "a loop whose selector is a mock; any loop will do"
NO_MOCK = "keeps asyncio's loop from using its mocked selector; there is none any more"
ONE_TURN = "the private way to run the loop once; the public idiom does the same"
WATCHER = "a child watcher that takes SIGCHLD from the loop; one that leaves it alone will do"
PHANTOM = "counts a connection that does not exist by a private method; its arguments differ"

_PHANTOM = "*(() if hasattr(srv, '_active_count') else (srv,))"
_MOCKED_BASE = """        self.loop = base_events.BaseEventLoop()
        self.loop._selector = mock.Mock()
        self.loop._selector.select.return_value = ()
"""
_MOCKED_PEP492 = """        self.loop = asyncio.BaseEventLoop()
        self.loop._process_events = mock.Mock()
        self.loop._selector = mock.Mock()
        self.loop._selector.select.return_value = ()
"""
_MOCKED_RUNNERS = """        loop = asyncio.BaseEventLoop()
        loop._process_events = mock.Mock()
        # Mock waking event loop from select
        loop._write_to_self = mock.Mock()
        loop._write_to_self.return_value = None
        loop._selector = mock.Mock()
        loop._selector.select.return_value = ()
"""
_CLOSE_LOOP = """        if loop._default_executor is not None:
            if not loop.is_closed():
                loop.run_until_complete(loop.shutdown_default_executor())
            else:
                loop._default_executor.shutdown(wait=True)
"""
_CLOSE_ANY_LOOP = """        executor = getattr(loop, '_default_executor', loop)
        if executor is not None and not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
        elif executor is not None and executor is not loop:
            executor.shutdown(wait=True)
"""

ADAPTATIONS: dict[str, tuple[Adaptation, ...]] = {
    "utils": (
        Adaptation(
            "the executor of a loop that keeps it elsewhere is shut down by the public call",
            _CLOSE_LOOP,
            _CLOSE_ANY_LOOP,
        ),
    ),
    "test_base_events": (
        Adaptation(
            REAL_LOOP, _MOCKED_BASE, "        self.loop = asyncio.SelectorEventLoop()\n\n\n"
        ),
        Adaptation(
            REAL_LOOP, "loop2 = base_events.BaseEventLoop()", "loop2 = asyncio.SelectorEventLoop()"
        ),
        Adaptation(
            REAL_LOOP,
            "class Loop(base_events.BaseEventLoop):\n\n            _selector = mock.Mock()\n"
            "            _process_events = mock.Mock()\n",
            "class Loop(asyncio.SelectorEventLoop):\n\n\n\n",
        ),
        Adaptation(
            REAL_LOOP,
            "class EventLoop(base_events.BaseEventLoop):",
            "class EventLoop(asyncio.SelectorEventLoop):",
        ),
        Adaptation(NO_MOCK, "self.loop._process_events = mock.Mock()", "pass"),
        Adaptation(NO_MOCK, "self.loop._write_to_self = mock.Mock()", "pass"),
        Adaptation(
            "that the loop returns is what the test is about",
            "self.loop._selector.select.assert_called_once_with(0)",
            "pass",
        ),
        Adaptation(ONE_TURN, "self.loop._run_once()", "test_utils.run_once(self.loop)"),
        Adaptation(
            ONE_TURN, "            loop._run_once()", "            test_utils.run_once(loop)"
        ),
        Adaptation("looks into the ready queue", "self.assertIn(h, self.loop._ready)", "pass"),
        Adaptation(
            "looks into the timers and the ready queue",
            "self.assertIn(h, self.loop._scheduled)\n        self.assertNotIn(h, self.loop._ready)",
            "pass\n",
        ),
        Adaptation(
            "looks into the loop; a call tells whether the executor is used",
            "self.assertIs(executor, self.loop._default_executor)",
            "self.assertRaises(NotImplementedError, self.loop.run_in_executor, None, print)",
        ),
        Adaptation(
            "looks into the loop; the refusal is what the test is about",
            "self.assertIsNone(self.loop._default_executor)",
            "pass",
        ),
        Adaptation(
            "a loop without sendfile(2) of its own, to test what is done instead",
            "self.loop = BaseSelectorEventLoop()",
            "self.loop = asyncio.SelectorEventLoop()",
        ),
    ),
    "test_pep492": (
        Adaptation(
            REAL_LOOP, _MOCKED_PEP492, "        self.loop = asyncio.SelectorEventLoop()\n\n\n\n"
        ),
    ),
    "test_runners": (
        Adaptation(
            REAL_LOOP, _MOCKED_RUNNERS, "        loop = asyncio.SelectorEventLoop()\n\n\n\n\n\n\n"
        ),
    ),
    "test_events": (
        Adaptation(
            "closes a socket through a private method; the next line closes it as well",
            "self.loop._stop_serving(r)",
            "pass",
        ),
        Adaptation(WATCHER, "asyncio.SafeChildWatcher()", "asyncio.ThreadedChildWatcher()"),
    ),
    "test_server": tuple(
        Adaptation(PHANTOM, old, new, since=(3, 12), before=(3, 13))
        for old, new in (
            ("srv._attach()", f"srv._attach({_PHANTOM})"),
            ("srv._detach()", f"srv._detach({_PHANTOM})"),
            ("loop.call_soon(srv._detach)", f"loop.call_soon(srv._detach, {_PHANTOM})"),
        )
    ),
    "test_streams": (
        Adaptation(WATCHER, "asyncio.SafeChildWatcher()", "asyncio.ThreadedChildWatcher()"),
    ),
}


def adapt(module: str, source: str, version: tuple[int, int] | None = None) -> str:
    """Return the source of `module` with its adaptations; OutdatedError when one finds nothing."""
    if version is None:
        version = sys.version_info[:2]
    for change in ADAPTATIONS.get(module, ()):
        if not change.since <= version < change.before:
            continue
        if change.old not in source:
            raise OutdatedError(f"{module}: not found any more: {change.old!r}")
        if change.old.count("\n") != change.new.count("\n"):
            raise OutdatedError(f"{module}: the number of lines changes: {change.old!r}")
        source = source.replace(change.old, change.new)
    return source


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        if source is None:
            raise ImportError(f"{fullname} has no source", name=fullname)
        source = adapt(fullname.removeprefix(PACKAGE), source)
        code: CodeType = compile(source, self.path, "exec", dont_inherit=True)
        return code


class _Finder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.removeprefix(PACKAGE) not in ADAPTATIONS or not name.startswith(PACKAGE):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


def install() -> None:
    """Have every test module that is imported from now on adapted."""
    sys.meta_path.insert(0, _Finder)
