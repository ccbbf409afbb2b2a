"""The hub behind any ASGI server: WebSockets, and Server-Sent Events for those who only listen."""

from __future__ import annotations

from treadle.hub.asgi.events import EventsEndpoint
from treadle.hub.asgi.websocket import WebSocketEndpoint

__all__ = ["EventsEndpoint", "WebSocketEndpoint"]
