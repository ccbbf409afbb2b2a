"""The plan of a run: rows with a target first, and never more than the time."""

from __future__ import annotations

import pytest
from bench.budget import Budget
from bench.outcome import Outcome
from bench.results import Run
from bench.workloads import find


@pytest.fixture(autouse=True)
def one_target(monkeypatch):
    monkeypatch.setattr("bench.budget.TARGETS", {"call_soon": None})


LOOPS = ["uvloop", "treadle"]
AIM, PLAIN, CURVE = find("call_soon"), find("lock"), find("tasks_10")


def budget(seconds, rounds=5):
    return Budget([AIM, PLAIN, CURVE], LOOPS, rounds, seconds, False, frozenset({"tasks_10"}))


def runs(number, each):
    """One round in which each workload took so many seconds."""
    return [
        Run(number, workload.name, loop, Outcome(figure=1.0), each / 2)
        for workload in (AIM, PLAIN, CURVE)
        for loop in LOOPS
    ]


def names(workloads):
    return [workload.name for workload in workloads]


def test_without_a_limit_everything_has_all_rounds():
    plan = budget(None)
    assert [len(plan.admit(number, 1e9)) for number in range(1, 6)] == [3] * 5


def test_with_time_enough_everything_has_all_rounds():
    assert [len(budget(1e6).admit(number, 0)) for number in range(1, 6)] == [3] * 5


def test_the_first_round_has_everything_however_short_the_time():
    assert names(budget(1).admit(1, 0)) == ["call_soon", "lock", "tasks_10"]


def test_what_is_measured_keeps_its_order():
    plan = Budget([CURVE, PLAIN, AIM], LOOPS, 5, 1e6, False, frozenset({"tasks_10"}))
    assert names(plan.admit(2, 0)) == ["tasks_10", "lock", "call_soon"]


def test_curves_go_first_when_time_is_short_and_targets_last():
    plan = budget(90)
    plan.learn(runs(1, each=10))
    # 60 s are left: four rounds of the target and one of each other row
    assert names(plan.admit(2, 30)) == ["call_soon", "lock", "tasks_10"]
    # 40 s are left when the others took longer: three rounds of the target, one of the plain row
    assert names(plan.admit(2, 50)) == ["call_soon", "lock"]
    assert names(plan.admit(3, 70)) == ["call_soon"]
    assert plan.admit(4, 85) == []


@pytest.mark.parametrize("seconds", [40, 60, 77, 100, 140])
def test_the_expected_end_is_within_the_time_once_a_round_is(seconds):
    plan = budget(seconds)
    plan.learn(runs(1, each=10))
    expected, _ = plan.expected()
    assert 30 <= expected <= seconds


def test_a_measured_cost_replaces_the_guess():
    plan = budget(None)
    plan.learn(runs(1, each=10))
    plan.learn(runs(1, each=10) + runs(2, each=4))
    assert plan.cost(AIM) == pytest.approx(4)


def test_points_of_curves_take_less_effort():
    plan = budget(None)
    assert (plan.size(CURVE), plan.size(AIM)) == ("brief", "full")


def test_the_plan_says_how_long_it_takes():
    plan = budget(95)
    plan.learn(runs(1, each=10))
    assert "about 2 min" in plan.text()
    assert "4 round(s) of 1 workload(s) with a target for treadle" in plan.text()
