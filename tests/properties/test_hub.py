"""Random lives of a room: nobody ever misses a message without being told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.conftest import virtual
from tests.properties.hub_world import World
from tests.properties.virtual_loops import VirtualAsyncio

POLICIES = ["drop_oldest", "drop_newest", "coalesce", "disconnect", "catch_up"]
NODES = st.integers(0, 1)
PEOPLE = st.integers(0, 2)
KEYS = st.sampled_from([None, None, "a", "b"])
PUBLISH = st.tuples(
    st.just("publish"),
    NODES,
    KEYS,
    st.sampled_from([None, None, None, 0, 1]),
    st.sampled_from([1, 1, 1, 700]),
)
STEPS = st.one_of(
    PUBLISH,
    PUBLISH,
    PUBLISH,
    st.tuples(st.just("burst"), NODES, KEYS, st.integers(1, 12)),
    st.tuples(st.just("connect"), PEOPLE, NODES, st.booleans()),
    st.tuples(st.just("hang_up"), PEOPLE),
    st.tuples(st.just("read"), PEOPLE, st.sampled_from([1, 2, None])),
    st.tuples(st.just("cut_off"), NODES),
    st.tuples(st.just("join_again"), NODES),
    st.tuples(st.just("lose_history")),
    st.tuples(st.just("settle"), st.integers(1, 10)),
    st.tuples(st.just("wait")),
)
START = [("connect", 0, 0, False), ("connect", 1, 1, True)]


def live(when_full, program, **more):
    with virtual(VirtualAsyncio) as (loop, reports):
        loop.run_until_complete(World(when_full, **more).run([*START, *program]))
        assert not reports, reports


@pytest.mark.parametrize("when_full", POLICIES)
@given(
    program=st.lists(STEPS, min_size=25, max_size=60),
    count=st.sampled_from([5, 40]),
    presence=st.booleans(),
)
@settings(max_examples=40, derandomize=True)
def test_whatever_a_client_misses_it_is_told(when_full, program, count, presence):
    live(when_full, program, count=count, presence=presence)


@pytest.mark.slow
@pytest.mark.parametrize("when_full", POLICIES)
@given(
    program=st.lists(STEPS, min_size=100, max_size=300),
    count=st.sampled_from([5, 40, 1000]),
    presence=st.booleans(),
)
@settings(max_examples=400, derandomize=True)
def test_whatever_a_client_misses_in_a_long_life_it_is_told(when_full, program, count, presence):
    live(when_full, program, count=count, presence=presence)


@pytest.mark.parametrize("when_full", POLICIES)
@given(program=st.lists(STEPS, min_size=25, max_size=60), seed=st.integers(0, 1000))
@settings(max_examples=25, derandomize=True)
def test_a_backend_that_loses_repeats_and_delays_costs_no_message(when_full, program, seed):
    live(when_full, program, seed=seed)
