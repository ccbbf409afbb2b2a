"""What every backend promises, kept over real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub.backends.nodes import Nodes
from tests.hub.backends.test_contract import *  # noqa: F403  (the same tests)

pytestmark = pytest.mark.every_driver


@pytest.fixture(params=["redis", "nats"])
def nodes(request: pytest.FixtureRequest, loop: Any, fresh: str) -> Iterator[Nodes]:
    made = Nodes(request.getfixturevalue(f"make_{request.param}"))
    yield made
    loop.run_until_complete(made.close())
