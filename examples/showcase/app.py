"""The application: pages, one WebSocket for all of them, and the hub behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from showcase import chat, game, pads, pulse
from showcase.people import People
from showcase.turns import Alone, RedisTurns
from treadle.hub import Backend, Hub, Limits, MemoryBackend, javascript_client
from treadle.hub.asgi import WebSocketEndpoint

DIST = Path(__file__).parent / "web" / "dist"
PAGES = ("chat", "game", "editor", "stats")


@dataclass(frozen=True)
class Settings:
    """What differs from one process to another."""

    redis: str | None = None
    """The address of a Redis; None: this process is alone."""
    secret: str | None = None
    """Shared by processes, so that a client that comes back may do so to any of them."""


def create_hub(settings: Settings) -> Hub:
    """The hub, with the rooms of all four applications."""
    backend: Backend = MemoryBackend()
    if settings.redis is not None:
        from treadle.hub.backends.redis import RedisBackend

        backend = RedisBackend(settings.redis, prefix="showcase")
    return Hub(
        backend,
        rooms={**chat.ROOMS, **game.ROOMS, **pads.ROOMS, **pulse.ROOMS},
        limits=Limits(max_message=1 << 18, rate=80, burst=160),
        hooks=People(),
        secret=settings.secret,
    )


def create_app(settings: Settings | None = None) -> Starlette:
    """An ASGI application; its lifespan is the hub's."""
    settings = settings or Settings()
    hub = create_hub(settings)
    chat.add_chat(hub)
    turns = Alone() if settings.redis is None else RedisTurns(settings.redis, hub.node)
    games = game.Games(hub, turns)
    texts = pads.Pads(hub)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(hub)
            await stack.enter_async_context(pulse.beating(hub))
            await stack.enter_async_context(games.running())
            await stack.enter_async_context(texts.running())
            yield

    routes = [
        Route("/", lambda request: RedirectResponse("/chat")),
        WebSocketRoute("/hub", WebSocketEndpoint(hub)),
        Route("/treadle-hub.js", lambda request: FileResponse(javascript_client())),
        Mount("/web", StaticFiles(directory=DIST, check_dir=False)),
        Route("/{page}", page),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.hub, app.state.games, app.state.texts = hub, games, texts
    return app


async def page(request: Request) -> Response:
    """One of the four pages."""
    name = request.path_params["page"]
    if name not in PAGES:
        raise HTTPException(404)
    file = DIST / f"{name}.html"
    if not file.exists():
        raise HTTPException(503, "The pages are not built yet: make showcase-pages")
    return FileResponse(file, headers={"cache-control": "no-cache"})
