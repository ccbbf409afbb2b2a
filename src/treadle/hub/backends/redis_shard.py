"""One Redis server: commands over a pool of connections, and one connection that listens.

**Listening.** The connection is redis-py's `Connection` and not its `PubSub`: that one connects and
subscribes again by itself, silently, and what was published in between is lost without a word. Here
a break is a break: the link tells it, subscribes again, and tells that.

A server confirms subscriptions in the order in which they were asked for. Whoever subscribes waits
for its own confirmation, in a line; so a confirmation that belongs to an earlier subscription to
the same channel, withdrawn meanwhile, is not taken for it.

**Silence.** The listening connection asks `PING` once in a `timeout`, and is broken when nothing at
all came for half of one after that. Commands have the timeout themselves.

**Trying again.** A call that may be made twice is made again while its time lasts, so that a broker
that restarts quickly is not noticed. A call that must not be is made once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from treadle.hub.backends.link import Link, end, explain, waits
from treadle.hub.backends.redis_scripts import SCRIPTS
from treadle.hub.errors import HubClosed, Unavailable

try:
    import redis.asyncio as aioredis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import RedisError
    from redis.exceptions import TimeoutError as RedisTimeoutError
except ImportError as error:
    raise ImportError(
        "RedisBackend needs the package redis: pip install 'treadle[hub-redis]'"
    ) from error

__all__ = ["Shard"]

CONNECTIONS = 16
"""For commands; more calls at a time wait in a line."""
TRANSIENT = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)

OnMessage = Callable[[str, bytes], None]


class Shard(Link):
    """A server, and the channels of it that this node listens to."""

    def __init__(self, url: str, name: str, timeout: float, on_message: OnMessage) -> None:
        super().__init__(name, timeout)
        self.channels: dict[str, int] = {}  # how many want each
        self._on_message = on_message
        plain: dict[str, Any] = {
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            **plain,
        )
        self._client = aioredis.Redis(connection_pool=self._pool)
        # makes listening connections, whose silence is no error in itself
        self._listeners: Any = aioredis.ConnectionPool.from_url(url, **plain, socket_timeout=None)
        self._connection: Any = None
        self._may_write = False  # the connection's handshake is over
        self._listening: asyncio.Task[None] | None = None
        self._confirmations: deque[asyncio.Future[None]] = deque()
        self._heard = 0.0  # when something came, by the loop's clock
        self._scripts: dict[str, Any] = {
            key: self._client.register_script(text) for key, text in SCRIPTS.items()
        }

    # --- commands

    async def call(self, script: str, keys: list[str], args: list[Any], *, again: bool) -> Any:
        """Run a script; made `again` after a failure while there is time."""
        return await self._command(lambda: self._scripts[script](keys=keys, args=args), again)

    async def publish(self, channel: str, body: bytes) -> None:
        """Send to whoever listens now."""
        await self._command(lambda: self._client.publish(channel, body), again=False)

    async def _command(self, make: Callable[[], Any], again: bool) -> Any:
        if self.is_closed:
            raise HubClosed("the backend is closed")
        attempt = 0
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(self.timeout):
                while True:
                    try:
                        return await make()
                    except TRANSIENT as error:
                        failure = error
                        if not again:
                            break
                    await asyncio.sleep(waits(self.name, attempt))
                    attempt += 1
        except (RedisError, TimeoutError) as error:
            failure = failure or error
        assert failure is not None
        raise Unavailable(f"redis: {explain(failure)}") from failure

    # --- listening

    async def subscribe(self, channel: str) -> None:
        """Listen to a channel; when this returns, what is published there is heard.

        Raises `Unavailable` in time; then, and when cancelled, it is as if it had not been called.
        """
        self.channels[channel] = self.channels.get(channel, 0) + 1
        try:
            async with asyncio.timeout(self.timeout):
                while True:
                    await self.ready()
                    try:
                        await self._confirmed([channel])
                        return
                    except TRANSIENT:
                        # the link breaks, and subscribes to it when it is there again
                        await asyncio.sleep(waits(self.name, 0))
        except TimeoutError as error:
            self.unsubscribe(channel)
            raise Unavailable("redis: the subscription was not confirmed in time") from error
        except BaseException:
            self.unsubscribe(channel)
            raise

    def unsubscribe(self, channel: str) -> None:
        """One that wanted the channel does no longer; the last one ends it."""
        wanted = self.channels.get(channel, 0) - 1
        if wanted > 0:
            self.channels[channel] = wanted
            return
        self.channels.pop(channel, None)
        connection = self._connection
        if self._may_write and connection.is_connected:
            # written here and now, so that a later subscription comes later; what cannot be written
            # breaks the link, which then does not ask for this channel
            connection._writer.writelines(connection.pack_command("UNSUBSCRIBE", channel))

    async def _confirmed(self, channels: Iterable[str]) -> None:
        """Ask for channels and wait until the server has said yes to each."""
        names = list(channels)
        if not names:
            return
        connection = self._connection
        if connection is None or not connection.is_connected:
            raise ConnectionError("not connected")
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in names]
        self._confirmations.extend(futures)
        await connection.send_command("SUBSCRIBE", *names, check_health=False)
        await futures[-1]

    async def open(self) -> None:
        connection = self._connection = self._listeners.make_connection()
        await connection.connect()
        self._may_write = True
        self._heard = asyncio.get_running_loop().time()
        self._listening = asyncio.create_task(self._listen())
        subscribing = asyncio.create_task(self._confirmed(self.channels))
        try:
            await asyncio.wait([self._listening, subscribing], return_when=asyncio.FIRST_COMPLETED)
            if not subscribing.done():
                self._listening.result()
            subscribing.result()
        finally:
            await end(subscribing)

    async def serve(self) -> None:
        assert self._listening is not None
        questions = asyncio.create_task(self._ask())
        tasks = [self._listening, questions]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await end(questions)

    async def shut(self) -> None:
        connection, self._connection = self._connection, None
        self._may_write = False
        listening, self._listening = self._listening, None
        while self._confirmations:
            future = self._confirmations.popleft()
            if not future.done():
                future.set_exception(ConnectionError("the connection broke"))
                future.exception()  # perhaps nobody waits for it any more
        if connection is not None:
            writer = getattr(connection, "_writer", None)
            if writer is not None:
                writer.transport.abort()  # a close would wait until the dead have read all
            await connection.disconnect(nowait=True)
        if listening is not None:
            await end(listening)

    async def close(self) -> None:
        await super().close()
        try:
            await self._pool.disconnect(inuse_connections=True)
            await self._client.aclose()
            await self._listeners.disconnect()
        except (RedisError, OSError):
            pass  # what cannot be closed properly is closed all the same

    async def _ask(self) -> None:
        """Break the link when nothing is heard any more."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.timeout / 2)
            asked = loop.time()
            await self._connection.send_command("PING", check_health=False)
            await asyncio.sleep(self.timeout / 2)
            if self._heard < asked:
                raise ConnectionError("the server is silent")

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        connection = self._connection
        while True:
            answer = await connection.read_response(disable_decoding=True)
            self._heard = loop.time()
            kind = answer[0] if isinstance(answer, list) and answer else b""
            if kind == b"message":
                self._on_message(answer[1].decode(), answer[2])
            elif kind == b"subscribe" and self._confirmations:
                future = self._confirmations.popleft()
                if not future.done():
                    future.set_result(None)
