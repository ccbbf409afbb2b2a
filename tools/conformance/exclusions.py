"""Which tests cannot apply, and why: reads `exclusions.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = ["Exclusion", "find", "load"]

FILE = Path(__file__).with_name("exclusions.toml")


@dataclass(frozen=True)
class Exclusion:
    """A pattern (`module.Class.test`, with * and ?, or the beginning of one) and its reason."""

    pattern: str
    reason: str
    repeats: bool = False  # the test would pass; it is another test once more
    aio: bool = False  # only with treadle.aio's names in asyncio's place
    before: tuple[int, int] = (4, 0)  # the first Python where the test applies again

    def covers(self, test: str) -> bool:
        """Say whether the test is excluded by this."""
        return fnmatchcase(test, self.pattern) or fnmatchcase(test, self.pattern + ".*")


def load(aio: bool, version: tuple[int, int] = (0, 0)) -> list[Exclusion]:
    """Read the exclusions that apply, in the order of the file.

    Those that are for ``--aio`` apply with it only; those that end with a Python, before it.
    """
    with FILE.open("rb") as stream:
        document = tomllib.load(stream)
    every = [_read(pattern, group) for group in document["exclude"] for pattern in group["tests"]]
    return [each for each in every if (aio or not each.aio) and version < each.before]


def _read(pattern: str, group: dict[str, Any]) -> Exclusion:
    major, minor = group.get("before", "4.0").split(".")
    repeats, aio = group.get("repeats", False), group.get("aio", False)
    return Exclusion(pattern, group["reason"], repeats, aio, (int(major), int(minor)))


def find(exclusions: Iterable[Exclusion], test: str) -> Exclusion | None:
    """Return the first exclusion that covers the test."""
    for exclusion in exclusions:
        if exclusion.covers(test):
            return exclusion
    return None
