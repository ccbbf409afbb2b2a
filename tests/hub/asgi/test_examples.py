from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["asgi.closing", "asgi.events", "asgi.handshake", "asgi.websocket", "javascript"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(f"treadle.hub.{name}")
    assert doctest.testmod(module).failed == 0
