"""The check of costs: what exceeds a limit fails, and limits of another CPython judge nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from bench import check, counted, counting
from bench.counting import CannotCountError, Limits

HERE = {"CPython": "3.13.0 (abc)", "compiler": "cc 12", "processor": "x86_64"}


@pytest.fixture
def counts(monkeypatch, tmp_path):
    """Row -> what is going to be counted; the limits are 100 each."""
    found = {"call_soon": 100.0, "sleep0": 100.0}

    def count(row, library):
        if row not in found:
            raise CannotCountError("it failed")
        return found[row]

    monkeypatch.setattr(counting, "prepare", lambda: "library")
    monkeypatch.setattr(counting, "maker", lambda: HERE)
    monkeypatch.setattr(counting, "count", count)
    monkeypatch.setattr(counting, "FILE", tmp_path / "instructions.json")
    monkeypatch.setattr(counted, "ROWS", tuple(found))
    counting.FILE.write_text(Limits(HERE, dict(found)).text())
    return found


def test_what_costs_the_same_passes(counts, capsys):
    assert check.main(["--counts"]) == 0
    assert "no limit is exceeded" in capsys.readouterr().out


def test_what_costs_more_fails_and_is_named(counts, capsys):
    counts["sleep0"] = 100 * (1 + 2 * counting.TOLERANCE)
    assert check.main(["--counts"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "EXCEEDED" in line] == ["sleep0"]


def test_a_little_more_is_tolerated(counts):
    counts["sleep0"] = 100 * (1 + counting.TOLERANCE / 2)
    assert check.main(["--counts"]) == 0


def test_limits_of_another_interpreter_judge_nothing_and_say_so(counts, capsys):
    counting.FILE.write_text(Limits({**HERE, "CPython": "3.12.0 (def)"}, {"sleep0": 1.0}).text())
    assert check.main(["--counts"]) == 0
    out = capsys.readouterr().out
    assert "the limits were made with 3.12.0 (def), this is 3.13.0 (abc)" in out
    assert "EXCEEDED" not in out


def test_renewing_makes_the_counts_the_limits(counts):
    counts["sleep0"] = 250.0
    assert check.main(["--renew"]) == 0
    assert counting.read() == Limits(HERE, {"call_soon": 100.0, "sleep0": 250.0})
    assert check.main(["--counts"]) == 0


def test_a_row_that_cannot_be_counted_does_not_pass(counts, capsys):
    del counts["sleep0"]
    assert check.main(["--renew"]) == check.UNCHECKED
    assert counting.read().counts["sleep0"] == 100.0


def test_a_missing_valgrind_is_said_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(CannotCountError, match="apt-get install valgrind"):
        counting.prepare()
    assert check.main(["--counts"]) == check.UNCHECKED
    assert "apt-get install valgrind" in capsys.readouterr().out


def test_the_kept_limits_are_for_rows_that_are_counted():
    assert set(counting.read().counts) <= set(counted.ROWS)


def test_instructions_are_the_difference_of_the_totals_of_two_parts(monkeypatch):
    """The line "summary:" of the second leaves out what the first part counted."""
    parts = {1: (1000, 1000), 2: (3000, 5000)}

    def run(program):
        folder = Path(program[program.index("folder") + 1])
        for part, (summary, totals) in parts.items():
            text = f"events: Ir\nsummary: {summary}\n\nfn=(1)\n1 {totals}\n\ntotals: {totals}\n"
            (folder / f"out.{part}").write_text(text)
        return subprocess.CompletedProcess(program, 0, "40\n", "")

    monkeypatch.setattr(counting, "command", lambda folder: ["folder", folder])
    monkeypatch.setattr(counting, "run", run)
    assert counting.count("call_soon", "library") == (5000 - 1000) / 40
