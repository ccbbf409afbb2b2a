"""Short ways into compiled methods."""

from __future__ import annotations

from typing import Any

__all__ = ["Quick"]


class Quick:
    """What a method does when it is called with one argument and nothing else.

    A compiled method has its arguments unpacked, into a dictionary where it takes any keyword. For
    the frequent call that costs more than it should: see `quicken_method`.
    """

    def call(self, owner: Any, argument: Any) -> Any:
        """Do what ``owner.method(argument)`` does."""
        raise NotImplementedError
