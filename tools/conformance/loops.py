"""Puts a loop in where asyncio makes its own, and counts how often one is made.

Runs in the process of the tests, before a test module is imported.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from asyncio import base_events, unix_events
from collections.abc import Callable
from typing import Any

__all__ = ["LOOPS", "Counter", "describe", "install"]

LOOPS = ("treadle", "asyncio", "uvloop")


class Counter:
    """How many loops of the kind under test were made in this process."""

    def __init__(self) -> None:
        self.made = 0


def describe(name: str) -> str:
    """Return the loop's name with version and kind; ImportError when it is not installed."""
    if name == "asyncio":
        return "asyncio"
    package = importlib.import_module(name)
    text = f"{name} {package.__version__}"
    if name == "treadle":
        text += " compiled" if package.COMPILED else " pure"
    return text


def install(name: str) -> Counter:
    """Have `asyncio.new_event_loop`, `asyncio.run`, Runner and the tests make loops of `name`."""
    counter = Counter()
    factory = _counted(name, counter)
    modern: Any = unix_events  # Python 3.14 has the policy under another name
    old = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None)
    policy: Any = old or modern._DefaultEventLoopPolicy
    policy._loop_factory = factory
    setattr(asyncio, "SelectorEventLoop", factory)  # noqa: B010  mypy knows a class there
    setattr(asyncio, "EventLoop", factory)  # noqa: B010  new in Python 3.13
    _forward_log()
    return counter


def _counted(name: str, counter: Counter) -> type:
    """Make a subclass that counts; it takes the selector that some tests hand over."""
    takes_selector = name == "asyncio"
    base: Any = asyncio.SelectorEventLoop if takes_selector else importlib.import_module(name).Loop

    class Loop(base):  # type: ignore[misc]
        def __init__(self, selector: object = None) -> None:
            counter.made += 1
            if takes_selector:
                super().__init__(selector)
            else:
                super().__init__()

    Loop.__qualname__ = Loop.__name__ = base.__name__
    Loop.__module__ = base.__module__
    return Loop


def _forward_log() -> None:
    """Let what is put at `asyncio.base_events.logger` hear what a loop logs.

    Tests replace that name by a mock and look at what it was told. A loop of another package holds
    the logger itself, so the logger's methods ask for the name at every call.
    """
    logger = logging.getLogger("asyncio")
    for level in ("debug", "info", "warning", "error", "exception", "critical", "log"):
        setattr(logger, level, _forwarder(logger, level, getattr(logger, level)))


def _forwarder(
    logger: logging.Logger, level: str, method: Callable[..., Any]
) -> Callable[..., Any]:
    def forward(*args: Any, **keywords: Any) -> Any:
        current = base_events.logger  # type: ignore[attr-defined]
        if current is logger:
            keywords["stacklevel"] = keywords.get("stacklevel", 1) + 1
            return method(*args, **keywords)
        return getattr(current, level)(*args, **keywords)

    return forward
