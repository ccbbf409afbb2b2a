"""What may stand on a stream transport in the place of a protocol, and is called without Python.

A transport calls its protocol as user code: through attributes, in a context, ready for anything to
be raised. Where one part of treadle stands on another, all that is known; these calls are calls of
C functions.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Upper"]


class Upper:
    """The contract. A transport calls `lower_made` first and `lower_lost` last, once each.

    `lower_made` and `lower_lost` run in the connection's context, the others wherever their cause
    is. What they raise, but for KeyboardInterrupt and SystemExit, ends the connection.
    """

    def lower_made(self) -> None:
        """Begin: the transport is connected; it receives from now on."""
        raise NotImplementedError

    def lower_buffer(self) -> Any:
        """Return a writable buffer to receive into, or None to skip this time."""
        raise NotImplementedError

    def lower_filled(self, count: int) -> None:
        """Hear that `count` bytes are in the buffer returned last."""
        raise NotImplementedError

    def lower_eof(self) -> None:
        """Hear that the peer sends nothing more. The transport has stopped to receive."""
        raise NotImplementedError

    def lower_lost(self, exc: BaseException | None) -> None:
        """Hear that the connection has ended; as `asyncio.Protocol.connection_lost`."""
        raise NotImplementedError

    def lower_paused(self) -> None:
        """Hear that what waits to be sent has crossed the high mark."""
        raise NotImplementedError

    def lower_resumed(self) -> None:
        """Hear that what waits to be sent is at the low mark again."""
        raise NotImplementedError

    def face(self) -> Any:
        """Return the transport that the user's protocol sees."""
        raise NotImplementedError
