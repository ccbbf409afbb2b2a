"""What every backend promises, kept over real brokers."""

from __future__ import annotations

from tests.hub.backends.test_contract import *  # noqa: F403  (the same tests)
