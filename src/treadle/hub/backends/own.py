"""The members that a node has noted with its backend, so that it can note them again.

A broker may forget (it restarted without its data), or another node may have buried this one while
it was cut off. What was to be removed and perhaps was not is remembered here as well: a call that
failed may have had its effect.
"""

from __future__ import annotations

from collections.abc import Iterator

from treadle.hub.frames import Member

__all__ = ["OwnMembers"]


class OwnMembers:
    """Who of this node should be in which room, and who should not but may be.

    >>> own = OwnMembers()
    >>> own.enters("lobby", Member("ann"))
    >>> own.leaves("lobby", "ann")
    >>> list(own), own.doubtful()
    ([], [('lobby', 'ann')])
    >>> own.gone("lobby", "ann")
    >>> own.doubtful()
    []
    """

    def __init__(self) -> None:
        self._present: dict[tuple[str, str], Member] = {}
        self._doubtful: dict[tuple[str, str], None] = {}

    def __iter__(self) -> Iterator[tuple[str, Member]]:
        for (room, _), member in list(self._present.items()):
            yield room, member

    def __contains__(self, place: tuple[str, str]) -> bool:
        return place in self._present

    def enters(self, room: str, member: Member) -> None:
        """Is to be in the room from now on."""
        self._present[room, member.client] = member
        self._doubtful.pop((room, member.client), None)

    def leaves(self, room: str, client: str) -> None:
        """Is to be there no longer; whether the backend knows is not certain yet."""
        self._present.pop((room, client), None)
        self._doubtful[room, client] = None

    def gone(self, room: str, client: str) -> None:
        """The backend does not have it."""
        self._doubtful.pop((room, client), None)

    def doubtful(self) -> list[tuple[str, str]]:
        """Room and client of those that the backend may have and should not."""
        return list(self._doubtful)

    def clear(self) -> None:
        self._present.clear()
        self._doubtful.clear()
