"""The example of the three styles runs as a program, and the three agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "examples" / "three_styles.py"


def test_the_three_styles_find_the_same():
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM)],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    styles, answers = zip(
        *(line.split(maxsplit=1) for line in done.stdout.splitlines()), strict=True
    )
    assert styles == ("callbacks", "promises", "coroutines")
    assert len(set(answers)) == 1
