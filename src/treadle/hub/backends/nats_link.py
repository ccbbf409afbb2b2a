"""One connection to NATS: subjects that are listened to, questions and their answers.

**Why nats-py does not reconnect here.** Its own way waits for a connection that it closes to have
been written empty; one whose packets vanish never is, and the client then waits for ever. It also
says that it is back before it is known that the server has the subscriptions. So a client is used
for one connection, and the link makes another one. Nothing else in the package touches a private
name of nats-py; a version that has them no longer works all the same, more slowly when a connection
dies in silence:
- `_process_op_err` is called when a connection breaks. nats-py's own closes in the background, and
  fails with an exception that nobody sees when it cannot write; ours only says so.
- `_transport._io_writer`, to abort a connection instead of writing to the dead.
- `_pending`, `_pending_data_size`: what is not written yet, and then never will be.

**Answers** come to one subscription, by number. All that wait are told when the connection breaks,
so that nobody waits for the whole timeout. Order on a connection is kept by the server: a question
that is asked after a subscription was made is answered by a server that knows the subscription. (A
`flush` does not say that: its PING overtakes what waits to be written.)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from treadle.hub.backends.link import Link, explain, waits
from treadle.hub.errors import Code, HubClosed, Refused, Unavailable

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.errors import Error as NatsError
    from nats.errors import MaxPayloadError
except ImportError as error:
    raise ImportError(
        "NatsBackend needs the package nats-py: pip install 'treadle[hub-nats]'"
    ) from error

__all__ = ["JetStreamError", "Msg", "NatsLink"]

TRANSIENT = (NatsError, OSError, TimeoutError)
BUSY = 503  # JetStream itself, for now
STATUS = "Status"  # the header of what the server itself says
T = TypeVar("T")
OnMessage = Callable[[Msg], None]


class JetStreamError(Unavailable):
    """The server understood a question and said no; `code` is its own number for the reason."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class _Client(Client):
    """A client for one connection, which says when that is broken."""

    def __init__(self, on_broken: Callable[[BaseException | None], None]) -> None:
        super().__init__()
        self._on_broken = on_broken

    async def _process_op_err(self, e: Exception) -> None:
        self._process_disconnect()
        self._on_broken(e)

    def abandon(self) -> None:
        """Break the connection at once, whatever is still to be written."""
        self._pending = []
        self._pending_data_size = 0
        writer = getattr(getattr(self, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


class NatsLink(Link):
    """A connection to one of the servers, and the subjects that this node listens to."""

    def __init__(
        self,
        urls: list[str],
        name: str,
        timeout: float,
        on_message: OnMessage,
        options: dict[str, Any],
    ) -> None:
        super().__init__(name, timeout)
        self._urls = urls
        self._options = options
        self._on_message = on_message
        self._wanted: dict[str, int] = {}  # subjects, and how many want each
        self._subscriptions: dict[str, Subscription] = {}
        self._client: _Client | None = None
        self._broken: asyncio.Future[None] | None = None  # of the connection that there is
        self._inbox = ""
        self._number = 0
        self._answers: dict[str, Callable[[Msg | BaseException], None]] = {}

    # --- the connection

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        broken = self._broken = loop.create_future()
        problem: BaseException | None = None

        def break_(error: BaseException | None) -> None:
            if not broken.done():
                broken.set_exception(error or ConnectionError("the connection was closed"))
                broken.exception()  # seen, even when nobody serves

        async def note(error: Exception) -> None:
            nonlocal problem
            problem = error

        async def closed() -> None:
            break_(problem)

        client = self._client = _Client(break_)
        once: dict[str, Any] = {
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": self.timeout,
        }
        try:
            await client.connect(
                self._urls, name=self.name, error_cb=note, closed_cb=closed, **self._options, **once
            )
        except NatsError as error:
            raise ConnectionError(explain(problem or error)) from error
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._answered)
        for subject in list(self._wanted):  # who wants another meanwhile waits for the link
            if subject in self._wanted:
                self._subscriptions[subject] = await client.subscribe(subject, cb=self._heard)

    async def serve(self) -> None:
        assert self._client is not None
        assert self._broken is not None
        asking = asyncio.create_task(self._ask(self._client))
        try:
            await asyncio.wait([asking, self._broken], return_when=asyncio.FIRST_COMPLETED)
            for future in (self._broken, asking):
                if future.done():
                    future.result()
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def _ask(self, client: Client) -> None:
        """Fail when the server answers no more."""
        while True:
            await asyncio.sleep(self.timeout / 2)
            await client.flush(timeout=self.timeout / 2)  # type: ignore[arg-type]  # a float will do

    async def shut(self) -> None:
        client, self._client = self._client, None
        self._subscriptions = {}
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer(ConnectionError("the connection broke"))
        if client is not None:
            client.abandon()
            await client.close()

    # --- listening

    async def subscribe(self, subject: str) -> None:
        """Listen to a subject: the server knows it before it sees any later question.

        Waits until the link is up; `Unavailable` if that is not so in time.
        """
        self._wanted[subject] = self._wanted.get(subject, 0) + 1
        try:
            async with asyncio.timeout(self.timeout):
                await self.ready()
                if subject not in self._subscriptions and self._client is not None:
                    # nothing else can run before it is noted: that is for whoever comes next
                    made = await self._client.subscribe(subject, cb=self._heard)
                    if self._subscriptions.setdefault(subject, made) is not made:
                        await made.unsubscribe()
        except TRANSIENT as error:
            await self.unsubscribe(subject)
            raise Unavailable(f"nats: {explain(error)}") from error
        except BaseException:
            await self.unsubscribe(subject)
            raise

    async def unsubscribe(self, subject: str) -> None:
        """One that wanted the subject does no longer; the last one ends it."""
        wanted = self._wanted.get(subject, 0) - 1
        if wanted > 0:
            self._wanted[subject] = wanted
            return
        self._wanted.pop(subject, None)
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except (NatsError, OSError):
                pass  # broken: the next connection does not ask for it

    async def _heard(self, message: Msg) -> None:
        self._on_message(message)

    # --- questions

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send without an answer; raises `Unavailable` when the link is not up in time."""
        try:
            async with asyncio.timeout(self.timeout):
                await self.ready()
                await self._publish(subject, payload, "", None)
        except TRANSIENT as error:
            raise Unavailable(f"nats: {explain(error)}") from error

    async def forget(self, subject: str) -> None:
        """Say something that needs no answer, if that is possible."""
        try:
            await self._publish(subject, b"", "", None)
        except (HubClosed, *TRANSIENT):
            pass

    async def request(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        again: bool = True,
    ) -> Any:
        """Ask JetStream and return its answer, decoded.

        Asked `again` while there is time if the link breaks or nobody answers. Raises
        `JetStreamError` when the answer is no.
        """

        async def ask() -> Any:
            said = json.loads((await self._exchange(subject, payload, headers)).data)
            problem = said.get("error")
            if problem is not None and problem.get("code") == BUSY:
                raise ConnectionError(problem.get("description", "busy"))
            return said

        said = await self._patiently(ask, again)
        problem = said.get("error")
        if problem is not None:
            raise JetStreamError(problem.get("err_code", 0), problem.get("description", ""))
        return said

    async def gather(self, subject: str, payload: bytes, count: int) -> list[Msg]:
        """Ask for so many messages and wait for them; fewer when the server says that there are no
        more. Made once only.
        """
        return await self._patiently(lambda: self._gather(subject, payload, count), again=False)

    async def _gather(self, subject: str, payload: bytes, count: int) -> list[Msg]:
        client = self._client
        if client is None or not client.is_connected:
            raise ConnectionError("not connected")
        found: list[Msg] = []
        future, number = self._expect()

        async def take(message: Msg) -> None:
            # they come under the subjects that they were published to, so not by number
            ends = message.headers is not None and STATUS in message.headers
            if not ends:
                found.append(message)
            if (ends or len(found) >= count) and number in self._answers:
                self._answers[number](message)

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=take)
        try:
            await self._publish(subject, payload, inbox, None)
            await future
        finally:
            self._answers.pop(number, None)
            try:
                await subscription.unsubscribe()
            except (NatsError, OSError):
                pass  # broken, and the subscription with it
        return found

    async def _patiently(self, ask: Callable[[], Awaitable[T]], again: bool) -> T:
        attempt = 0
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(self.timeout):
                while True:
                    await self.ready()
                    try:
                        return await ask()
                    except MaxPayloadError as error:
                        raise Refused("larger than the broker takes", Code.TOO_LARGE) from error
                    except TRANSIENT as error:
                        failure = error
                        if not again:
                            break
                    await asyncio.sleep(waits(self.name, attempt))
                    attempt += 1
        except TimeoutError as error:
            failure = failure or error
        assert failure is not None
        raise Unavailable(f"nats: {explain(failure)}") from failure

    async def _exchange(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> Msg:
        """Publish with the address of an answer, and wait for it."""
        future, number = self._expect()
        try:
            await self._publish(subject, payload, f"{self._inbox}.{number}", headers)
            return await future
        finally:
            self._answers.pop(number, None)

    def _expect(self) -> tuple[asyncio.Future[Msg], str]:
        """What an answer, or the news that there will be none, fulfils; and its number."""
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def answer(message: Msg | BaseException) -> None:
            if future.done():
                return
            if isinstance(message, BaseException):
                future.set_exception(message)
            elif message.headers and message.headers.get(STATUS) == "503":
                future.set_exception(ConnectionError("JetStream does not answer"))
            else:
                future.set_result(message)

        self._number += 1
        number = str(self._number)
        self._answers[number] = answer
        return future, number

    async def _publish(
        self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        client = self._client
        if client is None or not client.is_connected:
            if self.is_closed:
                raise HubClosed("the backend is closed")
            raise ConnectionError("not connected")
        await client.publish(subject, payload, reply=reply, headers=headers)

    async def _answered(self, message: Msg) -> None:
        answer = self._answers.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer(message)
