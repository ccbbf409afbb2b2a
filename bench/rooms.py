"""Servers of rooms over WebSockets, each in a process: `python -m bench.rooms CONTESTANT`.

Each is written as its documentation has it: a client that connects is in the one room, and what one
of them says goes to all. All are ASGI applications under uvicorn with its own settings, without
access log; they differ in library, loop and WebSocket protocol. A server prints one line of JSON
with its port, and serves until it is killed, or until an alarm ends it. Over HTTP it tells how much
memory it has (`/memory`), and the hub publishes so many messages (`/publish/COUNT`).
"""

import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.echoes import BACKLOG, HOST
from bench.loops import SUBJECT, new_loop
from bench.servers import memory

LIFETIME_SECONDS = 300
ROOM = "room"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HUB_JOIN = '{"type":"join","id":1,"room":"room"}'
HUB_PREFIX = '{"type":"publish","id":2,"room":"room","data":"'


@dataclass(frozen=True)
class Language:
    """What a client says to a server; see bench/c/fanout_load.c."""

    path: str
    join: str
    """What it says first; nothing if empty."""
    ready: str
    """How the answer to that begins; none is expected if empty."""
    prefix: str = ""
    suffix: str = ""


HUB = Language("/", HUB_JOIN, '{"type":"joined"', HUB_PREFIX, '"}')
SOCKETIO = Language("/socket.io/?EIO=4&transport=websocket", "40", "40{", '42["say","', '"]')
PLAIN = Language("/", "", "ready")
SILENT = Language("/", "", "")


def hub() -> Any:
    """Presence is off, for the others have none; history is on, as it is by default."""
    from treadle.hub import Hub, Limits, RoomOptions
    from treadle.hub.asgi import WebSocketEndpoint

    made = Hub(
        rooms={ROOM: RoomOptions(presence=False)},
        limits=Limits(rate=1e6, burst=1_000_000, ping=LIFETIME_SECONDS),
    )
    endpoint = WebSocketEndpoint(made)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send, made.start, made.close)
        elif scope["type"] == "http":
            for number in range(int(scope["path"].rpartition("/")[2])):
                await made.publish(ROOM, f"{number:0128}")
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await answer(send, {"stats": made.stats().dropped})
        else:
            await endpoint(scope, receive, send)

    return app


def socketio() -> Any:
    import socketio as library

    server = library.AsyncServer(async_mode="asgi")

    @server.event  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: Any, auth: Any) -> None:
        await server.enter_room(sid, ROOM)

    @server.event  # type: ignore[untyped-decorator]
    async def say(sid: str, text: str) -> None:
        await server.emit("said", text, room=ROOM)

    return library.ASGIApp(server)


def litestar() -> Any:
    from litestar import Litestar, WebSocket, websocket
    from litestar.channels import ChannelsPlugin
    from litestar.channels.backends.memory import MemoryChannelsBackend
    from litestar.exceptions import WebSocketDisconnect

    @websocket("/")  # type: ignore[untyped-decorator]
    async def serve(socket: WebSocket[Any, Any, Any], channels: ChannelsPlugin) -> None:
        await socket.accept()
        async with (
            channels.start_subscription(ROOM) as subscriber,
            subscriber.run_in_background(socket.send_text),
        ):
            await socket.send_text("ready")
            try:
                while True:
                    channels.publish(await socket.receive_text(), ROOM)
            except WebSocketDisconnect:
                pass

    plugin = ChannelsPlugin(MemoryChannelsBackend(), channels=[ROOM])
    return Litestar([serve], plugins=[plugin])


def silent() -> Any:
    """The least application: accepts, and receives until the end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass

    return app


async def lifespan(receive: Receive, send: Send, *steps: Callable[[], Any]) -> None:
    for number, kind in enumerate(("startup", "shutdown")):
        await receive()
        if steps:
            await steps[number]()
        await send({"type": f"lifespan.{kind}.complete"})


async def answer(send: Send, facts: dict[str, Any]) -> None:
    body = json.dumps(facts).encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Contestant:
    """An application, and what it runs on."""

    label: str
    make: Callable[[], Any]
    loop: str
    language: Language
    web: bool = False
    """With treadle's WebSocket protocol for uvicorn; else with the one that uvicorn chooses."""


CONTESTANTS = {
    "hub": Contestant("treadle.hub, treadle.web, treadle", hub, SUBJECT, HUB, web=True),
    "hub-uvloop": Contestant("treadle.hub, treadle.web, uvloop", hub, "uvloop", HUB, web=True),
    "hub-pull": Contestant("treadle.hub, uvicorn's WebSockets, uvloop", hub, "uvloop", HUB),
    "socketio": Contestant("python-socketio, uvloop", socketio, "uvloop", SOCKETIO),
    "litestar": Contestant("litestar's channels, uvloop", litestar, "uvloop", PLAIN),
    "silent": Contestant("a silent application, uvloop", silent, "uvloop", SILENT),
    "silent-web": Contestant("the same, treadle.web, treadle", silent, SUBJECT, SILENT, web=True),
}


def with_memory(app: Any) -> Any:
    """The application, that also tells how much memory the process has."""

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/memory":
            gc.collect()
            await answer(send, dict(memory()))
        else:
            await app(scope, receive, send)

    return both


async def serve(contestant: Contestant) -> None:
    import uvicorn

    settings: dict[str, Any] = {}
    if contestant.web:
        from treadle.web import WebSocketProtocol

        settings["ws"] = WebSocketProtocol
    config = uvicorn.Config(
        with_memory(contestant.make()),
        host=HOST,
        port=0,
        backlog=BACKLOG,
        loop="none",
        access_log=False,
        log_level="warning",
        **settings,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    if server.started:
        print(json.dumps({"port": server.servers[0].sockets[0].getsockname()[1]}), flush=True)
    await running


def main(arguments: Sequence[str]) -> None:
    signal.alarm(LIFETIME_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    contestant = CONTESTANTS[arguments[0]]
    loop = new_loop(contestant.loop)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(serve(contestant))
    except ModuleNotFoundError as error:
        print(json.dumps({"cannot": f"no package {error.name}"}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
