"""The showcase in two processes over a real Redis, with one window at each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Showcase, Window
from tests.browser.test_chat import bubbles, say
from tests.browser.test_editor import wait_for_text, write
from tests.integration.servers import Redis, programs


@pytest.fixture
def redis() -> Iterator[str]:
    with programs() as make:
        yield f"redis://127.0.0.1:{make(Redis).port}"


@pytest.fixture
def pair(pages_built: None, redis: str) -> Iterator[list[Showcase]]:
    servers = [Showcase("--redis", redis) for _ in range(2)]
    try:
        yield servers
    finally:
        complaints = [server.stop() for server in servers]
    assert complaints == ["", ""]


def test_a_chat_spans_both(window: Window, pair: list[Showcase]) -> None:
    ada, bob = (
        window("chat", name, port=server.port)
        for name, server in zip(("Ada", "Bob"), pair, strict=True)
    )
    expect(ada.locator("#members li")).to_contain_text(["Ada (you)", "Bob"])
    say(ada, "from one")
    say(bob, "from the other")
    for page in (ada, bob):
        expect(bubbles(page)).to_have_count(2)
        expect(bubbles(page).filter(has_text="from one")).to_have_count(1)


def test_a_text_spans_both(window: Window, pair: list[Showcase]) -> None:
    one, other = pair
    ada = window("editor", "Ada", port=one.port)
    write(ada, "warp ")
    expect(ada.locator("#saved")).to_have_text("Saved")
    bob = window("editor", "Bob", port=other.port)
    wait_for_text(bob, "warp ")
    write(bob, "weft")
    wait_for_text(ada, "warp weft")


def test_when_one_ends_the_other_goes_on_with_the_game(
    window: Window, pair: list[Showcase]
) -> None:
    one, other = pair
    ada = window("game", "Ada", port=one.port)
    ada.wait_for_function("showcase.me !== undefined")
    bob = window("game", "Bob", port=other.port)
    bob.wait_for_function("showcase.craft('Ada') !== undefined")
    bob.wait_for_function("showcase.tick > 60")
    one.crash()
    # another game has begun, for the process that ran the first one is no more
    bob.wait_for_function("showcase.tick < 60 && showcase.me !== undefined")
    bob.keyboard.down("ArrowLeft")
    begin = bob.evaluate("showcase.me.x")
    bob.wait_for_function("begin => showcase.me.x !== begin", arg=begin)
