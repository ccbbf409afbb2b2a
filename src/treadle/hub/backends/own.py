"""The members that a node has noted with its backend, so that it can note them again.

A broker may forget (it restarted without its data), or another node may have buried this one while
it was cut off. What was to be removed and perhaps was not is remembered here as well: a call that
failed may have had its effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from treadle.hub.backends.link import all_of
from treadle.hub.frames import Member

__all__ = ["OwnMembers"]

Place = tuple[str, str]  # a room, and a client
Enter = Callable[[str, Member], Awaitable[object]]
Exit = Callable[[str, str], Awaitable[object]]
AT_ONCE = 100  # members that are noted again at a time


class OwnMembers:
    """Who of this node should be in which room, and who should not but may be.

    >>> own = OwnMembers()
    >>> own.enters("lobby", Member("ann"))
    >>> own.leaves("lobby", "ann")
    >>> own.doubtful()
    [('lobby', 'ann')]
    >>> own.gone("lobby", "ann")
    >>> own.doubtful()
    []
    """

    def __init__(self) -> None:
        self._present: dict[Place, Member] = {}
        self._doubtful: dict[Place, None] = {}  # may be noted, and should not
        self._forgotten: dict[Place, None] = {}  # should be noted, and may not be

    def __contains__(self, place: Place) -> bool:
        return place in self._present

    def get(self, room: str, client: str) -> Member | None:
        """Who is in the room under this name, if anybody is to be."""
        return self._present.get((room, client))

    def enters(self, room: str, member: Member) -> None:
        """Is noted, and to be in the room from now on."""
        place = (room, member.client)
        self._present[place] = member
        self._doubtful.pop(place, None)
        self._forgotten.pop(place, None)

    def leaves(self, room: str, client: str) -> None:
        """Is to be there no longer; whether the backend knows is not certain yet."""
        self._present.pop((room, client), None)
        self._forgotten.pop((room, client), None)
        self._doubtful[room, client] = None

    def gone(self, room: str, client: str) -> None:
        """The backend does not have it."""
        self._doubtful.pop((room, client), None)

    def doubtful(self) -> list[Place]:
        """Room and client of those that the backend may have and should not."""
        return list(self._doubtful)

    def forget(self, is_there: Callable[[str], bool] = lambda room: True) -> None:
        """The backend may have lost the members of all rooms, or of some."""
        self._forgotten.update((place, None) for place in self._present if is_there(place[0]))

    def noted(self, room: str, client: str) -> None:
        """The backend has it again."""
        self._forgotten.pop((room, client), None)

    def forgotten(self) -> list[tuple[str, Member]]:
        """Those that are to be noted again."""
        return [(place[0], self._present[place]) for place in self._forgotten]

    async def tidy(self, enter: Enter, exit: Exit) -> None:
        """Note what is forgotten, and remove what should be gone, both with the backend."""
        forgotten = self.forgotten()
        for start in range(0, len(forgotten), AT_ONCE):
            some = forgotten[start : start + AT_ONCE]
            await all_of(*(self._renote(room, member, enter, exit) for room, member in some))
        for room, client in self.doubtful():
            if (room, client) not in self:
                await exit(room, client)
            if (member := self.get(room, client)) is not None:  # it came back meanwhile
                await enter(room, member)

    async def _renote(self, room: str, member: Member, enter: Enter, exit: Exit) -> None:
        await enter(room, member)
        self.noted(room, member.client)
        if (room, member.client) not in self:  # it left meanwhile
            await exit(room, member.client)

    def clear(self) -> None:
        for places in (self._present, self._doubtful, self._forgotten):
            places.clear()
