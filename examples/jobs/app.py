"""The web application: takes orders, and lets a page watch what becomes of them.

POST   /orders       {"below": 100000}: 202 and {"order": ID}
GET    /orders/ID    its result, or 404 while there is none
DELETE /orders/ID    nobody wants to know any more
/hub                 WebSocket: the room `order:ID` tells how far it is
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from taskiq.exceptions import SendTaskError

from jobs.tasks import broker, count_primes, create_hub
from treadle.hub import Connection, Hooks, Hub, Refused, javascript_client
from treadle.hub.asgi import WebSocketEndpoint

LARGEST = 10_000_000

PAGE = """<!doctype html>
<title>Jobs</title>
<form><input type=number value=1000000> <button>How many primes below?</button></form>
<progress value=0></progress> <output></output>
<script type=module>
import { connect } from "/treadle-hub.js";
const hub = connect("/hub"), [form, bar, output] = ["form", "progress", "output"].map(
  (name) => document.querySelector(name));
form.onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ below: form[0].valueAsNumber });
  const { order } = await (await fetch("/orders", { method: "POST", body })).json();
  hub.join(`order:${order}`, {
    history: 100,
    onMessage: ({ data }) => {
      if (data.state === "working") bar.value = data.done;
      else output.value = data.value ?? data.error ?? "cancelled";
    },
  });
};
</script>
"""


class Order(msgspec.Struct):
    """What a page sends."""

    below: int


class Doors(Hooks):
    """Pages may listen to orders whose number they know, and say nothing."""

    async def may_join(self, connection: Connection, room: str) -> None:
        if not room.startswith("order:"):
            raise Refused("only orders")

    async def may_publish(self, connection: Connection, room: str, data: Any) -> None:
        raise Refused("only workers speak here")


def create_app() -> Starlette:
    """An ASGI application; its lifespan is the hub's and the broker's."""
    hub = create_hub(Doors())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            await broker.startup()
            try:
                yield
            finally:
                await broker.shutdown()

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/orders", take, methods=["POST"]),
            Route("/orders/{order}", show, methods=["GET"]),
            Route("/orders/{order}", cancel, methods=["DELETE"]),
            WebSocketRoute("/hub", WebSocketEndpoint(hub)),
            Route("/treadle-hub.js", client),
        ],
        lifespan=lifespan,
    )
    app.state.hub = hub
    return app


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def client(request: Request) -> Response:
    return FileResponse(javascript_client())


async def take(request: Request) -> Response:
    """Put it in the queue. Once this answers, the broker has it."""
    try:
        order = msgspec.json.decode(await request.body(), type=Order)
    except msgspec.MsgspecError as failure:
        return JSONResponse({"error": str(failure)}, 400)
    if not 0 <= order.below <= LARGEST:
        return JSONResponse({"error": f"between 0 and {LARGEST}, please"}, 400)
    try:
        job = await count_primes.kiq(order.below)
    except SendTaskError:
        return JSONResponse({"error": "the queue cannot be reached"}, 503)
    return JSONResponse({"order": job.task_id}, 202)


async def show(request: Request) -> Response:
    order = request.path_params["order"]
    if not await broker.result_backend.is_result_ready(order):
        return JSONResponse({"error": "not yet, not any more, or never"}, 404)
    result = await broker.result_backend.get_result(order)
    if result.is_err:
        return JSONResponse({"error": str(result.error)}, 500)
    return JSONResponse({"value": result.return_value})


async def cancel(request: Request) -> Response:
    """Say that nobody wants it. The worker reads that before it begins, and between two pieces."""
    hub: Hub = request.app.state.hub
    await hub.publish(f"cancel:{request.path_params['order']}", True)
    return Response(status_code=204)
