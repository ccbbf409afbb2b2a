"""Tests of transports and servers are coroutines that run on the shared `loop` fixture.

No descriptor may be open after one of them that was not open before.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.tls_wire import TlsExchange
from tests.net.wire import Exchange, Letterbox, open_descriptors, settle


def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> None:
    if inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("loop")(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["loop"].run_until_complete(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """The test fails when it leaves a descriptor open, for the garbage collector or for good."""
    before = open_descriptors()
    yield
    left = {fd: what for fd, what in open_descriptors().items() if fd not in before}
    assert not left


@pytest.fixture
def loop(no_descriptor_left: None, loop: Any) -> Any:
    """The shared loop, closed before the descriptors are counted."""
    return loop


@pytest.fixture
def reports(loop: Any) -> list[dict[str, Any]]:
    """What is reported to the loop's exception handler, for the test to judge."""
    found: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: found.append(context))
    return found


@pytest.fixture
def dial(loop: Any) -> Iterator[Exchange]:
    """Makes lines whose transport comes from create_connection."""
    exchange = Exchange(loop, "connected")
    yield exchange
    loop.run_until_complete(exchange.hang_up())


@pytest.fixture(params=["connected", "accepted"])
def both_sides(request: pytest.FixtureRequest, loop: Any) -> Iterator[Exchange]:
    """Makes lines whose transport comes from create_connection, then from create_server."""
    exchange = Exchange(loop, request.param)
    yield exchange
    loop.run_until_complete(exchange.hang_up())


@pytest.fixture
def post(loop: Any) -> Iterator[Any]:
    """Opens datagram endpoints as ``loop.create_datagram_endpoint`` does, and aborts them."""
    opened: list[Any] = []

    async def open_endpoint(*addresses: Any, factory: Any = Letterbox, **options: Any) -> Any:
        transport, protocol = await loop.create_datagram_endpoint(factory, *addresses, **options)
        opened.append(transport)
        return transport, protocol

    async def close_all() -> None:
        for transport in opened:
            if not transport.is_closing():
                transport.abort()
        await settle(loop)

    yield open_endpoint
    loop.run_until_complete(close_all())


@pytest.fixture(params=["connected", "accepted"])
def tls(request: pytest.FixtureRequest, loop: Any) -> Iterator[TlsExchange]:
    """Makes lines with TLS whose transport is a client's, then a server's."""
    exchange = TlsExchange(loop, request.param)
    yield exchange
    loop.run_until_complete(exchange.hang_up())
