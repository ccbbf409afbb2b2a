"""What lies between a descriptor and a protocol: nothing, or TLS."""

from __future__ import annotations

import socket
import sys
from asyncio import constants
from contextvars import Context
from typing import Any, NamedTuple

from treadle._net.tcp import StreamTransport

__all__ = [
    "Layer",
    "check_context",
    "check_not_tls",
    "is_tls_socket",
    "tls_layer",
    "wrap",
    "wrap_socket",
]


class Layer(NamedTuple):
    """How TLS is to be done: what `tls_layer` returns."""

    sslcontext: Any
    server_side: bool
    server_hostname: str | None
    handshake_timeout: float  # seconds
    shutdown_timeout: float  # seconds


def tls_layer(
    sslcontext: Any,
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> Layer:
    """Check the arguments and fill in the defaults; ValueError for a timeout that is none."""
    for name, timeout in (
        ("ssl_handshake_timeout", handshake_timeout),
        ("ssl_shutdown_timeout", shutdown_timeout),
    ):
        if timeout is not None and timeout <= 0:
            raise ValueError(f"{name} should be a positive number, got {timeout}")
    return Layer(
        sslcontext or _default_context(server_side, server_hostname),
        server_side,
        None if server_side else server_hostname or None,
        constants.SSL_HANDSHAKE_TIMEOUT if handshake_timeout is None else handshake_timeout,
        constants.SSL_SHUTDOWN_TIMEOUT if shutdown_timeout is None else shutdown_timeout,
    )


def _default_context(server_side: bool, server_hostname: str | None) -> Any:
    if server_side:
        raise ValueError("Server side SSL needs a valid SSLContext")
    context = _ssl().create_default_context()
    if not server_hostname:
        context.check_hostname = False
    return context


def check_context(sslcontext: Any) -> None:
    """Refuse what is no ``ssl.SSLContext``."""
    if not isinstance(sslcontext, _ssl().SSLContext):
        raise TypeError(
            f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
        )


def _ssl() -> Any:
    try:
        import ssl
    except ImportError:  # CPython can be built without it
        raise RuntimeError("Python ssl module is not available") from None
    return ssl


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
    transport, _ = _transports(loop, protocol, context, layer, None)
    transport.start(fd, server, peer, None)


def wrap_socket(
    loop: Any, sock: Any, protocol: Any, context: Context, layer: Any, waiter: Any
) -> Any:
    """Put a transport on a connected socket object; return what the protocol sees."""
    transport, face = _transports(loop, protocol, context, layer, waiter)
    transport.adopt(sock, None if layer else waiter)
    return face


def _transports(
    loop: Any, protocol: Any, context: Context, layer: Layer | None, waiter: Any
) -> tuple[StreamTransport, Any]:
    """Return the transport for the descriptor, and the one that `protocol` sees."""
    transport = StreamTransport(loop, protocol, context)
    if layer is None:
        return transport, transport
    from treadle._net.tls import TlsTransport

    face = TlsTransport(loop, protocol, layer, context, waiter, False)
    face.stand_on(transport)
    return transport, face


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
