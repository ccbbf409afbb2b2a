"""Chapter 6, coroutines: the same conversation as straight-line code, and its cancellation."""

from __future__ import annotations

import asyncio

from .listening import listening
from .scale import Scale
from .stage import Figures, Stage, check

TITLE = "6 · Coroutines"
EXPLANATION = """
    A coroutine is a function that can pause at `await` and go on later where it was. It reads
    from top to bottom like ordinary code, with loops and try/except, while the loop runs others
    during its pauses. A task is a coroutine that runs by itself; whoever holds it can cancel it,
    and it can clean up before it goes.
"""


async def whisper(port: int, words: list[str]) -> list[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for word in words:
        writer.write(f"{word}\n".encode())
        answers.append((await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()
    return answers


async def wait_in_vain(port: int, notes: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        notes.append("waiting for a line that never comes")
        await reader.readline()
    except asyncio.CancelledError:
        notes.append("cancelled in the middle of readline()")
        raise  # cleaned up or not: pass it on
    finally:
        writer.close()
        notes.append("connection closed")


class ShoutingServer:
    """Answers each line in capitals; counts the clients that have come and gone."""

    def __init__(self) -> None:
        self.present = 0
        self.left = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its first line to its last."""
        self.present += 1
        try:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        finally:
            writer.close()
            self.present -= 1
            self.left += 1


async def cancel_one(port: int, server: ShoutingServer) -> list[str]:
    """Start a task that waits in vain, cancel it, and see what it did about it."""
    notes: list[str] = []
    task = asyncio.create_task(wait_in_vain(port, notes))
    async with asyncio.timeout(10):
        while not notes or not server.present:
            await asyncio.sleep(0.001)
        task.cancel()
        outcome = await asyncio.gather(task, return_exceptions=True)
        while server.present:  # the server hears that the client is gone
            await asyncio.sleep(0.001)
    check(isinstance(outcome[0], asyncio.CancelledError), f"The task ended with {outcome[0]!r}.")
    check(len(notes) == 3, f"The cancelled task did not clean up: {notes}.")
    return notes


async def show(stage: Stage, scale: Scale) -> Figures:
    """Talk to a server in straight lines; then cancel somebody who waits."""
    words = ["hello", "is anybody there?", "good bye"]
    shouting = ShoutingServer()
    server = await asyncio.start_server(shouting.serve, "127.0.0.1", 0)
    async with listening(server) as port:
        stage.code(whisper)
        answers = await whisper(port, words)
        check(answers == [word.upper() for word in words], f"The server answered {answers}.")
        stage.say(f"answers: [bold]{answers}[/bold]")
        stage.say()
        stage.code(wait_in_vain)
        notes = await cancel_one(port, shouting)
    for note in notes:
        stage.say(f"the task says: {note}")
    stage.say(f"the server says: {shouting.left} clients came, {shouting.present} still here")
    check(shouting.left == 2, f"The server counted {shouting.left} clients instead of 2.")
    return {"answers": answers, "cancelled": notes}
