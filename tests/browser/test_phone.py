"""All pages on a telephone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import PHONE, Window

# What sticks out to the right, though it is not in something that can be moved sideways.
STICKS_OUT = """[...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".rooms, .u-wrap, .cm-editor") &&
    element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("name", ["chat", "game", "editor", "stats"])
def test_nothing_is_wider_than_the_window_however_long_a_name_is(window: Window, name: str) -> None:
    page = window(name, "Wolfeschlegelsteinhausen", size=PHONE)  # in a room named like this test
    page.wait_for_load_state("networkidle")
    assert page.evaluate(STICKS_OUT) == []
