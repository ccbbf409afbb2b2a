"""Socket addresses: from the bytes that the kernel writes to what Python programs see, and back.

A server that never asks who its peers are pays 28 bytes per connection and no formatting.
Layouts: ip(7), ipv6(7), unix(7).

This is the plain twin; the compiled one is ``address_native.py``.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, cast

__all__ = ["AddressBook", "decode_address", "encode_address"]

_REMEMBERED = 1024  # addresses, until all are forgotten
_HIGHEST_PORT = 0xFFFF
_HIGHEST_FLOW = 0xFFFFF  # 20 bits, RFC 8200; what the socket module takes
_HIGHEST_SCOPE = 0xFFFFFFFF


def decode_address(raw: bytes) -> object:
    """Return what ``socket.accept`` returns as the address for the bytes of a sockaddr."""
    if not raw:
        return None  # the sender of a datagram has no name
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


def encode_address(family: int, address: object) -> bytes | None:
    """Return the bytes of a sockaddr for a tuple with a literal IPv4 or IPv6 address.

    None for everything else: names, other families, and what is no address at all. The socket
    module knows what to do with that, or what to raise.
    """
    if not _has_exact_types(address):
        return None
    host, *numbers = cast("tuple[Any, ...]", address)
    try:
        packed = socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    port, flow, scope = cast("tuple[int, int, int]", (*numbers, 0, 0)[:3])
    head = family.to_bytes(2, sys.byteorder)
    if not 0 <= port <= _HIGHEST_PORT:
        return None
    if family == socket.AF_INET:
        return head + port.to_bytes(2, "big") + packed + bytes(8) if len(numbers) == 1 else None
    if not (0 <= flow <= _HIGHEST_FLOW and 0 <= scope <= _HIGHEST_SCOPE):
        return None
    tail = packed + scope.to_bytes(4, sys.byteorder)
    return head + port.to_bytes(2, "big") + flow.to_bytes(4, "big") + tail


class AddressBook:
    """Decodes addresses, and remembers the last ones: peers repeat."""

    def __init__(self) -> None:
        self.names: dict[bytes, object] = {}

    def name_of(self, raw: bytes) -> object:
        """Return what `decode_address` returns."""
        name = self.names.get(raw)
        if name is None:
            name = decode_address(raw)
            if len(self.names) >= _REMEMBERED:
                self.names.clear()
            self.names[raw] = name
        return name


def _has_exact_types(address: object) -> bool:
    if type(address) is not tuple or not 2 <= len(address) <= 4:
        return False
    host, *numbers = address
    return type(host) is str and all(type(number) is int for number in numbers)
