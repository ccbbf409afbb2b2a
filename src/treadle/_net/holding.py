"""Keeping a user's socket object open while the loop uses its descriptor.

``socket.close`` waits for the files made by ``makefile`` by counting them; one more in that count
keeps the descriptor ours although the user has closed the object. Without it the number could come
up again for somebody else's connection while the loop still watches it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["hold", "let_go"]


def hold(sock: Any) -> None:
    """Keep `sock` open until `let_go`; what is no ``socket.socket`` its user has to keep open."""
    if hasattr(sock, "_decref_socketios"):
        sock._io_refs += 1


def let_go(sock: Any) -> None:
    """End a `hold`; closes the descriptor if the user has closed the object meanwhile."""
    if hasattr(sock, "_decref_socketios"):
        sock._decref_socketios()
