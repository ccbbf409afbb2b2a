"""The examples in the hub's docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from treadle import hub

MODULES = [found.name for found in pkgutil.iter_modules(hub.__path__) if not found.ispkg]


@pytest.mark.parametrize("name", [*MODULES, "backends.base", "backends.memory"])
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(f"treadle.hub.{name}")
    names = {public: getattr(hub, public) for public in hub.__all__}
    failed, _ = doctest.testmod(module, extraglobs=names)
    assert failed == 0
