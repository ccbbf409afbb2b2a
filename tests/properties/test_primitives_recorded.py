"""Recorded programs do on every Python what they did with the newest asyncio.

The logs are compared as `test_primitives_alike.py` does it, by a mark for each line. ``python -m
tests.properties.record`` makes the record anew.
"""

from __future__ import annotations

import pytest

from tests.properties.record import mark, recorded
from tests.properties.virtual_loops import VirtualAsyncio, virtual_treadle
from tests.properties.waiting_programs import run
from tests.properties.waiting_strategies import KINDS
from treadle import aio

LOOPS = {"asyncio": VirtualAsyncio, "treadle": virtual_treadle}


def first_difference(program, marks, make_loop):
    """Return the place and the line at which a run leaves the record; None when it does not."""
    log = run(program, aio, make_loop)
    seen = [*map(mark, log), "the end"]
    expected = [*marks.split(), "the end"]
    if seen == expected:
        return None
    place = next(
        i for i, pair in enumerate(zip(seen, expected, strict=False)) if len(set(pair)) > 1
    )
    return place, log[place] if place < len(log) else "the end"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_programs_do_what_they_did_with_the_newest_asyncio(kind, loop):
    for number, (its_kind, program, marks) in enumerate(recorded(), start=1):
        if its_kind == kind:
            difference = first_difference(program, marks, LOOPS[loop])
            assert not difference, f"line {number}: {program}"
