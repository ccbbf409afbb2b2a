"""The tour runs as a newcomer runs it: as a program, judged by its exit code and its output."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "examples" / "tour.py"
PATIENCE = 120
CONCEPTS = ("concurrency", "non_blocking", "event_loop", "callbacks", "futures", "coroutines")


def start(
    *options: str,
    program: tuple[str, ...] = (str(TOUR),),
    before: Callable[[], None] | None = None,
) -> subprocess.Popen[str]:
    """The tour in a process of its own, with the treadle that these tests import."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), COLUMNS="100")
    environment.pop("FORCE_COLOR", None)
    return subprocess.Popen(
        [sys.executable, "-W", "always::ResourceWarning", *program, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=before,
    )


def run(*options: str, before: Callable[[], None] | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a whole tour."""
    with start(*options, before=before) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, err


PATCHED = """
import sys
sys.path.insert(0, {examples!r})
class Hide:
    def find_spec(name, path=None, target=None):
        if name == {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide)
import tour, _tour.crowd
def lie(self, line):
    self.transport.write(b"not yours\\n")
{patch}
tour.main(["--quick"])
"""


def run_patched(patch: str, hidden: str = "") -> tuple[int, str, str]:
    """A quick tour in which `patch` was executed first and the module `hidden` does not exist."""
    examples = str(TOUR.parent)
    program = PATCHED.format(examples=examples, hidden=hidden, patch=patch)
    with start(program=("-c", program)) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def quick() -> tuple[dict[str, Any], str]:
    """The figures of one quick tour, and what it showed on stderr."""
    code, out, err = run("--quick", "--json")
    assert code == 0, err
    return json.loads(out), err


def test_all_six_concepts_are_shown_and_measured(quick: tuple[dict[str, Any], str]) -> None:
    figures, shown = quick
    assert tuple(figures["concepts"]) == CONCEPTS
    assert all(figures["concepts"].values())
    for number in range(1, 9):
        assert f"\n{number} · " in shown


def test_concepts_show_what_they_are_about(quick: tuple[dict[str, Any], str]) -> None:
    concepts = quick[0]["concepts"]
    assert concepts["concurrency"]["all_at_once"] < concepts["concurrency"]["one_after_the_other"]
    beats = concepts["non_blocking"]
    assert beats["heartbeats_non_blocking"] > beats["heartbeats_blocking"]
    assert concepts["event_loop"]["order"][:3] == ["first", "second", "third"]
    assert "server.data_received" in concepts["callbacks"]["calls"]
    assert concepts["futures"]["fulfilled"] == 42
    assert concepts["futures"]["timed_out"] is True
    assert len(concepts["coroutines"]["cancelled"]) == 3


def test_the_crowd_is_open_all_at_once_and_every_answer_is_verified(
    quick: tuple[dict[str, Any], str],
) -> None:
    crowd = quick[0]["crowd"]
    assert crowd["open_at_once"] == crowd["clients"] > 0
    assert crowd["verified"] == crowd["messages"] == 3 * crowd["clients"]


def test_the_table_has_three_ways_and_two_loops(quick: tuple[dict[str, Any], str]) -> None:
    table = quick[0]["table"]
    assert [row["way"] for row in table["requests"]] == ["blocking", "asyncio", "treadle"]
    for row in table["requests"]:
        assert row["elapsed_s"] > 0
        assert row["requests_per_s"] > 0
        assert row["cpu_s"] > 0
    assert table["requests"][0]["measured"] < table["requests"][0]["requests"]
    assert set(table["callbacks_per_s"]) == {"asyncio", "treadle"}
    assert all(rate > 0 for rate in table["callbacks_per_s"].values())


def test_nothing_is_left_open_or_unhandled(quick: tuple[dict[str, Any], str]) -> None:
    shown = quick[1]
    for complaint in ("ResourceWarning", "Traceback", "never retrieved", "was destroyed"):
        assert complaint not in shown


def test_more_clients_than_the_limit_allows_is_a_clear_error() -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

    code, out, err = run("--quick", "--clients", "101", before=few_files)
    assert code == 2
    assert out == ""
    assert "101 clients need 302 open files; the limit here allows 100 clients" in " ".join(
        err.split()
    )


def test_a_wrong_answer_fails_the_tour_with_a_sentence() -> None:
    code, out, err = run_patched("_tour.crowd.Desk.line_received = lie")
    assert code == 1
    assert "The tour failed: Wrong in the crowd: client " in err
    assert "Traceback" not in out + err


def test_missing_rich_is_one_line_that_says_how_to_install_it() -> None:
    code, out, err = run_patched("", hidden="rich")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        'The tour needs rich, which is missing: pip install "treadle[cli]"',
    ]


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("request  1", id="in the first demonstration"),
        pytest.param("connected: ", id="with a crowd connected", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_it_cleanly(moment: str) -> None:
    with start() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C." in err
    assert "Traceback" not in err
