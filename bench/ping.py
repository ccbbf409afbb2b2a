"""One message to and fro between an echo server and a client in the same process and loop.

For counting instructions and for profiles, where a client elsewhere would make each run another
one: here each message is on its way alone, so that every turn of the loop has one event, and two
runs do exactly the same. The client is a callback of `add_reader`; its share counts, too.
"""

import asyncio
import socket
from collections.abc import Callable

from bench import echoes
from bench.loops import names
from bench.stopwatch import Micro, Program

SIZE = 1024
RECEIVE = 65536

STYLES = {
    "protocol": "a Protocol",
    "buffered": "a BufferedProtocol",
    "streams": "read and write of streams",
    "readexactly": "readexactly and drain of streams",
    "sock": "sock_recv and sock_sendall",
}


def micro(style: str, loop_name: str) -> Micro:
    """The program for one style of server (`bench.echoes`)."""
    what = f"a message of {SIZE:,} bytes to {STYLES[style]} and back, in one process"
    return Micro(_program(style, loop_name), what)


def _program(style: str, loop_name: str) -> Program:
    clients: list[Callable[[int], asyncio.Future[None]]] = []

    async def prepare(loop: asyncio.AbstractEventLoop) -> None:
        argument = str(SIZE) if style == "readexactly" else ""
        port = await echoes.SERVERS[style](names(loop_name), argument)
        client = socket.create_connection((echoes.HOST, int(port)))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(_client(loop, client))

    def program(loop: asyncio.AbstractEventLoop, n: int) -> float:
        async def main() -> float:
            if not clients:
                await prepare(loop)
            start = loop.time()
            await clients[0](n)
            return loop.time() - start

        return loop.run_until_complete(main())

    return program


def _client(
    loop: asyncio.AbstractEventLoop, client: socket.socket
) -> Callable[[int], asyncio.Future[None]]:
    """Returns what sends that many messages, one after the other."""
    message = bytes(SIZE)
    left = 0
    done: asyncio.Future[None]

    def arrived() -> None:
        nonlocal left
        if len(client.recv(RECEIVE)) != SIZE:
            raise RuntimeError("a message did not come back in one piece")
        left -= 1
        if left:
            client.send(message)
        else:
            done.set_result(None)

    def begin(count: int) -> asyncio.Future[None]:
        nonlocal left, done
        left, done = count, loop.create_future()
        client.send(message)
        return done

    client.setblocking(False)
    loop.add_reader(client, arrived)
    return begin
