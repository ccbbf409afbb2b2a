"""Names and addresses: literals are read at once, names are looked up in a pool of threads."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["literal", "resolve"]

AddressInfo = tuple[int, int, int, str, Any]


async def resolve(
    loop: Any,
    address: tuple[Any, ...],
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo]:
    """Return what getaddrinfo would, without asking it when `address` is a literal."""
    host, port = address[:2]
    info = literal(host, port, family, type, proto, *address[2:])
    if info is not None:
        return [info]
    found: list[AddressInfo] = await loop.getaddrinfo(
        host, port, family=family, type=type, proto=proto, flags=flags
    )
    return found


def literal(
    host: Any, port: Any, family: int, type: int, proto: int, flow: int = 0, scope: int = 0
) -> AddressInfo | None:
    """Return the address info of a literal IPv4 or IPv6 address and numeric port, else None.

    Raises ValueError for a host with a NUL in it: getaddrinfo would look up what stands before it.
    """
    if proto not in (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP) or host is None:
        return None
    if type == socket.SOCK_STREAM:
        proto = socket.IPPROTO_TCP
    elif type == socket.SOCK_DGRAM:
        proto = socket.IPPROTO_UDP
    else:
        return None
    number = _port(port)
    host = _text(host)
    if number is None or host is None or "%" in host:
        return None  # a zone's name is for getaddrinfo
    for candidate in (socket.AF_INET, socket.AF_INET6):
        if family not in (socket.AF_UNSPEC, candidate):
            continue
        try:
            socket.inet_pton(candidate, host)
        except OSError:
            continue
        if candidate == socket.AF_INET6:
            return (candidate, type, proto, "", (host, number, flow, scope))
        return (candidate, type, proto, "", (host, number))
    return None


def _text(host: Any) -> str | None:
    if isinstance(host, (bytes, bytearray)):
        try:
            return host.decode("ascii")
        except UnicodeDecodeError:
            return None
    return host if isinstance(host, str) else None


def _port(port: Any) -> int | None:
    if port is None or port in ("", b""):
        return 0
    try:
        return int(port)
    except (TypeError, ValueError):
        return None  # a service's name
