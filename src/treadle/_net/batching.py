"""Writes of one turn, sent together.

A send costs as much as a dozen callbacks, nearly all of it in the kernel and nearly the same for
ten bytes as for ten thousand. Servers that write a head and then a body pay for it twice per
answer. So what a connection writes in one turn of the loop is sent at the end of that turn, with
one call; but only where the connection has shown that it writes so. One that writes once per turn
has nothing to gain and would send later.

How it is learned. A write is sent at once, as long as nothing is known. The second one within a
turn tells: from then on the first write of a turn is *held*. A turn that held a single one, after
one in which nothing was confirmed, ends that.

What nobody may notice. Held bytes are in the write buffer, but never so many that the protocol
would be asked to pause: beyond `MOST`, or the high mark, all are sent at once. Whatever tells or
changes what was sent (`close`, `abort`, `write_eof`, the size of the buffer, new marks, a layer
above) sends them first. So does the end of the run, also where an exception ends it. Nothing is
held outside of a turn, or in a thread that is not the loop's. In a forked child what was held is
forgotten: the parent sends it.

Hazard. The wheel may not wait for the kernel while something is held; it calls `turn_ended` after
the callbacks of each turn (`Wheel._end_turn`).
"""

from __future__ import annotations

from threading import get_ident
from typing import Any

from treadle._core.wheel import Wheel
from treadle._drivers.base import Connection
from treadle._net.buffer import DEFAULT_HIGH, WriteBuffer

__all__ = ["Batcher"]

MOST = 16 * 1024  # bytes held; more than that fills a packet and is worth a send of its own

ONCE = 0  # writes once per turn, as far as is known
OFTEN = 1  # writes more than once per turn
CONFIRMED = 2  # has done so in the turn under way, or since then has not been asked again


class Batcher(Connection):
    """A connection with a write buffer, and what it holds until the end of the turn.

    Invariant: while `_held`, all that is in the buffer was written in this turn and has not been
    offered to the kernel, and the connection is in the wheel's list.
    """

    def __init__(self, loop: Wheel) -> None:
        Connection.__init__(self)
        self._loop: Any = loop
        self._buffer: WriteBuffer | None = None  # made when first needed
        self._turn = 0  # the one in which the last write was sent at once
        self._habit = ONCE
        self._held = False
        self._listed = False  # the wheel calls `turn_ended`

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait to be sent."""
        if self._held:
            self._send_held()
        return 0 if self._buffer is None else self._buffer.size

    @property
    def _protocol_paused(self) -> bool:
        """Whether the protocol has been asked to pause and not yet to resume."""
        return self._buffer is not None and self._buffer.paused

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        buffer = self._buffer
        return (DEFAULT_HIGH // 4, DEFAULT_HIGH) if buffer is None else (buffer.low, buffer.high)

    def _make_buffer(self) -> WriteBuffer:
        if self._buffer is None:
            self._buffer = WriteBuffer()
        return self._buffer

    def _note_write(self) -> None:
        """Hear that a write was sent at once."""
        if self._turn == self._loop._turns:
            self._habit = CONFIRMED
        else:
            self._turn = self._loop._turns

    def _hold(self, data: Any, size: int) -> bool:
        """Keep a piece until the turn ends; False when it is to be sent at once."""
        buffer = self._make_buffer()
        most = MOST if buffer.high > MOST else buffer.high
        if not self._held:
            if buffer.size or size > most or type(data) is not bytes:
                return False
            if get_ident() != self._loop._thread_id:  # no turn is under way, or not here
                return False
            self._held = True
        if self._listed:
            self._habit = CONFIRMED
        else:
            self._listed = True
            self._loop._await_turn_end(self)
        buffer.append(data if type(data) is bytes else bytes(data))
        if buffer.size > most:
            self._send_held()
        return True

    def turn_ended(self) -> None:
        """Send what is held (called by the wheel)."""
        self._listed = False
        self._habit = OFTEN if self._habit == CONFIRMED else ONCE
        if self._held:
            self._send_held()

    def _send_held(self) -> None:
        """Offer what is held to the kernel, and have the rest sent as any other."""
        raise NotImplementedError
