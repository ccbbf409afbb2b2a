"""What waits for one client, within bounds.

An outbox belongs to a connection and holds frames of all its rooms in order, and answers to its
requests. It is made when something has to wait for the first time: a client that keeps up has none.

Its bounds are a number of frames and their bytes. A frame that alone is larger than the bound is
taken when nothing else waits, so that it is not lost for ever. What happens to a message that does
not fit is its room's policy:

- a room's message never displaces one of a room that asked to keep all (`disconnect`, `catch_up`);
- an answer displaces messages that may be dropped; when there is none, the client is too slow.

**Never a silent gap.** A dropped message leaves a `Loss` behind: how many, and the position of the
last. It stands before the next message of that room which waits, or else is *owed*: told when the
next one comes, or when nothing else waits. Several drops in a row are one loss.

A replaced message (`coalesce`) is no loss. The new one goes to the end, not to the place of the old
one: positions must rise, for a client remembers the last one it saw.

Taking out of the middle is why this is an `OrderedDict` and not a deque.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from treadle.hub.encoded import Encoded
from treadle.hub.frames import Encoding, Gap, Position

if TYPE_CHECKING:
    from treadle.hub.options import Limits
    from treadle.hub.seat import Seat
    from treadle.hub.stats import Counters

__all__ = ["Loss", "Outbox"]

MAY_DROP = {"drop_oldest", "coalesce"}  # policies under which a waiting message makes room


class Loss:
    """Messages of one room, next to each other, that were dropped."""

    __slots__ = ("dropped", "position", "reason")

    def __init__(self, reason: str, dropped: int, position: Position | None) -> None:
        self.reason = reason
        self.dropped = dropped
        """How many; 0 when that is not known."""
        self.position = position
        """The last one's, when any of them had one."""

    def followed_by(self, later: Loss) -> None:
        """Become one with a loss that comes directly after this one."""
        known = self.dropped and later.dropped
        self.dropped = self.dropped + later.dropped if known else 0
        self.position = later.position or self.position
        self.reason = later.reason

    def gap(self, room: str) -> Encoded:
        return Encoded(Gap(room, self.reason, self.dropped, self.position))


class Item:
    """A frame that waits."""

    __slots__ = ("frame", "loss", "seat", "size")

    def __init__(self, seat: Seat | None, frame: Encoded, size: int, loss: Loss | None) -> None:
        self.seat = seat  # None: an answer, which is never dropped
        self.frame = frame
        self.size = size
        self.loss = loss  # what was dropped of this room directly before it


