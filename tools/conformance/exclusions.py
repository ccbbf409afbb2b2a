"""Which tests cannot apply, and why: reads `exclusions.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["Exclusion", "find", "load"]

FILE = Path(__file__).with_name("exclusions.toml")


@dataclass(frozen=True)
class Exclusion:
    """A pattern (`module.Class.test`, with * and ?, or the beginning of one) and its reason."""

    pattern: str
    reason: str
    repeats: bool  # the test would pass; it is another test once more

    def covers(self, test: str) -> bool:
        """Say whether the test is excluded by this."""
        return fnmatchcase(test, self.pattern) or fnmatchcase(test, self.pattern + ".*")


def load(file: Path = FILE) -> list[Exclusion]:
    """Read the exclusions in the order of the file."""
    with file.open("rb") as stream:
        document = tomllib.load(stream)
    return [
        Exclusion(pattern, group["reason"], group.get("repeats", False))
        for group in document["exclude"]
        for pattern in group["tests"]
    ]


def find(exclusions: Iterable[Exclusion], test: str) -> Exclusion | None:
    """Return the first exclusion that covers the test."""
    for exclusion in exclusions:
        if exclusion.covers(test):
            return exclusion
    return None
