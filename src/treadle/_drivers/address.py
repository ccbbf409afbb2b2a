"""Socket addresses as accept(2) writes them, decoded when somebody asks.

A server that never asks who its peers are pays 28 bytes per connection and no formatting.
Layouts: ip(7), ipv6(7), unix(7).
"""

from __future__ import annotations

import os
import socket
import sys

__all__ = ["decode_address"]


def decode_address(raw: bytes) -> object:
    """Return what ``socket.accept`` returns as the address for the bytes of a sockaddr."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == socket.AF_INET:
        port = int.from_bytes(raw[2:4], "big")
        return (socket.inet_ntop(socket.AF_INET, raw[4:8]), port)
    if family == socket.AF_INET6:
        return _decode_inet6(raw)
    if family == socket.AF_UNIX:
        return _decode_unix(raw[2:])
    return raw


def _decode_inet6(raw: bytes) -> tuple[str, int, int, int]:
    port = int.from_bytes(raw[2:4], "big")
    flow = int.from_bytes(raw[4:8], "big")
    host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
    scope = int.from_bytes(raw[24:28], sys.byteorder)
    return (host, port, flow, scope)


def _decode_unix(path: bytes) -> str | bytes:
    if path[:1] == b"\0":
        return path  # an abstract name: length counts, zero bytes are part of it
    return os.fsdecode(path.partition(b"\0")[0])
