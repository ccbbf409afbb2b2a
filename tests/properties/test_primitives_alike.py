"""Random programs do the same with treadle's primitives as with asyncio's, in the same order.

The reference is the asyncio of the Python that runs the tests, from 3.13 on: older ones have faults
and lack names that treadle has there, too. What remains there is that treadle's names do the same
on every loop, and in `test_primitives_recorded.py` what a newer asyncio did.

Whole logs are compared: results, exceptions with their arguments and causes, the order of all
events and the time of each, how often a task was asked to cancel, what a transport was told, what
is left in queues, and who still waits in the end.
"""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import HealthCheck, given, settings

from tests.properties.virtual_loops import VirtualAsyncio, virtual_treadle
from tests.properties.waiting_programs import run
from tests.properties.waiting_strategies import KINDS
from treadle import aio

NEWEST = sys.version_info >= (3, 13)

EXAMPLES = 150
MANY = 3000


def compare(program):
    """Run a program everywhere; the logs must be the same."""
    ours = run(program, aio, virtual_treadle)
    assert run(program, aio, VirtualAsyncio) == ours
    if NEWEST:
        assert ours == run(program, asyncio, VirtualAsyncio)


def check(kind, **how):
    """Compare random programs of a kind."""

    @settings(suppress_health_check=list(HealthCheck), **how)
    @given(KINDS[kind])
    def check_one(program):
        compare(program)

    check_one()


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_do_what_they_do_with_asyncios_names(kind):
    check(kind, max_examples=EXAMPLES, derandomize=True)  # the same ones each time


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_programs_do_what_they_do_with_asyncios_names(kind):
    check(kind, max_examples=MANY)
