"""Redis and NATS as brokers of a hub, so that one test runs over either."""

from __future__ import annotations

import shutil
from typing import Any

from tests.integration.servers import DurableRedis, Nats, Program
from treadle.hub.backends.base import Backend

PATIENCE = 30  # seconds of a backend that is not to give up


class Broker:
    """A server that runs, and how a backend is made that uses it."""

    durable: type[Program]
    kind: str

    def __init__(self, server: Any, prefix: str) -> None:
        self.server = server
        self.prefix = prefix

    @property
    def port(self) -> int:
        return int(self.server.ports[0])

    def backend(self, port: int = 0, timeout: float = PATIENCE) -> Backend:
        """A backend that reaches the server directly, or through another port."""
        raise NotImplementedError

    def forget(self) -> None:
        """Remove what a server that does not run has stored."""
        raise NotImplementedError


class RedisBroker(Broker):
    durable = DurableRedis
    kind = "redis"

    def backend(self, port: int = 0, timeout: float = PATIENCE) -> Backend:
        from treadle.hub.backends.redis import RedisBackend

        url = f"redis://127.0.0.1:{port or self.port}"
        return RedisBackend(url, prefix=self.prefix, timeout=timeout)

    def forget(self) -> None:
        shutil.rmtree(self.server.folder / "appendonlydir")


class NatsBroker(Broker):
    durable = Nats
    kind = "nats"

    def backend(self, port: int = 0, timeout: float = PATIENCE) -> Backend:
        from treadle.hub.backends.nats import NatsBackend

        url = f"nats://127.0.0.1:{port or self.port}"
        return NatsBackend(url, prefix=self.prefix, timeout=timeout)

    def forget(self) -> None:
        shutil.rmtree(self.server.folder / "store")


BROKERS: dict[str, type[Broker]] = {"redis": RedisBroker, "nats": NatsBroker}
