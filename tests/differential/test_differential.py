"""The same programs log the same on asyncio and on every treadle."""

from __future__ import annotations

import json

import pytest

import treadle
from tests.differential.asyncio_programs import PROGRAMS
from tests.kit import run_python

PROGRAM = "import sys; from tests.differential.run_all import main; main([{loop!r}])"
# An empty variable is as good as none.
VARIANTS = {
    "plain": {"TREADLE_PURE": "1", "TREADLE_DRIVER": ""},
    "selector": {"TREADLE_DRIVER": "selector"},
}
if treadle.COMPILED:
    VARIANTS["compiled"] = {"TREADLE_PURE": "", "TREADLE_DRIVER": ""}


def run_all(loop, **environment):
    done = run_python(PROGRAM.format(loop=loop), patience=120, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected():
    return run_all("asyncio")


@pytest.fixture(scope="module", params=VARIANTS)
def seen(request):
    return run_all("treadle", **VARIANTS[request.param])


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_what_it_does_on_asyncio(name, expected, seen):
    assert expected[name], "it logs nothing"
    assert "UNCAUGHT" not in str(expected[name])
    assert seen[name] == expected[name]
