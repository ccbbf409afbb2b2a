"""Serving HTTP and WebSockets: plug-ins for uvicorn.

>>> import uvicorn, treadle.web
>>> config = uvicorn.Config("app:app", ws=treadle.web.WebSocketProtocol)
"""

from __future__ import annotations

from treadle.web.websocket import WebSocketProtocol

__all__ = ["WebSocketProtocol"]
