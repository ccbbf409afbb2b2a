"""Ends what a transport waits for when the hub closes the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.hub.connection import Connection

__all__ = ["GRACE", "until_closed"]

GRACE = 5.0
"""Seconds in which a client may still take what is being sent when its connection is closed."""


class until_closed:
    """`async with until_closed(connection, grace)`: the block ends when the connection is closed.

    It is left without an exception then, `grace` seconds after that; what it waits for is
    cancelled. A cancellation from outside is passed on.

    What is not to be cut short, as code of the application, runs while `busy` is set; whoever sets
    it looks afterwards whether the connection was closed in the meantime.

    There is no task in this: a timeout that is far away is moved near.
    """

    __slots__ = ("_connection", "_grace", "_timeout", "busy")

    def __init__(self, connection: Connection, grace: float = 0.0) -> None:
        self._connection = connection
        self._grace = grace
        self._timeout = asyncio.timeout(None)
        self.busy = False

    async def __aenter__(self) -> until_closed:
        await self._timeout.__aenter__()
        self._connection.on_close = self._closed
        if self._connection.close_code is not None:
            self._closed()
        return self

    async def __aexit__(self, *failure: object) -> bool | None:
        self._connection.on_close = None
        try:
            await self._timeout.__aexit__(*failure)  # type: ignore[arg-type]
        except TimeoutError:
            return True
        return None

    def _closed(self, code: int = 0, reason: str = "") -> None:
        if not self.busy and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._grace)
