"""The showcase's page of figures."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Window


def test_a_window_that_is_opened_is_counted_in_the_other(window: Window) -> None:
    first = window("stats", "Ada")
    expect(first.locator("#tile-connections")).to_have_text("1")
    expect(first.locator("#tile-rooms")).to_have_text("1")
    window("chat", "Bob")
    expect(first.locator("#tile-connections")).to_have_text("2")
    expect(first.locator("#tile-rooms")).to_have_text("3")
    expect(first.locator("#foot")).to_contain_text("Backend: up.")


def test_every_figure_has_a_plot_that_is_drawn(window: Window) -> None:
    page = window("stats", "Ada", size=PHONE)
    expect(page.locator("#tile-delivered")).not_to_have_text("… /s")
    plots = page.locator(".plot canvas")
    expect(plots).to_have_count(6)
    drawn = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
                            .data.some(value => value !== 0)"""
    assert all(plot.evaluate(drawn) for plot in plots.all())


def test_a_page_that_is_opened_later_shows_what_was_before(window: Window) -> None:
    first = window("stats", "Ada")
    expect(first.locator("#tile-delivered")).not_to_have_text("… /s")
    second = window("stats", "Bob")
    expect(second.locator("#tile-connections")).to_have_text("2")
    expect(second.locator("#foot")).to_contain_text("out of history for clients")
    expect(second.locator("#foot")).not_to_contain_text("clients: 0.")