class Outbox:
    """The frames that wait for one client."""

    __slots__ = ("_counters", "_encoding", "_items", "_owed", "_serial", "bytes", "limits")

    def __init__(self, limits: Limits, encoding: Encoding, counters: Counters) -> None:
        self.limits = limits
        self.bytes = 0
        self._encoding = encoding
        self._counters = counters
        self._items: OrderedDict[object, Item] = OrderedDict()
        self._owed: dict[Seat, Loss] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        """Whether anything waits, be it only a gap to be told."""
        return bool(self._items or self._owed)

    @property
    def half_empty(self) -> bool:
        """Whether it is time to read on in history."""
        limits = self.limits
        few = 2 * len(self._items) <= limits.queue_messages
        return few and 2 * self.bytes <= limits.queue_bytes

    def fits(self, size: int) -> bool:
        items = self._items
        if not items:
            return True
        limits = self.limits
        return len(items) < limits.queue_messages and self.bytes + size <= limits.queue_bytes

    # --- putting in

    def answer(self, frame: Encoded) -> bool:
        """Queue an answer; False when that is impossible, and the client thereby too slow."""
        size = frame.size(self._encoding)
        if not self.make_room(size):
            return False
        self._put(None, frame, size)
        return True

    def put(self, seat: Seat, frame: Encoded) -> bool:
        """Queue a room's frame in the place of the one it replaces; False if it does not fit."""
        if frame.key is not None and seat.room.options.when_full == "coalesce":
            key: object = (seat, frame.key)
            if key in self._items:
                self._counters.coalesced += 1
                self._leave_loss(key, None)
        else:
            key = None
        size = frame.size(self._encoding)
        if not self.fits(size):
            return False
        self._put(seat, frame, size, key)
        return True

    def put_with_force(self, seat: Seat, frame: Encoded) -> None:
        """Queue a room's frame in the place of older ones; when none of them may go, drop it."""
        size = frame.size(self._encoding)
        if self.make_room(size):
            key = None
            if frame.key is not None and seat.room.options.when_full == "coalesce":
                key = (seat, frame.key)
            self._put(seat, frame, size, key)
        else:
            self.drop(seat, frame)

    def make_room(self, size: int) -> bool:
        """Drop the oldest messages that may be dropped until `size` bytes fit."""
        while not self.fits(size):
            key = self._oldest_to_drop()
            if key is None:
                return False
            item = self._items[key]
            assert item.seat is not None
            self._leave_loss(key, self._loss_of(item.seat, item.frame))
        return True

    def drop(self, seat: Seat, frame: Encoded) -> None:
        """Do not queue a room's frame, and note that."""
        self.owe(seat, self._loss_of(seat, frame))

    def owe(self, seat: Seat, loss: Loss) -> None:
        """Note a loss after everything of this room that waits."""
        owed = self._owed.setdefault(seat, loss)
        if owed is not loss:
            owed.followed_by(loss)

    def forget(self, seat: Seat) -> None:
        """The room was left: nothing of it is sent any more."""
        self._owed.pop(seat, None)
        for key in [key for key, item in self._items.items() if item.seat is seat]:
            self.bytes -= self._items.pop(key).size

    # --- taking out

    def take(self) -> Encoded:
        """The next frame; there must be one."""
        items = self._items
        if items:
            key = next(iter(items))
            item = items[key]
            if item.loss is not None:
                assert item.seat is not None
                loss, item.loss = item.loss, None
                self._counters.gaps += 1
                return loss.gap(item.seat.room.name)
            del items[key]
            self.bytes -= item.size
            return item.frame
        seat, loss = self._owed.popitem()
        self._counters.gaps += 1
        return loss.gap(seat.room.name)

    # --- inside

    def _put(self, seat: Seat | None, frame: Encoded, size: int, key: object = None) -> None:
        if key is None:
            key = self._serial
            self._serial += 1
        loss = self._owed.pop(seat, None) if seat is not None else None
        self._items[key] = Item(seat, frame, size, loss)
        self.bytes += size
        counters = self._counters
        if len(self._items) > counters.high_water:
            counters.high_water = len(self._items)

    def _oldest_to_drop(self) -> object:
        for key, item in self._items.items():
            seat = item.seat
            if seat is not None and seat.room.options.when_full in MAY_DROP:
                return key
        return None

    def _loss_of(self, seat: Seat, frame: Encoded) -> Loss:
        dropped = self._counters.dropped
        policy = seat.room.options.when_full
        dropped[policy] = dropped.get(policy, 0) + 1
        return Loss("too slow", 1, frame.position)

    def _leave_loss(self, key: object, loss: Loss | None) -> None:
        """Take an item out; what was lost before it, and `loss` itself, stay in its place."""
        gone = self._items[key]
        seat = gone.seat
        assert seat is not None
        if gone.loss is not None:
            if loss is not None:
                gone.loss.followed_by(loss)
            loss = gone.loss
        if loss is not None:
            seen = False
            for item in self._items.values():
                if item is gone:
                    seen = True
                elif seen and item.seat is seat:
                    if item.loss is not None:
                        loss.followed_by(item.loss)
                    item.loss = loss
                    break
            else:
                if (owed := self._owed.get(seat)) is not None:
                    loss.followed_by(owed)
                self._owed[seat] = loss
        del self._items[key]
        self.bytes -= gone.size
