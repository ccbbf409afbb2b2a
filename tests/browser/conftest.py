"""Tests with a real browser: Chromium, headless, and the showcase in a process of its own.

Without Chromium, npm or Playwright they are skipped; with `CI` set, they fail then. Each window is
a browser profile of its own, and reaches the server through a cable that a test can cut. What the
windows showed at the end is kept as pictures; the last line of the report says where.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.cable import Cable

try:
    from playwright.sync_api import Browser, Page, expect, sync_playwright
except ModuleNotFoundError:
    sync_playwright = None

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB = EXAMPLES / "showcase" / "web"
PICTURES = Path(
    os.environ.get("TREADLE_SCREENSHOTS", Path(tempfile.gettempdir()) / "treadle-screenshots")
)
PATIENCE = 60_000  # milliseconds: how long a page may take for anything, on a busy machine
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
ANNOUNCED = re.compile(r"http://localhost:(\d+)")

Window = Callable[..., Any]


def missing(what: str) -> None:
    """Skip what needs it; in the gate, fail."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if PICTURES.exists():
        terminalreporter.write_line(f"pictures of the pages: {PICTURES}")


@pytest.fixture(scope="session")
def pages_built() -> None:
    """The pages of this checkout, bundled."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not installed: apt-get install npm")
    if not (WEB / "node_modules" / "esbuild").exists():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=WEB, check=True)
    subprocess.run([npm, "run", "--silent", "build"], cwd=WEB, check=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, for this folder only: until it ends, Playwright's loop counts as running."""
    if sync_playwright is None:
        missing("playwright is not installed: pip install 'treadle[browser]'")
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Showcase:
    """The application in a process of its own, on a port that the kernel chose."""

    def __init__(self, *options: str) -> None:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(EXAMPLES), *sys.path]))
        environment["SHOWCASE_SECRET"] = "of the tests"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "always", "-m", "showcase", "--port", "0", *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        announced = ANNOUNCED.search(self._process.stdout.readline())
        if announced is None:
            pytest.fail(f"the showcase did not start:\n{self.stop()}", pytrace=False)
        self.port = int(announced[1])

    def crash(self) -> None:
        """Kill it, so that it can put nothing in order."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> str:
        """End it as Ctrl-C does not: at once, but cleanly. What it complained about is returned."""
        self._process.terminate()
        try:
            _, complaints = self._process.communicate(timeout=PATIENCE / 1000)
        finally:
            self._process.kill()
            self._process.wait()
        return complaints


@pytest.fixture(scope="module")
def showcase(pages_built: None) -> Iterator[Showcase]:
    """A server that has nothing to complain about."""
    server = Showcase()
    try:
        yield server
    finally:
        complaints = server.stop()
    assert not complaints


@pytest.fixture
def cables() -> Iterator[Callable[[int], Cable]]:
    made: list[Cable] = []

    def make(port: int) -> Cable:
        made.append(Cable(("127.0.0.1", port)))
        return made[-1]

    yield make
    for cable in made:
        cable.remove()


@pytest.fixture
def window(request: pytest.FixtureRequest, browser: Browser, cables: Any) -> Iterator[Window]:
    """Open a page in a window of somebody's own: `window("chat", "Ada")`; it has a `.cable`.

    The server is the fixture `showcase`, unless its port is given; each test has a room, a game and
    a text of its own there.
    """
    if "pair" in request.fixturenames:
        request.getfixturevalue("pair")  # it has to outlive the windows
    else:
        request.getfixturevalue("showcase")
    pages: list[tuple[str, Page]] = []
    failures: list[str] = []

    def open_window(page_name: str, name: str, *, size: Any = DESKTOP, port: int = 0) -> Page:
        cable = cables(port or request.getfixturevalue("showcase").port)
        context = browser.new_context(viewport=size)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(f"localStorage.name ??= {name!r}")
        page = context.new_page()
        page.cable = cable
        page.on("pageerror", lambda error: failures.append(f"{name}: {error}"))
        page.goto(f"{cable.address}/{page_name}#{request.node.name}")
        expect(page.locator("#state")).to_have_attribute("data-state", "online")
        pages.append((name, page))
        return page

    yield open_window
    PICTURES.mkdir(parents=True, exist_ok=True)
    test = request.node.name.removeprefix("test_")
    for name, page in pages:
        page.screenshot(path=PICTURES / f"{test}-{name}.png")
        page.context.close()
    assert not failures
