"""Rooms compared: the table and its verdicts; that a server and its load understand each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import compiler, fanout
from bench.fanout import Effort, Row, label_of, verdicts
from bench.rooms import CONTESTANTS

PUBLISHED = Path(__file__).parents[2] / "docs" / "benchmarks"
TINY = Effort(rounds=1, subscribers=20, warmup=0.05, seconds=0.1, idle=20, messages=500)


def row(workload, name, *figures, remark=""):
    return Row(workload, name, label_of(name, remark), "unit", list(figures))


def fan_outs(hub, socketio, litestar):
    return [
        row("hub_fanout", "hub", hub),
        row("hub_fanout", "socketio", socketio),
        row("hub_fanout", "litestar", litestar),
    ]


@pytest.mark.parametrize(
    ("figures", "ratio", "met"),
    [((5, 100, 10), 0.5, True), ((6, 10, 100), 0.6, False)],
)
def test_the_hub_is_compared_with_the_better_of_the_others(figures, ratio, met):
    verdict = verdicts(fan_outs(*figures))[0]
    assert verdict.ratio == pytest.approx(ratio)
    assert verdict.met is met


def test_a_target_that_was_not_measured_is_missed():
    without = fan_outs(1, 100, 100)[:2]
    assert [(verdict.ratio, verdict.met) for verdict in verdicts(without)] == [(None, False)] * 4


def test_the_median_counts_and_the_spread_is_shown():
    (line,) = fanout.table([row("hub_fanout", "hub", 1.0, 9.0, 2.0)])[2:]
    assert "| 2.00 | 1.00 | 9.00 |" in line


def test_what_went_wrong_stands_in_the_table():
    failed = row("hub_fanout", "socketio")
    failed.trouble = "no package socketio"
    assert "no package socketio" in fanout.table([failed])[2]


@pytest.mark.skipif(compiler.compiler() is None, reason="the load generator needs a C compiler")
@pytest.mark.parametrize("name", ["hub", "hub-pull", "socketio", "litestar"])
def test_a_contestant_delivers_to_all(name):
    pytest.importorskip({"hub-pull": "uvloop", "hub": "msgspec"}.get(name, name))
    pytest.importorskip(CONTESTANTS[name].loop)
    figure, facts = fanout.fan_out(name, TINY)
    assert figure > 0
    assert facts["messages"] > TINY.subscribers


@pytest.mark.skipif(compiler.compiler() is None, reason="the load generator needs a C compiler")
def test_everything_is_written_that_was_measured(tmp_path, monkeypatch, capsys):
    pytest.importorskip("msgspec")
    monkeypatch.setattr(fanout, "QUICK", TINY)
    ours = [entry for entry in fanout.ENTRIES if entry.name == "hub"]
    monkeypatch.setattr(fanout, "ENTRIES", ours)
    status = fanout.main(["--quick", "--page", str(tmp_path), "--check"])
    assert status == 1  # nobody to compare with
    results = json.loads((tmp_path / "rooms.json").read_text())
    assert [row["workload"] for row in results["rows"]] == [entry.workload for entry in ours]
    assert all(row["figures"] for row in results["rows"])
    assert (tmp_path / "rooms.md").read_text().count("| hub_fanout |") == 1
    assert "hub_fanout" in capsys.readouterr().out


def test_the_published_page_is_what_its_results_give():
    results = json.loads((PUBLISHED / "rooms.json").read_text())
    assert (PUBLISHED / "rooms.md").read_text() == fanout.page(results)
