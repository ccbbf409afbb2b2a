"""Receiving and sending on a plain ``socket.socket``, without an exception where it would block.

This is the plain twin; the compiled one, ``direct_native.py``, makes the system call itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["number", "receive_now", "send_now"]


def receive_now(sock: Any, size: Any) -> bytes | None:
    """Receive up to `size` bytes; None when the kernel would block."""
    try:
        data: bytes = sock.recv(size)
    except (BlockingIOError, InterruptedError):
        return None
    return data


def send_now(sock: Any, data: Any) -> int:
    """Send what the kernel takes of `data`; return the count, -1 when the kernel would block."""
    try:
        count: int = sock.send(data)
    except (BlockingIOError, InterruptedError):
        return -1
    return count


def number(sock: Any) -> int:
    """Return the descriptor of a plain socket, -1 when it is closed."""
    fd: int = sock.fileno()
    return fd
