"""The loop's network methods: arguments are checked here, the work is done next door.

The neighbours are imported when first needed: a program that connects to nothing does not pay for
them when it starts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle._net.layers import Layer
    from treadle._net.server import Server

__all__ = ["NetMethods"]


class NetMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: Any = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Any, Any]:
        """Connect to ``host:port``, or take the connected `sock`; return (transport, protocol).

        The addresses of a name are tried one after the other, or raced when `happy_eyeballs_delay`
        (seconds) is given. Raises OSError when none answers. A cancellation closes what was opened.
        """
        _check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        if server_hostname is None and ssl:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        from treadle._net.connect import create_connection

        return await create_connection(
            self,
            protocol_factory,
            host,
            port,
            _layer(ssl, False, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout),
            family=family,
            proto=proto,
            flags=flags,
            sock=sock,
            local_addr=local_addr,
            delay=happy_eyeballs_delay,
            interleave_by=interleave,
            all_errors=all_errors,
        )

    async def create_server(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on ``host:port`` (`host` may be a sequence; None is every interface) or on `sock`.

        Each connection gets a protocol from `protocol_factory`. Raises OSError when an address
        cannot be bound; then nothing is left open.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        _check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, None)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        from treadle._net.listen import create_server

        return await create_server(
            self,
            protocol_factory,
            host,
            port,
            _layer(ssl, True, None, ssl_handshake_timeout, ssl_shutdown_timeout),
            family=family,
            flags=flags,
            sock=sock,
            backlog=backlog,
            reuse_address=reuse_address,
            reuse_port=reuse_port,
            keep_alive=keep_alive,
            start_serving=start_serving,
        )

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], Any],
        sock: Any,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Serve a connection that was accepted elsewhere; return (transport, protocol)."""
        from treadle._net.connect import start_on_socket
        from treadle._net.layers import check_not_tls

        check_not_tls(sock)
        _check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, None)
        layer = _layer(ssl, True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
        return await start_on_socket(self, protocol_factory, sock, layer)

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Look a name up in the pool of threads that is kept for names."""
        executors: Any = self._executors  # type: ignore[attr-defined]
        found: list[Any] = await executors.resolve(
            socket.getaddrinfo, host, port, family, type, proto, flags
        )
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """Look an address up in the pool of threads that is kept for names."""
        executors: Any = self._executors  # type: ignore[attr-defined]
        found: tuple[str, str] = await executors.resolve(socket.getnameinfo, sockaddr, flags)
        return found


def _check_tls_arguments(
    ssl: Any, handshake: float | None, shutdown: float | None, hostname: str | None
) -> None:
    if ssl:
        return
    if hostname is not None:
        raise ValueError("server_hostname is only meaningful with ssl")
    if handshake is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def _layer(
    ssl: Any,
    server_side: bool,
    hostname: str | None,
    handshake: float | None,
    shutdown: float | None,
) -> Layer | None:
    if not ssl:
        return None
    from treadle._net.layers import tls_layer

    context = None if isinstance(ssl, bool) else ssl
    return tls_layer(context, server_side, hostname, handshake, shutdown)
