"""The programs of the README run, and print what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.kit import run_python

README = (Path(__file__).parents[2] / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n(?:It prints `([^\n]+)`)?", README, re.S)


def test_the_readme_has_programs():
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_of_the_readme_runs_and_prints_what_it_says(program, printed):
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    if sys.version_info >= (3, 12):  # 3.11's streams report a handler that the end has cancelled
        assert done.stderr == ""
    if printed:
        assert done.stdout.strip() == printed
