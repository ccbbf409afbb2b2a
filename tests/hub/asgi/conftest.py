"""Tests are coroutines that run on the shared `loop` fixture, as in tests/net."""

from __future__ import annotations

from tests.net.conftest import (  # noqa: F401  (pytest finds them here)
    loop,
    no_descriptor_left,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
)
