"""What lies between a descriptor and a protocol: nothing, or TLS."""

from __future__ import annotations

import socket
import sys
from contextvars import Context
from typing import Any, NamedTuple

from treadle._net.tcp import StreamTransport

__all__ = ["Layer", "check_not_tls", "is_tls_socket", "wrap", "wrap_socket"]


class Layer(NamedTuple):
    """A TLS layer: the arguments of the same names of create_connection and create_server."""

    sslcontext: Any
    server_side: bool
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None


def wrap(
    loop: Any,
    fd: int,
    protocol: Any,
    context: Context,
    server: Any,
    peer: Any,
    layer: Layer | None,
) -> None:
    """Put a transport on an accepted descriptor."""
    _, inner = _with_layer(loop, protocol, layer, None)
    StreamTransport(loop, inner, context).start(fd, server, peer, None)


def wrap_socket(
    loop: Any, sock: Any, protocol: Any, context: Context, layer: Any, waiter: Any
) -> Any:
    """Put a transport on a connected socket object; return what the protocol sees."""
    outer, inner = _with_layer(loop, protocol, layer, waiter)
    transport = StreamTransport(loop, inner, context)
    transport.adopt(sock, None if layer else waiter)
    return transport if outer is None else outer


def _with_layer(loop: Any, protocol: Any, layer: Layer | None, waiter: Any) -> tuple[Any, Any]:
    """Return the transport that `protocol` sees (None: the socket's own) and the lower protocol."""
    if layer is None:
        return None, protocol
    from asyncio import sslproto  # CPython can be built without ssl

    lower: Any = sslproto.SSLProtocol(
        loop,
        protocol,
        layer.sslcontext,
        waiter,
        layer.server_side,
        layer.server_hostname,
        ssl_handshake_timeout=layer.handshake_timeout,  # type: ignore[arg-type]
        ssl_shutdown_timeout=layer.shutdown_timeout,
    )
    return lower._app_transport, lower


def is_tls_socket(sock: Any) -> bool:
    """Say whether the ssl module wraps `sock`; only a program that imported it can have one."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(sock, ssl.SSLSocket)


def check_not_tls(sock: Any) -> None:
    """Refuse what is not a plain stream socket; the calls of a TLS socket block."""
    if is_tls_socket(sock):
        raise TypeError("Socket cannot be of type SSLSocket")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")
