"""The client for browsers, `treadle-hub.js`, as an application hands it out."""

from __future__ import annotations

from pathlib import Path

__all__ = ["javascript_client"]


def javascript_client() -> Path:
    """The file of the client: an ES module that needs nothing else.

    In Starlette: `Route("/treadle-hub.js", lambda request: FileResponse(javascript_client()))`.

    >>> javascript_client().name
    'treadle-hub.js'
    """
    return Path(__file__).with_name("treadle-hub.js")
