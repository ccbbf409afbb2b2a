"""The page of results: made from the JSON alone, complete, and honest about who is ahead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import page

from tests.bench import example

PUBLISHED = Path(__file__).parents[2] / "docs" / "benchmarks"


@pytest.fixture
def written(tmp_path):
    page.write(tmp_path, [example.text()])
    return tmp_path


def section(folder, heading):
    """The lines of the page under a heading, up to the next one of its rank."""
    rank = heading.split()[0]
    lines = folder.joinpath("index.md").read_text().splitlines()
    start = lines.index(heading) + 1
    ends = [i for i, line in enumerate(lines) if i >= start and line.startswith(f"{rank} ")]
    return lines[start : min(ends, default=len(lines))]


def row(lines, *beginning):
    """The cells of the one row of a table that begins so."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "|" in line
    ]
    found = [cells for cells in rows if tuple(cells[: len(beginning)]) == beginning]
    assert len(found) == 1, (beginning, rows)
    return found[0]


def test_the_published_page_is_what_its_results_give():
    assert page.differences(PUBLISHED) == []


def test_the_json_can_be_read_back():
    assert json.loads(example.text())["interpreters"][0]["version"] == "3.13.0"


def test_a_page_that_was_just_written_equals_what_its_results_give(written):
    assert page.differences(written) == []
    assert page.main(["--check", str(written)]) == 0


def test_a_page_changed_by_hand_is_found(written, capsys):
    file = written / "index.md"
    file.write_text(file.read_text().replace("3.40", "3.30"))
    assert page.main(["--check", str(written)]) == 1
    assert "index.md is not what the results give" in capsys.readouterr().err


def test_a_plot_changed_by_hand_is_found(written):
    file = written / "connections.svg"
    file.write_text(file.read_text() + "\n")
    assert "connections.svg" in page.differences(written)[0]


def test_the_page_of_another_program_stays_beside_it(written):
    other = written / "rooms.md"
    other.write_text("# Rooms\n")
    assert page.differences(written) == []
    page.main([str(written / "results.json"), "--out", str(written)])
    assert other.read_text() == "# Rooms\n"


def test_a_page_without_results_is_found(tmp_path):
    tmp_path.joinpath("index.md").write_text("# Fast\n")
    assert "there is no results.json" in page.differences(tmp_path)[0]


def test_the_page_says_that_it_is_not_to_be_edited(written):
    assert "Do not edit" in written.joinpath("index.md").read_text().splitlines()[0]


def test_the_page_names_machine_versions_date_and_doubts(written):
    lines = section(written, "## CPython 3.13.0")
    assert row(lines, "processor")[1] == "Example \\| 3000, 2 core(s)"
    assert row(lines, "date")[1] == "2026-01-02T03:04:05+00:00"
    assert row(lines, "versions")[1] == "uvloop 0.23.0, treadle 0.1.0"
    assert "- a doubt" in lines


def test_every_row_in_which_a_loop_is_ahead_is_named(written):
    lines = section(written, "## Where others are ahead of treadle")
    assert row(lines, "`sleep0`", "rloop")[2:4] == ["305 ns", "400 ns"]


def test_programs_that_are_not_python_and_ahead_are_named(written):
    lines = section(written, "## Where others are ahead of treadle")
    assert row(lines, "`echo_1k_100`", "C epoll")[4] == "0.91"
    assert row(lines, "`echo_1k_1000`", "C epoll")[2] == "3.00 µs"


def test_who_is_not_ahead_is_not_named(written):
    lines = section(written, "## Where others are ahead of treadle")
    assert not any("uvloop" in line or "asyncio" in line for line in lines)


def test_targets_that_were_missed_come_first(written):
    lines = [line for line in section(written, "## Targets") if line.startswith("| `")]
    missed = ["not met" in line for line in lines]
    assert missed == sorted(missed, reverse=True)
    assert True in missed
    assert False in missed


def test_a_ratio_whose_rounds_disagree_is_not_printed(written):
    lines = section(written, "### Operations")
    assert "*unsteady* 0.20..0.60" in row(lines, "`timer`")
    assert "0.17" in row(lines, "`call_soon`")


def test_throughput_and_percentiles_stand_beside_the_cost(written):
    lines = section(written, "### Echo")
    cells = row(lines, "treadle")
    assert cells[1:] == [
        "3.45 <sub>3.40..3.50</sub>",
        "0.85",
        "90,000",
        "300",
        "1,200",
        "0.50",
        "2",
    ]


def test_how_often_servers_slept_is_explained_where_it_is_told(written):
    assert any(line.startswith("*sleeps* is how often") for line in section(written, "### Echo"))


def test_a_series_becomes_a_plot_and_a_table(written):
    lines = section(written, "## How costs grow")
    assert any("](connections.svg)" in line for line in lines)
    assert row(lines, "1,000")[1:] == ["", "3.90", "3.30", "3.00", "1"] or "3.30" in row(
        lines, "1,000"
    )
    assert written.joinpath("connections.svg").exists()
    assert not written.joinpath("tasks.svg").exists()


def test_files_of_one_machine_become_one_page(tmp_path):
    rest = {"call_soon": example.FIGURES["call_soon"]}
    late = {**example.FACTS, "date": "2026-01-03"}
    page.write(tmp_path, [example.text(), example.text(rest, late)])
    assert row(section(tmp_path, "## CPython 3.13.0"), "date")[1].endswith("2026-01-03")
    assert page.differences(tmp_path) == []


def test_interpreters_stand_one_after_the_other(tmp_path):
    page.write(tmp_path, [example.text(), example.text(version="3.12.1")])
    text = tmp_path.joinpath("index.md").read_text()
    assert text.index("## CPython 3.13.0") < text.index("## CPython 3.12.1")
    assert tmp_path.joinpath("1-connections.svg").exists()
    assert tmp_path.joinpath("2-connections.svg").exists()


def test_a_new_page_takes_the_old_plots_away(written):
    page.write(written, [example.text({"call_soon": example.FIGURES["call_soon"]})])
    assert sorted(path.name for path in written.iterdir()) == ["index.md", "results.json"]


def test_results_of_another_schema_are_refused(tmp_path, capsys):
    file = tmp_path / "old.json"
    file.write_text('{"schema": 1}')
    assert page.main([str(file), "--out", str(tmp_path / "page")]) == 2
    assert "this is 1" in capsys.readouterr().err
