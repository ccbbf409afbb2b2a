"""Chapter 5, promises (asyncio calls them futures): a result that does not exist yet."""

from __future__ import annotations

import asyncio
import itertools

from .lines import LineProtocol
from .listening import listening
from .scale import Scale
from .stage import Figures, Stage, TourFailed, check

TITLE = "5 · Promises, or futures"
EXPLANATION = """
    A promise stands for a result that will come: it is pending first and then, once and for all,
    either fulfilled with a value or rejected with an exception. asyncio calls it a Future. It is
    what joins callbacks to code that wants to wait: a callback sets the result, and whoever
    awaits the future goes on.
"""

SLOW = 0.2


class Calculator(LineProtocol):
    """The server: `7 divide 6 3` is answered by `7 ok 2`, or by `7 error ...`."""

    def line_received(self, line: bytes) -> None:
        """Work the question out and answer it; `slowly` keeps the client waiting."""
        number, operation, left, right = line.decode().split()
        if operation == "slowly":
            loop = asyncio.get_running_loop()
            loop.call_later(SLOW, self.line_received, line.replace(b"slowly", b"divide"))
        elif int(right) == 0:
            self._answer(f"{number} error nobody can divide by zero")
        else:
            self._answer(f"{number} ok {int(left) // int(right)}")

    def _answer(self, text: str) -> None:
        if not self.transport.is_closing():  # a slow answer may come too late
            self.transport.write(text.encode() + b"\n")


class Client(LineProtocol):
    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.promises: dict[int, asyncio.Future[int]] = {}

    def ask(self, question: str) -> asyncio.Future[int]:
        number = next(self.numbers)
        promise = asyncio.get_running_loop().create_future()
        self.promises[number] = promise
        self.transport.write(f"{number} {question}\n".encode())
        return promise  # at once: nobody has answered yet

    def line_received(self, line: bytes) -> None:
        number, outcome, text = line.decode().split(" ", 2)
        promise = self.promises.pop(int(number))
        if promise.done():  # somebody gave up waiting
            return
        if outcome == "ok":
            promise.set_result(int(text))
        else:
            promise.set_exception(ArithmeticError(text))


async def fulfilled(client: Client, stage: Stage) -> int:
    """A promise before and after."""
    promise = client.ask("divide 84 2")
    before = promise.done()
    result = await promise
    check(not before and promise.done(), "A promise was kept before anybody could have answered.")
    check(result == 42, f"84 / 2 came back as {result}.")
    stage.say(f"fulfilled   ask('divide 84 2'): pending at first, then [bold]{result}[/bold]")
    return result


async def rejected(client: Client, stage: Stage) -> str:
    """The server's error is raised where the promise is awaited."""
    try:
        await client.ask("divide 1 0")
    except ArithmeticError as error:
        stage.say(f"rejected    ask('divide 1 0'): raised [bold]{error!r}[/bold]")
        return str(error)
    raise TourFailed("1 / 0 came back with a result.")


async def gathered(client: Client, stage: Stage) -> list[int]:
    """Many promises, one wait; the results keep the order of the questions."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    questions = ("slowly 30 3", "divide 30 2", "slowly 30 1")
    results = await asyncio.gather(*(client.ask(question) for question in questions))
    elapsed = loop.time() - begin
    check(results == [10, 15, 30], f"The three answers came back as {results}.")
    stage.say(
        f"gathered    three at once, two of them slow ({SLOW} s): "
        f"[bold]{results}[/bold] after {elapsed:.2f} s"
    )
    return results


async def timed_out(client: Client, stage: Stage) -> bool:
    """Whoever has waited long enough gives up; the promise is cancelled."""
    promise = client.ask("slowly 1 1")
    try:
        async with asyncio.timeout(SLOW / 4):
            await promise
    except TimeoutError:
        pass
    check(promise.cancelled(), "A promise survived the timeout of the only one who awaited it.")
    stage.say(f"timed out   ask('slowly 1 1'): given up after {SLOW / 4} s, promise cancelled")
    return promise.cancelled()


async def show(stage: Stage, scale: Scale) -> Figures:
    """Ask a calculator over TCP, in the four ways a promise can end."""
    loop = asyncio.get_running_loop()
    stage.code(Client)
    async with listening(await loop.create_server(Calculator, "127.0.0.1", 0)) as port:
        transport, client = await loop.create_connection(Client, "127.0.0.1", port)
        try:
            return {
                "fulfilled": await fulfilled(client, stage),
                "rejected": await rejected(client, stage),
                "gathered": await gathered(client, stage),
                "timed_out": await timed_out(client, stage),
            }
        finally:
            transport.close()
