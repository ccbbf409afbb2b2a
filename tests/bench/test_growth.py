"""Curves: every point is a workload, and its program does what it says."""

from __future__ import annotations

import asyncio

import pytest
from bench import growing, growth, options, ping
from bench.workloads import CATALOGUE, crowd, find

from tests.kit import run_python


@pytest.mark.parametrize("name", growth.workloads(list(growth.ALL)))
def test_each_point_of_a_curve_is_a_workload(name):
    assert find(name) is not None


def test_points_of_a_curve_are_in_order():
    for series in growth.ALL:
        sizes = list(series.workloads)
        assert sizes == sorted(sizes)
        assert len(sizes) > 2


def test_the_curves_that_were_named_are_measured_beside_the_workloads():
    found = options.parse(["--only", "call_soon,tasks_10", "--growth", "tasks"])
    assert [workload.name for workload in found.workloads][:2] == ["call_soon", "tasks_10"]
    assert "tasks_10" not in found.curves
    assert {"tasks_100", "tasks_100000"} <= found.curves


def test_without_names_all_curves_are_measured():
    found = options.parse(["--growth"])
    assert found.curves == set(growth.workloads(list(growth.ALL))) - CATALOGUE.keys()


def test_an_unknown_curve_is_refused(capsys):
    with pytest.raises(SystemExit):
        options.parse(["--growth", "prices"])
    assert "there is no series 'prices'" in capsys.readouterr().err


def test_rounds_that_were_asked_for_know_no_time():
    assert options.parse(["--rounds", "3"]).minutes is None
    assert options.parse([]).minutes == options.MINUTES


def test_a_number_of_idle_connections_belongs_to_a_name():
    assert crowd("idle_stream_100") == ("idle_stream", 100)
    assert crowd("echo_100") is None


@pytest.mark.parametrize("name", ["tasks_1", "tasks_10", "timers_1", "timers_1000"])
def test_a_program_of_a_curve_runs(loop, name):
    program = growing.micro(name).program
    for batches in (1, 3):
        assert program(loop, batches) >= 0
    assert not asyncio.all_tasks(loop)


def test_pending_timers_stay_for_the_next_run(loop):
    set_before = []
    call_later = loop.call_later

    def counted(*arguments):
        set_before.append(arguments)
        return call_later(*arguments)

    micro = growing.micro("timers_100")
    loop.call_later = counted
    micro.program(loop, 1)
    first = len(set_before)
    micro.program(loop, 1)
    assert (first, len(set_before) - first) == (1100, 1000)


PING = """
import asyncio
from bench import ping
loop = asyncio.new_event_loop()
program = ping.micro({style!r}, "asyncio").program
print(program(loop, 3) > 0, program(loop, 2) > 0)
"""


@pytest.mark.parametrize("style", ping.STYLES)
def test_a_message_to_and_fro_in_one_process(style):
    # in a process of its own, since it leaves its server and its client to the process's end
    done = run_python(PING.format(style=style))
    assert done.stdout.split() == ["True", "True"], done.stderr
