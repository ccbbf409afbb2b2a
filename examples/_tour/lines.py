"""A protocol that receives whole lines: TCP delivers bytes without borders between messages."""

from __future__ import annotations

import asyncio


class LineProtocol(asyncio.Protocol):
    """Calls `line_received` for each line, without its newline, however the bytes arrive."""

    transport: asyncio.Transport
    _rest: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; subclasses may extend this."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Split into lines; an unfinished one waits for the rest of it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.line_received(line)

    def line_received(self, line: bytes) -> None:
        """One whole line came."""
        raise NotImplementedError
