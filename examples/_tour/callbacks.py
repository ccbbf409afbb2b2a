"""Chapter 4, callbacks: a protocol is an object that the loop calls when something happens."""

from __future__ import annotations

import asyncio
from asyncio import BaseTransport, Transport

from .listening import listening
from .scale import Scale
from .stage import Figures, Stage, check

TITLE = "4 · Callbacks"
EXPLANATION = """
    A callback is a function that you hand over, to be called when something has happened. A
    protocol is a set of them for one connection: it was made, data came, it was lost. You never
    wait; you describe what to do next and return to the loop.
"""

Diary = list[tuple[str, str, str]]
"""Who was called, how, and with what."""


class Noting(asyncio.Protocol):
    """A protocol that writes its calls down."""

    def __init__(self, who: str, diary: Diary) -> None:
        self._who = who
        self._diary = diary

    def note(self, callback: str, detail: str = "") -> None:
        """One call by the loop."""
        self._diary.append((self._who, callback, detail))


class Shouter(Noting):
    def connection_made(self, transport: BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport
        self.note("connection_made")

    def data_received(self, data: bytes) -> None:
        self.note("data_received", repr(data))
        self.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("connection_lost", "the client hung up")


class Whisperer(Noting):
    """The client: says each word when the previous one has come back, then hangs up."""

    def __init__(self, diary: Diary, words: list[bytes]) -> None:
        super().__init__("client", diary)
        self._words = words
        self._heard = b""
        self.answers: list[bytes] = []
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: BaseTransport) -> None:
        """The loop has connected us: say the first word."""
        assert isinstance(transport, Transport)
        self._transport = transport
        self.note("connection_made")
        self._transport.write(self._words[0])

    def data_received(self, data: bytes) -> None:
        """Some bytes came. TCP keeps no borders between messages, so wait for the full word."""
        self.note("data_received", repr(data))
        self._heard += data
        if len(self._heard) < len(self._words[len(self.answers)]):
            return
        self.answers.append(self._heard)
        self._heard = b""
        if len(self.answers) < len(self._words):
            self._transport.write(self._words[len(self.answers)])
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, by us (None) or by an error."""
        self.note("connection_lost", "we hung up" if exc is None else repr(exc))
        self.gone.set_result(None)


async def show(stage: Stage, scale: Scale) -> Figures:
    """Let the two protocols talk; the diary shows every call the loop made."""
    diary: Diary = []
    loop = asyncio.get_running_loop()
    words = [b"hello", b"is anybody there?"]
    stage.code(Shouter)
    server = await loop.create_server(lambda: Shouter("server", diary), "127.0.0.1", 0)
    async with listening(server) as port:
        client = Whisperer(diary, words)
        await loop.create_connection(lambda: client, "127.0.0.1", port)
        async with asyncio.timeout(10):
            await client.gone
            while ("server", "connection_lost", "the client hung up") not in diary:
                await asyncio.sleep(0.001)
    stage.table("Who was called", ("who", "callback", "with"), diary)
    check(
        client.answers == [word.upper() for word in words],
        f"The server answered {client.answers}, not the words in capitals.",
    )
    for who in ("server", "client"):
        calls = [call for name, call, _ in diary if name == who]
        check(
            calls[0] == "connection_made" and calls[-1] == "connection_lost",
            f"The {who}'s callbacks came in the wrong order: {calls}.",
        )
    stage.say(f"{len(diary)} calls, all made by the loop; neither side ever waited.")
    return {"calls": [f"{who}.{call}" for who, call, _ in diary]}
