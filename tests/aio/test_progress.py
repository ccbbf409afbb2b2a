"""The bar of map_concurrent, and what is imported for it and for retry."""

from __future__ import annotations

import asyncio

import pytest

from tests.aio.works import double
from tests.kit import run_python
from treadle import map_concurrent


async def numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


class Screen:
    """Where rich believes to be on a terminal."""

    def __init__(self, monkeypatch, terminal):
        import io

        import rich.console

        self.file = io.StringIO()
        real = rich.console.Console

        def console(**arguments):
            return real(file=self.file, force_terminal=terminal, width=80)

        monkeypatch.setattr(rich.console, "Console", console)

    @property
    def text(self):
        return self.file.getvalue()


def test_a_bar_shows_the_description_and_the_numbers(run, monkeypatch):
    pytest.importorskip("rich", reason="the bar is rich's")
    screen = Screen(monkeypatch, terminal=True)

    async def main():
        await map_concurrent(double, range(7), limit=2, progress="doubling")

    run(main)
    assert "doubling" in screen.text
    assert "7/7" in screen.text


def test_a_bar_without_a_known_total_shows_the_number(run, monkeypatch):
    pytest.importorskip("rich", reason="the bar is rich's")
    screen = Screen(monkeypatch, terminal=True)

    async def main():
        await map_concurrent(double, numbers(7), limit=2, progress=True)

    run(main)
    assert "7/?" in screen.text


def test_where_there_is_no_terminal_the_bar_is_silent(run, monkeypatch):
    pytest.importorskip("rich", reason="the bar is rich's")
    screen = Screen(monkeypatch, terminal=False)

    async def main():
        await map_concurrent(double, range(7), limit=2, progress=True)

    run(main)
    assert screen.text == ""


WITHOUT = """
import sys
sys.modules[{module!r}] = None
import treadle
try:
    {statement}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "statement", "extra"),
    [
        ("rich", "treadle.map_concurrent(print, [], limit=1, progress=True)", "treadle[cli]"),
        ("tenacity", "treadle.retry(print)", "treadle[retry]"),
    ],
)
def test_what_is_missing_says_what_to_install(module, statement, extra):
    done = run_python(
        WITHOUT.format(module=module, statement=statement),
    )
    assert extra in done.stdout, done.stderr


def test_without_a_bar_rich_is_not_imported():
    done = run_python(
        "import sys, asyncio, treadle\n"
        "async def main():\n"
        "    await treadle.map_concurrent(asyncio.sleep, [0], limit=1)\n"
        "treadle.run(main())\n"
        "print('rich' in sys.modules, 'tenacity' in sys.modules)\n"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr
