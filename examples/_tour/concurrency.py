"""Chapter 1, concurrency: ten slow requests, one after the other and then all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter

from .listening import listening
from .scale import Scale
from .stage import Bar, Bars, Figures, Stage, check

TITLE = "1 · Concurrency"
EXPLANATION = """
    Most programs that use the network spend their time waiting for somebody else. Concurrency
    means that the waits overlap: start the second request while the first is still being
    answered. There is still one thread and one processor core; nothing is computed faster, but
    nobody stands idle in a queue.
"""

PIECES = 8
"""A server sends each answer in so many pieces, with a pause before each."""

Request = Callable[[], Awaitable[None]]


async def one_after_the_other(requests: Sequence[Request]) -> None:
    for request in requests:
        await request()


async def all_at_once(requests: Sequence[Request]) -> None:
    await asyncio.gather(*(request() for request in requests))


async def answer_slowly(
    pause: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The server's side of one connection: read a number, send it back in slow pieces."""
    with suppress(asyncio.CancelledError):  # Ctrl-C: some Pythons log what a server's task raises
        number = (await reader.readline()).decode().strip()
        for piece in range(PIECES):
            await asyncio.sleep(pause)
            writer.write(f"{number}:{piece}\n".encode())
    writer.close()


async def fetch(port: int, number: int, bar: Bar) -> None:
    """One request: connect, ask, and take the pieces as they come."""
    bar.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{number}\n".encode())
    for piece in range(PIECES):
        line = await reader.readline()
        check(line == f"{number}:{piece}\n".encode(), f"Request {number} was answered {line!r}.")
        bar.advance()
    writer.close()
    await writer.wait_closed()


def requests_for(port: int, count: int, bars: Bars) -> list[Request]:
    """`count` requests that wait to be started, each with its bar."""
    return [
        partial(fetch, port, number, bars.add(f"request {number + 1:2}", PIECES))
        for number in range(count)
    ]


async def show(stage: Stage, scale: Scale) -> Figures:
    """Time both ways against the same server on 127.0.0.1."""
    serve = partial(answer_slowly, scale.piece_pause)
    times: dict[str, float] = {}
    async with listening(await asyncio.start_server(serve, "127.0.0.1", 0)) as port:
        for way in (one_after_the_other, all_at_once):
            stage.code(way)
            with stage.bars() as bars:
                requests = requests_for(port, scale.requests, bars)
                begin = perf_counter()
                await way(requests)
                times[way.__name__] = perf_counter() - begin
            name = way.__name__.replace("_", " ")
            stage.say(f"[bold]{name}: {times[way.__name__]:.2f} s[/bold]")
            stage.say()
    sequential, concurrent = times["one_after_the_other"], times["all_at_once"]
    check(concurrent < sequential, "Requests that overlap took longer than requests in a row.")
    stage.say(
        f"{scale.requests} requests, the same server, one thread: the waits overlapped and the "
        f"whole took [bold]1/{sequential / concurrent:.0f}[/bold] of the time."
    )
    return {"requests": scale.requests, **times}
