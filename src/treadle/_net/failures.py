"""What a transport says of its failures: the network's in the debug log, all others aloud.

It is about telling only: closing is the transport's own business.
"""

from __future__ import annotations

from typing import Any

from treadle._core.log import logger

__all__ = ["note", "report", "report_fatal"]


def report_fatal(
    loop: Any, transport: Any, protocol: Any, exc: BaseException, message: str
) -> None:
    """Tell what ends a transport: an OSError in debug mode, anything else in any case."""
    if isinstance(exc, OSError):
        note(loop, transport, exc, message)
    else:
        report(loop, transport, protocol, exc, message)


def report(loop: Any, transport: Any, protocol: Any, exc: BaseException, message: str) -> None:
    """Hand a failure to the loop's exception handler."""
    loop.call_exception_handler(
        {
            "message": message,
            "exception": exc,
            "transport": transport,
            "protocol": protocol,
        }
    )


def note(loop: Any, transport: Any, exc: BaseException, message: str) -> None:
    """Log a failure that is nobody's fault here, in debug mode only."""
    if loop.get_debug():
        logger.debug("%r: %s", transport, message, exc_info=exc)
