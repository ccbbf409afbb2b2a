"""A wire between a node and its broker that can be cut, or go dead, and be mended.

Cut, every connection is reset, and so is every new one. Dead, nothing that is sent arrives, and
nobody is told: as when a firewall has forgotten a connection. What went dead stays so; once the
wire is mended, new connections work.
"""

from __future__ import annotations

import asyncio
from typing import Literal

State = Literal["whole", "cut", "dead"]


class Line:
    """One connection through the wire."""

    def __init__(self) -> None:
        self.dead = False
        self.writers: list[asyncio.StreamWriter] = []

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Wire:
    """Listens on `port` and passes everything on to another."""

    def __init__(self, target: int) -> None:
        self.state: State = "whole"
        self.port = 0
        self._target = target
        self._lines: dict[asyncio.Task[None], Line] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self.state = "cut"
        for line in self._lines.values():
            line.reset()

    def go_dead(self) -> None:
        self.state = "dead"
        for line in self._lines.values():
            line.dead = True

    def mend(self) -> None:
        self.state = "whole"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task, line in list(self._lines.items()):
            line.reset()
            task.cancel()
        while self._lines:
            await asyncio.wait(list(self._lines))
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        line = self._lines[task] = Line()
        task.add_done_callback(self._lines.pop)
        line.writers.append(writer)
        line.dead = self.state == "dead"
        try:
            if self.state != "cut":
                await self._join(line, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            line.reset()

    async def _join(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        line.writers.append(back)
        passing = [
            asyncio.ensure_future(self._pass(line, reader, back)),
            asyncio.ensure_future(self._pass(line, there, writer)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.wait(passing)

    async def _pass(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                data = await reader.read(65536)
            except OSError:
                data = b""
            if line.dead:
                if not data:
                    await asyncio.Event().wait()  # nor does the end arrive
                continue
            if not data:
                return
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                return
