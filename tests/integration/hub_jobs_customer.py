"""A web server of `examples/jobs`, and a client in the same process that does what it is told.

Each line it reads is a command in JSON: `["order", below]`, `["job", name]`, `["cancel", order]`,
`["result", order]`. It prints the answer, and then what the room of an order tells.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import treadle

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import httpx
from taskiq.kicker import AsyncKicker

from jobs.app import create_app
from jobs.tasks import broker
from tests.integration.servers import PATIENCE


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


async def listen(client: Any) -> None:
    async for message in client:
        say(message.data)


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main() -> None:
    async with asyncio.timeout(PATIENCE):
        await serve(await commands())


async def serve(reader: asyncio.StreamReader) -> None:
    app = create_app()
    web = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://jobs.example")
    async with app.router.lifespan_context(app), web:
        client = await app.state.hub.client()
        listening: asyncio.Task[None] | None = None
        while line := await reader.readline():
            command, argument = json.loads(line)
            if command == "cancel":
                say((await web.delete(f"/orders/{argument}")).status_code)
            elif command == "result":
                response = await web.get(f"/orders/{argument}")
                say([response.status_code, response.json()])
            else:
                if command == "order":
                    response = await web.post("/orders", json={"below": argument})
                    assert response.status_code == 202, response.text
                    order = response.json()["order"]
                else:
                    labels = {"retry_on_error": True}
                    order = (await AsyncKicker(argument, broker, labels).kiq()).task_id
                await client.join(f"order:{order}", history=100)
                say(order)
                listening = asyncio.create_task(listen(client))
        if listening is not None:
            listening.cancel()


if __name__ == "__main__":
    treadle.run(main())
