"""The contract of backends is tested by coroutines, as in tests/net; here it is memory's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub.backends.nodes import Nodes
from tests.net.conftest import (  # noqa: F401  (pytest finds them here)
    loop,
    no_descriptor_left,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
)
from treadle.hub.backends.memory import MemoryBackend, MemoryBroker


@pytest.fixture
def nodes(loop: Any) -> Iterator[Nodes]:  # noqa: F811
    """Makes nodes of a hub in this process."""
    broker = MemoryBroker()
    made = Nodes(lambda: MemoryBackend(broker))
    yield made
    loop.run_until_complete(made.close())
