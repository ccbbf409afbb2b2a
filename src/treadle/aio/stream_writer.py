# cython: nonecheck=True
"""Writing to a stream.

`WriterCore` is compiled; what users see is `StreamWriter` (see the reader). Writing on a transport
of treadle's own is a C call. ``drain`` is an `Operation`: mostly it has nothing to wait for, and
then it is done with its first step.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio.tasks import sleep as asyncio_sleep
from typing import Any

from treadle._net.tcp import StreamTransport
from treadle.aio.operation import Operation, Owner, new_operation
from treadle.aio.stand_in import StandIn
from treadle.aio.stream_flow import FlowCore
from treadle.aio.stream_reader import ReaderCore

__all__ = ["StreamWriter", "WriterCore"]

_AnyReader = asyncio.StreamReader
DRAIN, WAIT_CLOSED = 0, 1


class WriterCore(Owner):
    """A stream writer, all of it but the name."""

    def __init__(self, transport: Any, protocol: Any, reader: Any, loop: Any) -> None:
        assert reader is None or isinstance(reader, _AnyReader)
        self._lower: Any = None
        self._stream: StreamTransport | None = None  # the transport, if it is of ours
        self._protocol = protocol
        self._flow: FlowCore | None = None  # the protocol, if it is of ours
        if isinstance(protocol, FlowCore):
            self._flow = protocol
        self._reader = reader
        self._core: ReaderCore | None = None  # the reader, if it is of ours
        if isinstance(reader, ReaderCore):
            self._core = reader
        self._loop = loop
        self.stand_on(transport)

    def stand_on(self, transport: Any) -> None:
        """Write to `transport` from now on."""
        self._lower = transport
        self._stream = transport if isinstance(transport, StreamTransport) else None

    @property
    def _transport(self) -> Any:
        return self._lower

    @_transport.setter
    def _transport(self, transport: Any) -> None:
        self.stand_on(transport)

    @property
    def transport(self) -> Any:
        """The transport."""
        return self._lower

    def __repr__(self) -> str:
        info = [type(self).__name__, f"transport={self._lower!r}"]
        if self._reader is not None:
            info.append(f"reader={self._reader!r}")
        return f"<{' '.join(info)}>"

    # writing -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Write bytes: what cannot be sent at once is buffered; see `drain`."""
        if self._stream is not None:
            self._stream._write(data)
        else:
            self._lower.write(data)

    def writelines(self, data: Any) -> None:
        """Write several pieces of bytes."""
        self._lower.writelines(data)

    def write_eof(self) -> Any:
        """Tell the peer, after what is buffered, that nothing more will come."""
        return self._lower.write_eof()

    def can_write_eof(self) -> Any:
        """Say whether the transport can do `write_eof`."""
        return self._lower.can_write_eof()

    def drain(self) -> Any:
        """Wait until the buffer of what was written is small enough to write on.

        Raises what the reader failed with, ConnectionResetError when the connection is lost. On a
        connection that is closing it waits for one turn of the loop, so that a program that writes
        and drains for ever hears of the end. Cancelled, it leaves the buffer as it is.
        """
        flow = self._flow
        if flow is not None and flow.drains:
            return new_operation(self, DRAIN, None)
        return _drain(self)

    # the end -------------------------------------------------------------------------------

    def close(self) -> Any:
        """Close the connection when what is buffered is sent; see `wait_closed`."""
        return self._lower.close()

    def is_closing(self) -> bool:
        """Say whether the connection is closed, or about to be."""
        return self.ends()

    def wait_closed(self) -> Any:
        """Wait until the connection is lost; raises what it was lost with.

        Cancelled, it leaves others that wait for the same waiting.
        """
        flow = self._flow
        if flow is not None and flow.closes:
            return new_operation(self, WAIT_CLOSED, None)
        return _wait_for_close(self._protocol, self)

    # the rest ------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows under `name`."""
        return self._lower.get_extra_info(name, default)

    async def start_tls(
        self,
        sslcontext: Any,
        *,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        """Go on in TLS: on a stream of `start_server` as the server, else as the client.

        Timeouts are in seconds. When the handshake fails, or is cancelled, the connection is
        closed.
        """
        protocol = self._protocol
        await self.drain()
        transport = await self._loop.start_tls(
            self._lower,
            protocol,
            sslcontext,
            server_side=protocol._client_connected_cb is not None,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self.stand_on(transport)
        if hasattr(protocol, "_replace_transport"):
            protocol._replace_transport(transport)
        else:  # a protocol of an older asyncio
            protocol._replace_writer(self)

    # draining, and waiting for the end -----------------------------------------------------

    def begin(self, operation: Operation) -> Any:
        """Look at both ends, and be done or wait."""
        if operation.verb == WAIT_CLOSED:
            flow: Any = self._flow
            if flow._connection_lost:
                return self.outcome()
            return operation.wait_for(flow.add_close())
        self.check_reader()
        if self.ends():
            return operation.pass_turn()  # and let the protocol hear of the loss
        return self.go_on(operation)

    def woken(self, operation: Operation) -> Any:
        """Go on after a turn of the loop, when there is room, or when the connection is lost."""
        if operation.waiting is None:
            return self.go_on(operation)
        self.failed(operation)
        return self.outcome() if operation.verb == WAIT_CLOSED else None

    def failed(self, operation: Operation) -> None:
        """Take the future back."""
        flow: Any = self._flow
        if flow is None:  # the collector was here
            return
        if operation.verb == WAIT_CLOSED:
            flow.remove_close(operation.waiting)
        elif operation.waiting is not None:
            flow.remove_drain(operation.waiting)

    def title(self, operation: Operation) -> str:
        """Return the name to show to users."""
        return "StreamWriter.wait_closed" if operation.verb == WAIT_CLOSED else "StreamWriter.drain"

    def go_on(self, operation: Operation) -> Any:
        """Be done if there is room, or wait."""
        flow: Any = self._flow
        if flow._connection_lost:
            raise ConnectionResetError("Connection lost")
        if not flow._paused:
            return None
        return operation.wait_for(flow.add_drain())

    def outcome(self) -> Any:
        """Raise what the connection was lost with."""
        flow: Any = self._flow
        if flow._failure is not None:
            raise flow._failure

    def check_reader(self) -> None:
        """Raise what the reader failed with."""
        exc = None
        if self._core is not None:
            exc = self._core._exception
        elif self._reader is not None:
            exc = self._reader.exception()
        if exc is not None:
            raise exc

    def ends(self) -> bool:
        """Like `is_closing`."""
        if self._stream is not None:
            return self._stream._state != 0  # 0: open, as in `StreamTransport`
        ends: bool = self._lower.is_closing()
        return ends

    def _let_go(self) -> None:
        """Close what its user forgot to close, and warn."""
        if self._lower is None or self._lower.is_closing():
            return
        if self._loop.is_closed():
            warnings.warn("loop is closed", ResourceWarning, stacklevel=1)
        else:
            self._lower.close()
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=1)


async def _drain(writer: Any) -> None:
    """Drain with a protocol that is not ours, or does it in its own way."""
    if writer._reader is not None:
        exc = writer._reader.exception()
        if exc is not None:
            raise exc
    if writer.is_closing():
        await asyncio_sleep(0)
    await writer._protocol._drain_helper()


async def _wait_for_close(protocol: Any, writer: Any) -> None:
    """Wait with a protocol that is not ours."""
    await protocol._get_close_waiter(writer)


class StreamWriter(WriterCore, asyncio.StreamWriter, StandIn):
    """Writes bytes to a stream; `open_connection` and `start_server` make them.

    One that is forgotten without `close` closes the connection, and says so with a ResourceWarning.

    >>> import asyncio, treadle
    >>> async def shout(reader, writer):
    ...     writer.writelines([(await reader.read()).upper(), b"!"])
    ...     await writer.drain()
    ...     writer.close()
    >>> async def main():
    ...     async with await treadle.start_server(shout, "127.0.0.1", 0) as server:
    ...         reader, writer = await treadle.open_connection(*server.sockets[0].getsockname())
    ...         writer.write(b"hello")
    ...         writer.write_eof()
    ...         print(await reader.read())
    ...         writer.close()
    ...         await writer.wait_closed()
    >>> asyncio.run(main())
    b'HELLO!'
    """

    __module__ = "treadle"

    def __del__(self) -> None:
        self._let_go()
