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
import asyncio as aio
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.waiting_programs import VirtualAsyncio, run, virtual_treadle

NEWEST = sys.version_info >= (3, 13)

delays = st.integers(1, 5)
limits = st.sampled_from([1, 2, 3, 4, 5, None, 0, -1])
few = st.integers(0, 5)


def step(name, *arguments):
    """Return the strategy for a step; an argument that is no strategy is taken as it is."""
    return st.tuples(
        *[
            argument if isinstance(argument, st.SearchStrategy) else st.just(argument)
            for argument in (name, *arguments)
        ]
    )


def weighted(choices):
    """Return the strategy for one of several steps, each as often as its weight says."""
    steps = [step for step, weight in choices.items() for _ in range(weight)]
    return st.sampled_from(range(len(steps))).flatmap(steps.__getitem__)


def written(leaves, branches, most=24):
    """Return the tasks of programs made of these steps; `branches` makes those that have steps."""
    leaf = weighted(leaves)
    bodies = st.recursive(
        st.lists(leaf, max_size=5),
        lambda inner: st.lists(weighted({leaf: 5, **branches(inner)}), max_size=5),
        max_leaves=most,
    )
    return st.lists(bodies, min_size=1, max_size=4)


ALWAYS = {
    step("turns", st.integers(1, 3)): 2,
    step("sleep", st.integers(0, 4)): 2,
    step("cancel", few): 2,
}


def around(inner):
    """Return the steps that contain steps, of every program."""
    return {
        step("timeout", limits, inner): 2,
        step("wait_for", limits, inner): 2,
        step("survive", st.booleans(), inner): 1,
        step("last", inner, inner): 1,
    }


def grouping(inner):
    """Return the steps that make tasks."""
    some = st.lists(inner, min_size=1, max_size=3)
    patience = st.sampled_from([None, 1, 2, 3, 0])
    whens = st.sampled_from(["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
    return {
        **around(inner),
        step("attempt", inner): 1,
        step("timeout_at", limits, inner): 1,
        step("group", st.lists(inner, max_size=3), inner): 3,
        step("gather", st.booleans(), st.lists(inner, max_size=3)): 2,
        step("shield", inner): 2,
        step("wait", whens, patience, some): 2,
        step("as_completed", patience, some): 1,
        step("as_completed_async", patience, some): 1,
    }


group_programs = st.tuples(
    st.just(()),
    written({**ALWAYS, step("fail"): 2, step("reschedule", few, limits): 1}, grouping),
)

which = st.integers(0, 1)
items = st.integers(0, 9)
kinds_of_queue = st.sampled_from(["Queue", "PriorityQueue", "LifoQueue"])
queue_programs = st.tuples(
    st.lists(step("queue", kinds_of_queue, st.integers(0, 2)), min_size=1, max_size=2).map(tuple),
    written(
        {
            **ALWAYS,
            step("put", which, items): 6,
            step("get", which): 6,
            step("put_nowait", which, items): 2,
            step("get_nowait", which): 2,
            step("task_done", which): 1,
            step("join", which): 1,
            step("shutdown", which, st.booleans()): 1,
            step("size", which): 1,
        },
        around,
    ),
)

LOCK, PERMITS, BOUNDED, EVENT, CONDITION, BARRIER = range(6)
counts = st.integers(1, 2)
lock_things = st.tuples(
    st.just(("Lock",)),
    step("Semaphore", st.integers(0, 2)),
    step("BoundedSemaphore", counts),
    st.just(("Event",)),
    st.just(("Condition",)),
    step("Barrier", st.integers(1, 3)),
)
CALLS = {
    LOCK: ["acquire", "release"],
    PERMITS: ["acquire", "release"],
    BOUNDED: ["acquire", "release"],
    EVENT: ["set", "clear", "wait"],
    CONDITION: ["acquire", "release", "notify_all"],
    BARRIER: ["wait", "wait", "reset", "abort"],
}


def locking(*chosen):
    """Return the programs about these things."""
    calls = [("call", which, name) for which in chosen for name in CALLS[which]]
    leaves = {**ALWAYS, st.sampled_from(calls): 6, step("state"): 1}

    def branches(inner):
        held = [which for which in chosen if which != EVENT]
        if CONDITION not in chosen:
            return {**around(inner), step("hold", st.sampled_from(held), inner): 6}
        steps = [
            step("call", CONDITION, "wait"),
            step("call", CONDITION, "notify", counts),
            step("call", CONDITION, "notify_all"),
            step("until", CONDITION, counts),
        ]
        within = st.lists(st.one_of(*steps, *ALWAYS), max_size=3)
        return {
            **around(inner),
            step("hold", CONDITION, within): 8,
            step("hold", CONDITION, inner): 2,
        }

    return st.tuples(lock_things, written(leaves, branches))


chunks = st.text("ab\n;", max_size=6).map(str.encode)
separators = st.sampled_from([b"\n", b";", b"ab", b"a;b", b""])
stream_programs = st.tuples(
    st.tuples(step("reader", st.integers(1, 8))),
    written(
        {
            **ALWAYS,
            step("feed", chunks): 10,
            step("read", st.integers(-1, 6)): 2,
            step("readexactly", st.integers(-1, 6)): 2,
            step("readuntil", separators): 2,
            step("readuntil", st.lists(separators, max_size=3).map(tuple)): 1,
            step("iterate", st.integers(1, 3)): 1,
            step("readline"): 2,
            step("end"): 1,
            step("lose"): 1,
            step("at_eof"): 1,
        },
        around,
    ),
)

KINDS = {
    "queues": queue_programs,
    "locks": locking(LOCK, PERMITS, BOUNDED),
    "events": locking(EVENT, BARRIER, LOCK),
    "conditions": locking(CONDITION, EVENT),
    "groups": group_programs,
    "streams": stream_programs,
}
EXAMPLES = 60
MANY = 3000


def compare(program):
    """Run a program everywhere; the logs must be the same."""
    ours = run(program, aio, virtual_treadle)
    assert run(program, aio, VirtualAsyncio) == ours
    if NEWEST:
        assert ours == run(program, asyncio, VirtualAsyncio)


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_do_what_they_do_with_asyncios_names(kind):
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(KINDS[kind])
    def check(program):
        compare(program)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_programs_do_what_they_do_with_asyncios_names(kind):
    @settings(max_examples=MANY, suppress_health_check=list(HealthCheck))
    @given(KINDS[kind])
    def check(program):
        compare(program)

    check()
