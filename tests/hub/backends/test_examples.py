"""The examples in the docstrings of backends over brokers run; none of them connects."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from treadle.hub import Hub, Member, backends

OTHERS = {"base", "memory"}  # their examples run beside the hub's
MODULES = [found.name for found in pkgutil.iter_modules(backends.__path__)]


@pytest.mark.parametrize("name", sorted(set(MODULES) - OTHERS))
def test_the_examples_of_a_module_run(name: str) -> None:
    if name.startswith(("redis", "nats")):
        pytest.importorskip(name.partition("_")[0])
    module = importlib.import_module(f"treadle.hub.backends.{name}")
    failed, _ = doctest.testmod(module, extraglobs={"Hub": Hub, "Member": Member})
    assert failed == 0
