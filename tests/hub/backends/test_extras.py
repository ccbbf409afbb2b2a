"""The client libraries of brokers are extras: without one, the error says what to install."""

from __future__ import annotations

import pytest

from tests.kit import run_python


@pytest.mark.parametrize(("kind", "package"), [("redis", "redis"), ("nats", "nats")])
def test_a_backend_without_its_client_library_says_what_to_install(kind: str, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None\nimport treadle.hub.backends.{kind}\n"
    done = run_python(program)
    assert done.returncode != 0
    assert f"pip install 'treadle[hub-{kind}]'" in done.stderr
