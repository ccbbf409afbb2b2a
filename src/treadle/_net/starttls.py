"""``loop.start_tls``: a connection that goes on in TLS."""

from __future__ import annotations

from asyncio.streams import StreamReaderProtocol
from typing import Any

from treadle._core.invoke import current_context

__all__ = ["TlsMethods"]


class TlsMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio."""

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Go on in TLS on the connection of `transport`; return the transport to use from now on.

        `protocol` is the one that was served so far, or another; its connection_made is not called.
        Works on top of TLS as well. If the handshake fails, or the call is cancelled, the
        connection is closed, and `protocol` hears connection_lost.
        """
        from treadle._net.layers import check_context, tls_layer
        from treadle._net.tcp import StreamTransport
        from treadle._net.tls import TlsTransport

        check_context(sslcontext)
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        layer = tls_layer(
            sslcontext, server_side, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if transport.is_closing():
            raise ConnectionResetError(
                f"start_tls() needs an open connection, but {transport!r} is closed"
            )
        if isinstance(transport, StreamTransport):
            context = transport._context
        else:  # that one runs its protocol, a part of us, in its own context
            context = current_context()
        waiter = self.create_future()  # type: ignore[attr-defined]
        upper = TlsTransport(self, protocol, layer, context, waiter, True)
        upper.stand_on(transport)
        upper.begin(_read_ahead(protocol) if server_side else b"")
        try:
            await waiter
        except BaseException:
            upper.abort()
            raise
        return upper


def _read_ahead(protocol: Any) -> bytes:
    """Take from a stream reader what a client sent right behind its wish for TLS.

    On the client's side what the reader holds was sent in plain by somebody, perhaps not by the
    server: it stays where it is, and never passes for something that came through TLS.
    """
    if not isinstance(protocol, StreamReaderProtocol):
        return b""
    reader: Any = protocol._stream_reader  # type: ignore[attr-defined]
    if reader is None:
        return b""
    data = bytes(reader._buffer)
    reader._buffer.clear()
    return data
