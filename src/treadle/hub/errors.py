"""What can go wrong in the hub, and the codes with which a connection is closed.

HubError
├── Refused             you asked for what you may not have; carries a code and a reason
├── Unavailable         the backend cannot be reached now; try again (also a ConnectionError)
├── Unrecoverable       history does not reach back to the position that was asked for
└── HubClosed           the hub, or the connection, was closed
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Code", "HubClosed", "HubError", "Refused", "Unavailable", "Unrecoverable"]


class Code(IntEnum):
    """Why a connection was closed, or a request refused.

    Below 4000 they are those of RFC 6455, section 7.4.1; from 4000 on, those that it leaves to
    applications, numbered after the HTTP status that says the same.

    >>> Code.TOO_LARGE, int(Code.FLOODING)
    (<Code.TOO_LARGE: 1009>, 4429)
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_LARGE = 1009
    INTERNAL = 1011
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    UNKNOWN = 4404
    SILENT = 4408
    REPLACED = 4409
    SLOW = 4413
    FLOODING = 4429
    UNAVAILABLE = 4503


class HubError(Exception):
    """The root of the hub's own exceptions.

    >>> issubclass(Refused, HubError)
    True
    """


class Refused(HubError):
    """A request that is not allowed; hooks raise it, callers and clients get it.

    >>> str(Refused("members only"))
    'members only'
    >>> Refused("members only").code.name
    'FORBIDDEN'
    """

    def __init__(self, reason: str = "not allowed", code: Code = Code.FORBIDDEN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Unavailable(HubError, ConnectionError):
    """The backend could not be reached in time. Whether a message that was being published arrived
    is not known; publish it again with the same `dedupe`.

    >>> issubclass(Unavailable, ConnectionError)
    True
    """


class Unrecoverable(HubError):
    """What lies between a position and now is no longer known, or never was.

    Backends raise it; a client is told by `recovered: false`, or by a `Gap`.

    >>> issubclass(Unrecoverable, HubError)
    True
    """


class HubClosed(HubError):
    """The hub or the connection is closed; nothing more can be sent through it.

    >>> import asyncio
    >>> async def main():
    ...     async with Hub() as hub:
    ...         client = await hub.client()
    ...     try:
    ...         await client.ping()
    ...     except HubClosed as failure:
    ...         print(failure)
    >>> asyncio.run(main())
    the connection is closed: 1001 the server is closing
    """
