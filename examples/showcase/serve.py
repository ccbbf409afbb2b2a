"""The command: a server on treadle, and a line that says where it is."""

from __future__ import annotations

import argparse
import os
import socket

import uvicorn

import treadle
from showcase.app import Settings, create_app
from treadle.web import WebSocketProtocol


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    options = parse(arguments)
    settings = Settings(redis=options.redis, secret=os.environ.get("SHOWCASE_SECRET"))
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host
    print(f"The showcase is at http://{shown}:{port}", flush=True)
    config = uvicorn.Config(
        create_app(settings),
        loop="treadle:new_event_loop",
        ws=WebSocketProtocol,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    with listener:
        try:
            treadle.run(uvicorn.Server(config).serve(sockets=[listener]))
        except KeyboardInterrupt:  # uvicorn has put everything in order, and passes it on
            pass


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="showcase", description="Rooms in a browser.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to let phones in")
    parser.add_argument("--port", type=int, default=8000, help="0 for a free one")
    parser.add_argument("--redis", help="the address of a Redis that several processes share")
    return parser.parse_args(arguments)


def listen(host: str, port: int) -> socket.socket:
    """The socket is made here, so that the port is known, also when the kernel chose it."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as failure:
        reason = os.strerror(failure.errno) if failure.errno else str(failure)
        raise SystemExit(f"Cannot listen on {host}:{port}: {reason}") from None
