"""Who takes part in what, and what is said of those who cannot."""

from __future__ import annotations

import pytest
from bench import loops, peers, targets
from bench.loops import LIMIT, NODE, RING, CannotError
from bench.options import parse
from bench.outcome import Outcome
from bench.workloads import CATALOGUE, Shape, find

from tests.bench import example


def test_the_plain_treadle_takes_part_only_when_it_is_named():
    assert loops.PURE not in parse([]).loops
    assert parse(["--loops", loops.PURE]).loops == [loops.PURE]


def test_c_and_node_take_part_in_echo_and_in_no_micro_program():
    everyone = [*loops.NAMES]
    assert {NODE, LIMIT, RING} <= set(find("echo_1k_100").contestants(everyone))
    assert not {NODE, LIMIT, RING} & set(find("call_soon").contestants(everyone))


def test_every_program_of_people_has_the_loops_that_have_no_names_of_their_own():
    programs = [workload for workload in CATALOGUE.values() if workload.kind == "program"]
    assert programs
    for workload in programs:
        assert {"asyncio", "uvloop", "rloop", "treadle"} <= set(
            workload.contestants([*loops.NAMES])
        )


@pytest.mark.parametrize(
    ("name", "size", "connections", "active"),
    [
        ("echo_64_1", 64, 1, 1),
        ("echo_1m_8", 1024 * 1024, 8, 8),
        ("echo_1k_10000", 1024, 10_000, 10_000),
        ("echo_active_1k_10000", 1024, 10_000, 100),
        ("echo_active_1k_10", 1024, 10, 1),
    ],
)
def test_a_name_tells_the_shape(name, size, connections, active):
    shape = Shape.parse(name)
    assert (shape.size, shape.connections, shape.active) == (size, connections, active)


@pytest.mark.parametrize("name", ["echo_1k_20000", "echo_udp_1m_1", "echo_99m_1", "echo_1g_1"])
def test_a_shape_that_no_machine_has_is_none(name):
    assert find(name) is None


def test_a_node_that_is_not_there_is_not_installed(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert peers.look()[NODE].obstacle == "not installed"


def test_a_package_that_npm_cannot_get_is_named(monkeypatch, tmp_path):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho npm error: no network >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(peers, "MODULES", tmp_path / "modules")
    with pytest.raises(CannotError, match="no package ws: npm error: no network"):
        peers.environment(NODE, "websockets_broadcast")


def test_what_is_missing_is_told_in_words():
    found = example.results()
    run = found.runs[0]
    outcome = Outcome(cannot="no package redis")
    found.runs.append(type(run)(3, "crawler", "rloop", outcome, 1.0))
    assert found.obstacle("crawler", "rloop") == "cannot: no package redis"


def test_a_workload_may_have_two_targets():
    verdicts = targets.judge(example.results(), "echo_1k_100")
    assert [verdict.target.to for verdict in verdicts] == ["uvloop", LIMIT]
    assert [verdict.met for verdict in verdicts] == [True, True]


def test_a_target_by_a_peer_that_is_missing_is_missed():
    figures = {"echo_1k_100": {"uvloop": [4.0], "treadle": [3.4]}}
    uvloop, limit = targets.judge(example.results(figures), "echo_1k_100")
    assert uvloop.met
    assert not limit.met
    assert limit.word == "not measured"
