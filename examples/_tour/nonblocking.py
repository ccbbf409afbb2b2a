"""Chapter 2, non-blocking operations: what a socket says when there is nothing to read yet."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from .scale import Scale
from .stage import Bar, Figures, Stage, check

TITLE = "2 · Non-blocking operations"
EXPLANATION = """
    A blocking call does not return until it has a result, and stops everything else in its
    thread meanwhile. A non-blocking call returns at once: with the result, or with "not yet". So
    that nobody has to ask again and again, the operating system tells the event loop when a
    socket is ready.
"""

HEARTBEAT = 0.02
MESSAGE = b"here I am"


def try_to_read(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(100)
    except BlockingIOError:  # nothing there yet, and we do not wait
        return None


async def read_when_ready(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)  # call it when data is there
    try:
        await readable.wait()  # meanwhile the loop does other things
        return sock.recv(100)
    finally:
        loop.remove_reader(sock)


async def read_and_block(sock: socket.socket) -> bytes:
    sock.setblocking(True)
    return sock.recv(100)  # the whole loop stands still in here


async def connected_pair() -> tuple[socket.socket, socket.socket]:
    """Two non-blocking TCP sockets on 127.0.0.1 that are connected to each other."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        near = socket.socket()
        near.setblocking(False)
        await loop.sock_connect(near, listener.getsockname())
        far, _ = await loop.sock_accept(listener)
    return near, far


class Heart:
    """Beats every 20 ms for as long as the loop is free to call it."""

    def __init__(self, bar: Bar) -> None:
        self.beats = 0
        self._bar = bar
        self._timer: asyncio.TimerHandle | None = None

    def beat(self) -> None:
        """Count one beat and ask for the next."""
        self.beats += 1
        self._bar.move_to(min(self.beats, self._bar.total))
        self.start()

    def start(self) -> None:
        """Ask for the next beat."""
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT, self.beat)

    def stop(self) -> None:
        """No beats any more."""
        if self._timer is not None:
            self._timer.cancel()


@contextmanager
def speaks_later(sock: socket.socket, silence: float) -> Iterator[None]:
    """The other side: a thread that sends after `silence`, so that it does not need our loop."""
    thread = threading.Timer(silence, sock.sendall, [MESSAGE])
    thread.start()
    try:
        yield
    finally:
        thread.cancel()
        thread.join()


READS = {"waiting by add_reader": read_when_ready, "in a blocking recv()": read_and_block}


async def beats_during(
    read: Callable[[socket.socket], Awaitable[bytes]],
    near: socket.socket,
    far: socket.socket,
    silence: float,
    bar: Bar,
) -> int:
    """How often a heart beats while `read` waits for `far`, which is silent at first."""
    heart = Heart(bar)
    heart.start()
    try:
        with speaks_later(far, silence):
            answer = await read(near)
    finally:
        heart.stop()
    check(answer == MESSAGE, f"The socket delivered {answer!r} instead of {MESSAGE!r}.")
    return heart.beats


async def show(stage: Stage, scale: Scale) -> Figures:
    """BlockingIOError first; then the same wait with and without the loop's help."""
    near, far = await connected_pair()
    with near, far:
        stage.code(try_to_read)
        begin = perf_counter()
        answer = try_to_read(near)
        microseconds = (perf_counter() - begin) * 1e6
        check(answer is None, "A socket that nobody had written to delivered something.")
        stage.say(f"recv() raised BlockingIOError after {microseconds:.0f} µs: nothing there yet.")
        stage.say()
        stage.code(read_when_ready, read_and_block)
        possible = int(scale.silence / HEARTBEAT)
        beats = []
        for label, read in READS.items():
            with stage.bars() as bars:
                bar = bars.add(f"heartbeats {label:21}", possible)
                bar.start()
                beats.append(await beats_during(read, near, far, scale.silence, bar))
    beats_free, beats_stuck = beats
    check(beats_free > beats_stuck, "The loop did not run other work while a socket was silent.")
    stage.say(
        f"The same silence of {scale.silence} s: [bold]{beats_free} heartbeats[/bold] while the "
        f"loop waited for readiness, [bold]{beats_stuck}[/bold] while a call blocked the thread."
    )
    return {
        "blocking_io_error_us": round(microseconds, 1),
        "heartbeats_non_blocking": beats_free,
        "heartbeats_blocking": beats_stuck,
    }
