"""Chapter 3, the event loop: in which order one small program's callbacks run, and why."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from dataclasses import dataclass, field
from socket import socket
from time import perf_counter

from .nonblocking import connected_pair
from .scale import Scale
from .stage import Figures, Stage, check

TITLE = "3 · The event loop"
EXPLANATION = """
    An event loop is a wheel that turns: look which timers are due, ask the operating system which
    sockets are ready, then run every callback that is waiting, one after the other, each to its
    end. What a callback asks for while it runs waits for the next turn. When nothing is waiting,
    the loop sleeps until a socket or a timer wakes it.
"""

EXPECTED = ["first", "second", "third", "timer, 20 ms", "socket readable", "timer, 60 ms"]


@dataclass
class Diary:
    """Who ran, in which turn of the loop, and when."""

    loop: AbstractEventLoop
    complete: asyncio.Future[None]
    began: float = field(default_factory=perf_counter)
    turn: int = 0
    turning: bool = False
    entries: list[tuple[int, float, str]] = field(default_factory=list)

    def note(self, name: str) -> None:
        """Write down a callback that is running now."""
        if not self.turning:
            self.turning = True
            self.turn += 1
            # The first thing that anybody asks for in this turn is the first to run in the next.
            self.loop.call_soon(self._turn_ended)
        self.entries.append((self.turn, perf_counter() - self.began, name))
        if len(self.entries) == len(EXPECTED):
            self.complete.set_result(None)

    def _turn_ended(self) -> None:
        self.turning = False

    @property
    def names(self) -> list[str]:
        """The callbacks in the order in which they ran."""
        return [name for _, _, name in self.entries]


def schedule(loop: AbstractEventLoop, sock: socket, diary: Diary) -> None:
    def first() -> None:
        diary.note("first")
        loop.call_soon(diary.note, "third")  # asked for during a turn

    def readable() -> None:
        sock.recv(100)
        diary.note("socket readable")

    loop.call_later(0.060, diary.note, "timer, 60 ms")
    loop.call_later(0.020, diary.note, "timer, 20 ms")
    loop.add_reader(sock, readable)  # the other side writes after 40 ms
    loop.call_soon(first)
    loop.call_soon(diary.note, "second")


REASONS = {
    "first": "call_soon: the order of asking",
    "second": "call_soon: the order of asking",
    "third": "call_soon inside 'first': next turn",
    "timer, 20 ms": "the loop slept until it was due",
    "socket readable": "the loop slept; the system woke it",
    "timer, 60 ms": "timers go by time, not by asking",
}


async def show(stage: Stage, scale: Scale) -> Figures:
    """Run `schedule`, print the diary, compare it with what asyncio promises."""
    loop = asyncio.get_running_loop()
    stage.code(schedule)
    near, far = await connected_pair()
    with near, far:
        diary = Diary(loop, loop.create_future())
        writer = threading.Timer(0.040, far.sendall, [b"!"])  # from outside of the loop
        writer.start()
        try:
            schedule(loop, near, diary)
            await asyncio.wait_for(diary.complete, 10)
        finally:
            loop.remove_reader(near)
            writer.cancel()
            writer.join()
    rows = [
        (str(turn), f"{1000 * at:.1f} ms", name, REASONS[name]) for turn, at, name in diary.entries
    ]
    stage.table("What ran", ("turn", "at", "callback", "why now"), rows)
    # The first four are promised by asyncio; the last two race against the clock of a thread.
    promised = [name for name in diary.names if name != "socket readable"]
    wanted = [name for name in EXPECTED if name != "socket readable"]
    check(promised == wanted, f"The callbacks ran in another order: {diary.names}.")
    turns = {name: turn for turn, _, name in diary.entries}
    check(turns["first"] == turns["second"] < turns["third"], f"The turns are wrong: {turns}.")
    stage.say("Turns in which only the wheel itself turned are not counted.")
    return {"order": diary.names, "turns": [turn for turn, _, _ in diary.entries]}
