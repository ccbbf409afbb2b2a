"""Real ASGI servers in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import uvicorn
from hypercorn.asyncio import serve as serve_hypercorn
from hypercorn.config import Config as HypercornConfig
from websockets.asyncio.client import connect

from treadle.web import WebSocketProtocol

UVICORN = {
    "websockets": "websockets-sansio",
    "wsproto": "wsproto",
    "treadle": WebSocketProtocol,
}


@contextlib.asynccontextmanager
async def uvicorn_serving(app, kind="treadle", port=0):
    """Without uvicorn's main loop, which looks ten times a second whether it is to stop."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, lifespan="off", log_level="error", ws=UVICORN[kind]
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def hypercorn_serving(app):
    config = HypercornConfig()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = errors = logging.getLogger("hypercorn.of.these.tests")
    errors.setLevel(logging.INFO)
    ready = asyncio.get_running_loop().create_future()

    def note(record):
        """It tells its port nowhere but in its log."""
        if "Running on" in record.getMessage() and not ready.done():
            ready.set_result(record.getMessage().split()[2])
        return False

    errors.addFilter(note)
    end = asyncio.Event()
    task = asyncio.ensure_future(serve_hypercorn(app, config, shutdown_trigger=end.wait))
    try:
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        yield f"127.0.0.1:{ready.result().rpartition(':')[2]}"
    finally:
        errors.removeFilter(note)
        end.set()
        await task


def serving(server, app):
    """The application behind `hypercorn`, or behind uvicorn with one of its protocols."""
    return hypercorn_serving(app) if server == "hypercorn" else uvicorn_serving(app, server)


SERVERS = ["hypercorn", *UVICORN]


class Talk:
    """A client of the `websockets` library that speaks frames."""

    def __init__(self, socket):
        self.socket = socket
        self.ids = 0

    async def ask(self, kind, **values):
        self.ids += 1
        await self.socket.send(json.dumps({"type": kind, "id": self.ids, **values}))
        while (frame := await self.frame()).get("id") != self.ids:
            pass
        return frame

    async def frame(self, kind=None):
        while True:
            frame = json.loads(await self.socket.recv())
            if kind is None or frame["type"] == kind:
                return frame


@contextlib.asynccontextmanager
async def talking(address, query="", **options):
    uri = f"ws://{address}/hub{query}"
    options = {"subprotocols": ["treadle.json"], "compression": None, **options}
    async with connect(uri, **options) as socket:
        yield Talk(socket)
