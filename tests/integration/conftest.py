"""Tests with real servers are coroutines that run on the shared `loop` fixture, as in tests/net.

No descriptor may be open after one of them that was not open before. A server is started for the
first test that asks for it and serves the whole session; a test that stops one makes its own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub.backends.nodes import Nodes
from tests.integration.brokers import BROKERS, Broker
from tests.integration.servers import Make, Nats, Postgres, Program, Redis, TlsNats, programs
from tests.integration.wire import Wire
from tests.net.conftest import (  # noqa: F401  (pytest finds them here)
    loop,
    no_descriptor_left,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run gRPC's tests last: its threads stay, and a process with threads is not to be forked."""
    items.sort(key=lambda item: item.path.name == "test_grpc.py")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """In the gate, tests whose library is missing fail, as those whose server is missing do."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = str(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the end of the logs of the servers that a failed test used."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Program):
                report.sections.append((f"log of {value.name}", value.log()))
    return report


@pytest.fixture(scope="session")
def start_for_session() -> Iterator[Make]:
    with programs() as make:
        yield make


@pytest.fixture
def start() -> Iterator[Make]:
    """Starts a server that only this test uses."""
    with programs() as make:
        yield make


@pytest.fixture(scope="session")
def redis_server(start_for_session: Make) -> Redis:
    return start_for_session(Redis)


@pytest.fixture(scope="session")
def nats_server(start_for_session: Make) -> Nats:
    return start_for_session(Nats)


@pytest.fixture(scope="session")
def tls_nats_server(start_for_session: Make) -> TlsNats:
    return start_for_session(TlsNats)


@pytest.fixture(scope="session")
def postgres_server(start_for_session: Make) -> Postgres:
    return start_for_session(Postgres)


_numbers = itertools.count()


@pytest.fixture
def fresh() -> str:
    """A name that no other test uses: of a key, a subject, a table."""
    return f"fresh{next(_numbers)}"


@pytest.fixture(params=["redis", "nats"])
def broker(request: pytest.FixtureRequest, fresh: str) -> Broker:
    """A broker that the whole session shares."""
    kind = BROKERS[request.param]
    return kind(request.getfixturevalue(f"{request.param}_server"), fresh)


@pytest.fixture(params=["redis", "nats"])
def own_broker(request: pytest.FixtureRequest, start: Make, fresh: str) -> Broker:
    """A broker of this test alone, which may be stopped; it keeps its data on disk."""
    kind = BROKERS[request.param]
    return kind(start(kind.durable), fresh)


@pytest.fixture
def nodes(broker: Broker, loop: Any) -> Iterator[Nodes]:  # noqa: F811
    """Makes nodes of a hub over the shared broker."""
    made = Nodes(broker.backend)
    yield made
    loop.run_until_complete(made.close())


@pytest.fixture
def own_nodes(own_broker: Broker, loop: Any) -> Iterator[Nodes]:  # noqa: F811
    """Makes nodes of a hub over the test's own broker."""
    made = Nodes(own_broker.backend)
    yield made
    loop.run_until_complete(made.close())


@pytest.fixture
def wire(broker: Broker, loop: Any) -> Iterator[Wire]:  # noqa: F811
    """What lies between a node and the shared broker."""
    wire = Wire(broker.port)
    loop.run_until_complete(wire.start())
    yield wire
    loop.run_until_complete(wire.close())


@pytest.fixture
def make_redis(redis_server: Redis, fresh: str) -> Any:
    """Makes backends over the shared Redis."""
    return BROKERS["redis"](redis_server, fresh).backend


@pytest.fixture
def make_nats(nats_server: Nats, fresh: str) -> Any:
    """Makes backends over the shared NATS."""
    return BROKERS["nats"](nats_server, fresh).backend
