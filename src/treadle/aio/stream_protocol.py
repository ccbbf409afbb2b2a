# cython: nonecheck=True
"""Between a transport and a stream: the protocol that feeds the reader and holds back the writer.

On a transport of treadle's own it is a `Hearer`: what arrives goes from the transport into the
reader's buffer by C calls. That holds for `StreamReaderProtocol` and `StreamReader` themselves;
with a derived class of either, which may do something else with its data, every call is a call of
the method that asyncio names.

It holds its reader (asyncio holds it weakly). The reader does not hold the protocol, and when the
connection is lost the protocol lets go.
"""

from __future__ import annotations

import asyncio
from asyncio import coroutines
from types import CoroutineType
from typing import Any

from treadle._net.tcp import StreamTransport
from treadle.aio.stand_in import StandIn
from treadle.aio.stream_flow import FlowCore
from treadle.aio.stream_reader import ReaderCore, StreamReader
from treadle.aio.stream_writer import StreamWriter

__all__ = ["ProtocolCore", "StreamReaderProtocol"]

_Coroutine = CoroutineType
_Reader = StreamReader


class ProtocolCore(FlowCore):
    """A stream's protocol, all of it but the name."""

    def __init__(
        self, stream_reader: Any, client_connected_cb: Any = None, loop: Any = None
    ) -> None:
        FlowCore.__init__(self, loop)
        self._source_traceback = getattr(stream_reader, "_source_traceback", None)
        self._fed = stream_reader  # None when the connection is lost
        self._core: ReaderCore | None = None  # the reader, if it is one of ours
        if isinstance(stream_reader, ReaderCore):
            self._core = stream_reader
        self._direct = type(stream_reader) is _Reader  # nobody has changed how it is fed
        self._client_connected_cb = client_connected_cb
        self._task: Any = None  # of the callback, held while it runs
        self._transport: Any = None
        self._over_ssl = False

    @property
    def _stream_reader(self) -> Any:
        return self._fed

    # the protocol --------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin; on a server, call the user's function."""
        self._transport = transport
        reader = self._fed
        if reader is not None:
            reader.set_transport(transport)
        self._over_ssl = _is_over_ssl(transport)
        if self._client_connected_cb is None:
            return
        writer = StreamWriter(transport, self, reader, self._loop)
        result = self._client_connected_cb(reader, writer)
        if type(result) is _Coroutine or coroutines.iscoroutine(result):
            self._task = self._loop.create_task(result)
            self._task.add_done_callback(Ending(self._loop, transport))

    def data_received(self, data: Any) -> None:
        """Feed the reader."""
        if self._fed is not None:
            self._fed.feed_data(data)

    def hears(self) -> bool:
        """Say whether data may come by `hear`."""
        return self._direct and type(self).data_received is _OUR_FEED

    def hear(self, data: Any) -> None:
        """Feed the reader."""
        if self._core is not None:
            self._core.put_in(data)

    def eof_received(self) -> bool:
        """Tell the reader; the connection stays open for writing, but for TLS, which cannot."""
        if self._fed is not None:
            self._fed.feed_eof()
        return not self._over_ssl

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the reader and all who wait."""
        reader = self._fed
        if reader is not None:
            if exc is None:
                reader.feed_eof()
            else:
                reader.set_exception(exc)
        self.end_flow(exc)
        self._fed = None
        self._core = None
        self._task = None
        self._transport = None

    def _replace_transport(self, transport: Any) -> None:
        """Go on with another transport: TLS on the one before."""
        self._transport = transport
        self._over_ssl = _is_over_ssl(transport)
        if self._core is not None:
            self._core.change_transport(transport)

    def _replace_writer(self, writer: Any) -> None:
        """Do the same for the writer of an older asyncio."""
        self._replace_transport(writer.transport)


class Ending:
    """Hears that a user's coroutine is done: its failure is the end of the connection."""

    def __init__(self, loop: Any, transport: Any) -> None:
        self.loop = loop
        self.transport = transport

    def __call__(self, task: Any) -> None:
        if task.cancelled():
            self.transport.close()
            return
        exc = task.exception()
        if exc is None:
            return
        self.loop.call_exception_handler(
            {
                "message": "Unhandled exception in client_connected_cb",
                "exception": exc,
                "transport": self.transport,
            }
        )
        self.transport.close()


_OUR_FEED = ProtocolCore.data_received


def _is_over_ssl(transport: Any) -> bool:
    if isinstance(transport, StreamTransport):
        return False
    return transport.get_extra_info("sslcontext") is not None


class StreamReaderProtocol(ProtocolCore, asyncio.StreamReaderProtocol, StandIn):
    """The protocol that feeds a `StreamReader`, for use with ``loop.create_connection``.

    With `client_connected_cb` it is a server's: that is called with the reader and a writer when
    the connection is made, and if it gives a coroutine, that runs as a task, which the protocol
    holds. An exception of it goes to the loop's exception handler and closes the connection.

    >>> import asyncio, socket, treadle
    >>> async def main():
    ...     ours, theirs = socket.socketpair()
    ...     reader = treadle.StreamReader()
    ...     protocol = treadle.StreamReaderProtocol(reader)
    ...     loop = asyncio.get_running_loop()
    ...     transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    ...     writer = treadle.StreamWriter(transport, protocol, reader, loop)
    ...     with theirs:
    ...         theirs.send(b"hello")
    ...     print(await reader.read())
    ...     writer.close()
    ...     await writer.wait_closed()
    >>> asyncio.run(main())
    b'hello'
    """

    __module__ = "treadle"
