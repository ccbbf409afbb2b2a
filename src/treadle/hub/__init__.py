"""Real-time rooms: fan-out, presence, history and back-pressure, on any asyncio loop.

>>> import asyncio
>>> from treadle.hub import Hub
>>> async def main():
...     async with Hub() as hub:
...         client = await hub.client()
...         await client.join("chat")
...         await hub.publish("chat", "hello")
...         print((await client.message()).data)
>>> asyncio.run(main())
hello

It needs msgspec: `pip install 'treadle[hub]'`. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.hub.backends.base import Backend
    from treadle.hub.backends.memory import MemoryBackend, MemoryBroker
    from treadle.hub.client import Client
    from treadle.hub.connection import Connection
    from treadle.hub.encoded import Encoded, Writer
    from treadle.hub.errors import Code, HubClosed, HubError, Refused, Unavailable, Unrecoverable
    from treadle.hub.frames import Encoding, Gap, Member, Message, Position, Presence
    from treadle.hub.hooks import Handshake, Hooks, Identity, Incoming
    from treadle.hub.hub import Hub
    from treadle.hub.javascript import javascript_client
    from treadle.hub.options import NO_HISTORY, Limits, Retention, RoomOptions, WhenFull
    from treadle.hub.stats import HubStats
    from treadle.hub.subscription import Subscription

__all__ = [
    "NO_HISTORY",
    "Backend",
    "Client",
    "Code",
    "Connection",
    "Encoded",
    "Encoding",
    "Gap",
    "Handshake",
    "Hooks",
    "Hub",
    "HubClosed",
    "HubError",
    "HubStats",
    "Identity",
    "Incoming",
    "Limits",
    "Member",
    "MemoryBackend",
    "MemoryBroker",
    "Message",
    "Position",
    "Presence",
    "Refused",
    "Retention",
    "RoomOptions",
    "Subscription",
    "Unavailable",
    "Unrecoverable",
    "WhenFull",
    "Writer",
    "javascript_client",
]

WHERE = {
    "backends.base": ("Backend",),
    "backends.memory": ("MemoryBackend", "MemoryBroker"),
    "client": ("Client",),
    "connection": ("Connection",),
    "encoded": ("Encoded", "Writer"),
    "errors": ("Code", "HubClosed", "HubError", "Refused", "Unavailable", "Unrecoverable"),
    "frames": ("Encoding", "Gap", "Member", "Message", "Position", "Presence"),
    "hooks": ("Handshake", "Hooks", "Identity", "Incoming"),
    "hub": ("Hub",),
    "javascript": ("javascript_client",),
    "options": ("NO_HISTORY", "Limits", "Retention", "RoomOptions", "WhenFull"),
    "stats": ("HubStats",),
    "subscription": ("Subscription",),
}
MODULES = {name: module for module, names in WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load what is asked for the first time."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{MODULES[name]}")
    except ModuleNotFoundError as failure:
        if failure.name != "msgspec":
            raise
        message = "treadle.hub needs msgspec: pip install 'treadle[hub]'"
        raise ModuleNotFoundError(message, name="msgspec") from failure
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
