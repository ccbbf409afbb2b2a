"""A uvicorn server in the test's own loop, with treadle's WebSocket protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("websockets.asyncio.client")


class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
    """uvicorn's server with a future that is done when it has bound its port."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bound = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self.bound.set_result(self.servers[0].sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        """uvicorn's own looks every tenth of a second whether to stop."""
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        """As uvicorn's own, which looks every tenth of a second whether all have gone."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.001)
        for server in self.servers:
            await server.wait_closed()


@contextlib.asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[str]:
    """The address of a server of `app`, which stops at the end."""
    from treadle.web import WebSocketProtocol

    settings = {"ws": WebSocketProtocol, "lifespan": "off", "log_level": "critical"} | settings
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **settings))
    task = asyncio.ensure_future(server.serve())
    await asyncio.wait([task, server.bound], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"127.0.0.1:{server.bound.result()}"
    finally:
        server.stopping.set()
        await task


@pytest.fixture
def run(loop: Any) -> Any:
    return lambda main: loop.run_until_complete(main())
