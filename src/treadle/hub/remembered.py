"""Names of messages that this node has sent already, where no history remembers them."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Remembered"]


class Remembered:
    """The last so many names.

    >>> names = Remembered(2)
    >>> names.add("a"), names.add("b"), names.add("c")
    (None, None, None)
    >>> "a" in names, "c" in names
    (False, True)
    """

    __slots__ = ("_most", "_names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[object, None] = OrderedDict()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def add(self, name: object) -> None:
        self._names[name] = None
        if len(self._names) > self._most:
            self._names.popitem(last=False)
