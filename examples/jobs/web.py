"""Serve the application: `python -m jobs.web` in the folder `examples`."""

from __future__ import annotations

import sys

import uvicorn

import treadle
from jobs.app import create_app
from treadle.web import WebSocketProtocol


def main() -> None:
    """Serve until Ctrl-C, on the port that was given or on 8000."""
    config = uvicorn.Config(
        create_app(),
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000,
        ws=WebSocketProtocol,
        timeout_graceful_shutdown=3,
    )
    treadle.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
