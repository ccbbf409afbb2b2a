"""Opening a socket for datagrams: resolve, bind, connect, start."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["DatagramMethods"]

_EXPECTED = "A datagram socket" if sys.version_info >= (3, 13) else "A UDP Socket"


class DatagramMethods:
    """Mixed into the loop; signature and exceptions are those of asyncio."""

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[Any, Any]:
        """Open a socket for datagrams, or take `sock`; return (transport, protocol).

        It is bound to `local_addr` and connected to `remote_addr`, each a (host, port), or a path
        with ``family=socket.AF_UNIX``. With `allow_broadcast` it is not connected, and sends to
        `remote_addr` only. Raises OSError when no address will do; then, and when it is cancelled,
        nothing is left open but a `sock` that was handed in.
        """
        fixed = None
        ours = sock is None
        if sock is None:
            options = _options(reuse_port, allow_broadcast)
            pairs = await _address_pairs(self, local_addr, remote_addr, family, proto, flags)
            connect = remote_addr is not None and not allow_broadcast
            sock, fixed = await _first_open(self, pairs, options, connect)
        else:
            _check_alone(
                sock,
                local_addr=local_addr,
                remote_addr=remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
            )
            sock.setblocking(False)
        try:
            protocol = protocol_factory()
            transport, waiter = _start(self, sock, protocol, fixed)
        except BaseException:
            if ours:
                sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol


def _start(loop: Any, sock: Any, protocol: Any, fixed: Any) -> tuple[Any, Any]:
    """Put a transport on a socket; return it, and a future that is done when it has begun."""
    from treadle._core.invoke import current_context
    from treadle._net.udp import DatagramTransport

    waiter = loop.create_future()
    transport = DatagramTransport(loop, sock, protocol, current_context())
    transport.start(fixed, waiter)
    return transport, waiter


def _check_alone(sock: Any, **others: Any) -> None:
    """Refuse a stream socket, and a socket together with arguments on how to make one."""
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"{_EXPECTED} was expected, got {sock!r}")
    given = ", ".join(f"{name}={value}" for name, value in others.items() if value)
    if given:
        raise ValueError(
            f"socket modifier keyword arguments can not be used when sock is specified. ({given})"
        )


def _options(reuse_port: bool | None, allow_broadcast: bool | None) -> list[int]:
    options = []
    if reuse_port:
        if not hasattr(socket, "SO_REUSEPORT"):
            raise ValueError("reuse_port not supported by socket module")
        options.append(socket.SO_REUSEPORT)
    if allow_broadcast:
        options.append(socket.SO_BROADCAST)
    return options


async def _address_pairs(
    loop: Any, local: Any, remote: Any, family: int, proto: int, flags: int
) -> list[tuple[int, int, Any, Any]]:
    """Return what to try: (family, protocol, local address, remote address), addresses or None."""
    if not (local or remote):
        if family == 0:
            raise ValueError("unexpected address family")
        return [(family, proto, None, None)]
    if hasattr(socket, "AF_UNIX") and family == socket.AF_UNIX:
        return [(family, proto, _unix_address(local, stale=True), _unix_address(remote))]
    found: dict[tuple[int, int], list[Any]] = {}
    for place, address in enumerate((local, remote)):
        if address is None:
            continue
        for info in await _resolved(loop, address, family, proto, flags):
            found.setdefault((info[0], info[2]), [None, None])[place] = info[4]
    pairs = [
        (*key, *addresses)
        for key, addresses in found.items()
        if (not local or addresses[0] is not None) and (not remote or addresses[1] is not None)
    ]
    if not pairs:
        raise ValueError("can not get address information")
    return pairs


def _unix_address(path: Any, *, stale: bool = False) -> Any:
    """Check a path; where it is to be bound, remove the socket that an earlier run has left."""
    if path is None:
        return None
    if not isinstance(path, str):
        raise TypeError("string is expected")
    if stale:
        from treadle._net.unix import remove_stale_socket

        remove_stale_socket(path)
    return path or None


async def _resolved(loop: Any, address: Any, family: int, proto: int, flags: int) -> list[Any]:
    from treadle._net.resolve import resolve

    if not (isinstance(address, tuple) and len(address) == 2):
        raise TypeError("2-tuple is expected")
    infos = await resolve(
        loop, address, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags
    )
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


async def _first_open(
    loop: Any, pairs: list[tuple[int, int, Any, Any]], options: list[int], connect: bool
) -> tuple[Any, Any]:
    """Return the first socket that opens, and its remote address; else raise the first failure."""
    failures: list[OSError] = []
    for family, proto, local, remote in pairs:
        try:
            return await _open(
                loop, family, proto, local, remote if connect else None, options
            ), remote
        except OSError as exc:
            failures.append(exc)
    try:
        raise failures[0]
    finally:
        failures = []  # their tracebacks hold this frame, the frame must not hold them


async def _open(
    loop: Any, family: int, proto: int, local: Any, remote: Any, options: list[int]
) -> Any:
    """Make one socket, bind it and connect it, as far as there are addresses."""
    sock = socket.socket(family, socket.SOCK_DGRAM, proto)
    try:
        for option in options:
            _set_option(sock, option)
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        if remote is not None:
            await loop.sock_connect(sock, remote)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_option(sock: socket.socket, option: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        if option != getattr(socket, "SO_REUSEPORT", None):
            raise
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None
