"""A server for the length of a demonstration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def listening(server: asyncio.Server) -> AsyncIterator[int]:
    """The port of `server`, which is closed at the end of the `async with` block.

    After a demonstration that went well it also waits until every connection has ended. After an
    error or Ctrl-C it does not: nobody may be left who would end them.
    """
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield port
    except BaseException:
        server.close()
        raise
    server.close()
    await server.wait_closed()
