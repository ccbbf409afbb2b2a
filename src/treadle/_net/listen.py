"""Listening: resolve, bind, serve."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from treadle._core.log import logger
from treadle._net.layers import Layer, check_not_tls
from treadle._net.resolve import resolve
from treadle._net.server import Server

__all__ = ["create_server", "serve"]


async def create_server(
    loop: Any,
    protocol_factory: Callable[[], Any],
    host: Any,
    port: Any,
    layer: Layer | None,
    *,
    family: int,
    flags: int,
    sock: Any,
    backlog: int,
    reuse_address: bool | None,
    reuse_port: bool | None,
    keep_alive: bool | None,
    start_serving: bool,
) -> Server:
    """Do the work of ``loop.create_server``; its arguments have been checked for sense."""
    if sock is None:
        if reuse_address is None:
            reuse_address = os.name == "posix" and sys.platform != "cygwin"
        infos = await _addresses(loop, host, port, family, flags)
        options = _options(reuse_address, reuse_port, keep_alive)
        sockets = _bind_all(infos, options, loop.get_debug())
    else:
        check_not_tls(sock)
        sockets = [sock]
    return await serve(
        loop,
        sockets,
        protocol_factory,
        layer,
        backlog=backlog,
        start_serving=start_serving,
        ours=sock is None,
    )


async def serve(
    loop: Any,
    sockets: list[Any],
    protocol_factory: Callable[[], Any],
    layer: Layer | None,
    *,
    backlog: int,
    start_serving: bool,
    ours: bool,
    file: Any = None,
) -> Server:
    """Make a server of bound sockets; `ours`: nobody else knows them, so they close if that fails.

    `file` is removed when the server is closed.
    """
    server = Server(loop, sockets, protocol_factory, layer, backlog, file)
    try:
        for one in sockets:
            one.setblocking(False)
        if start_serving:
            await server.start_serving()
    except BaseException:
        if ours:
            server.close()
        raise
    if loop.get_debug():
        logger.info("%r is serving", server)
    return server


async def _addresses(loop: Any, host: Any, port: Any, family: int, flags: int) -> list[Any]:
    if host == "":
        hosts: list[Any] = [None]
    elif isinstance(host, str) or not isinstance(host, Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    found = await asyncio.gather(*[_resolved(loop, one, port, family, flags) for one in hosts])
    return list(dict.fromkeys(info for infos in found for info in infos))


async def _resolved(loop: Any, host: Any, port: Any, family: int, flags: int) -> list[Any]:
    infos = await resolve(loop, (host, port), family=family, type=socket.SOCK_STREAM, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({host!r}) returned empty list")
    return infos


def _options(
    reuse_address: bool | None, reuse_port: bool | None, keep_alive: bool | None
) -> list[tuple[int, int]]:
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    options = []
    if reuse_address:
        options.append((socket.SOL_SOCKET, socket.SO_REUSEADDR))
    if reuse_port:
        options.append((socket.SOL_SOCKET, socket.SO_REUSEPORT))
    if keep_alive:
        options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    return options


def _bind_all(infos: list[Any], options: list[tuple[int, int]], debug: bool) -> list[Any]:
    """Bind a socket to each address that this host can use; close all when one fails."""
    sockets: list[socket.socket] = []
    try:
        for info in infos:
            sock = _bind(info, options, debug)
            if sock is not None:
                sockets.append(sock)
        if not sockets:
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(info: Any, options: list[tuple[int, int]], debug: bool) -> socket.socket | None:
    family, kind, proto, _, address = info
    try:
        sock = socket.socket(family, kind, proto)
    except OSError:
        if debug:  # this host does not have the family
            logger.warning(
                "create_server() failed to create socket.socket(%r, %r, %r)",
                family,
                kind,
                proto,
                exc_info=True,
            )
        return None
    try:
        for level, option in options:
            _set_option(sock, level, option)
        if family == socket.AF_INET6 and hasattr(socket, "IPPROTO_IPV6"):
            # one socket per family: dual stack would take the IPv4 port as well
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        text = f"error while attempting to bind on address {address!r}: {str(exc).lower()}"
        if exc.errno == errno.EADDRNOTAVAIL:  # the family is there, but not enabled
            if debug:
                logger.warning(text)
            return None
        raise OSError(exc.errno, text) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _set_option(sock: socket.socket, level: int, option: int) -> None:
    try:
        sock.setsockopt(level, option, True)
    except OSError:
        if option == getattr(socket, "SO_REUSEPORT", None):
            raise ValueError(
                "reuse_port not supported by socket module, SO_REUSEPORT defined "
                "but not implemented."
            ) from None
        raise
