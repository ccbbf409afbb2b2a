"""The chat of the showcase, in two windows."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Window


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def bubbles(page: Page):
    """The lines that the server has."""
    return page.locator(".line:not(.waiting) .bubble")


def test_a_line_said_in_one_window_appears_in_the_other(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob", size=PHONE)
    say(ada, "Is the loom ready?")
    expect(bubbles(bob)).to_have_text(["Is the loom ready?"])
    say(bob, "Nearly.")
    expect(bubbles(ada)).to_have_text(["Is the loom ready?", "Nearly."])
    expect(ada.locator(".line:not(.mine) .who b")).to_have_text(["Bob"])


def test_after_a_reload_the_history_is_there(window: Window) -> None:
    ada = window("chat", "Ada")
    said = ["one", "two", "three"]
    for text in said:
        say(ada, text)
    expect(bubbles(ada)).to_have_text(said)
    ada.reload()
    expect(bubbles(ada)).to_have_text(said)
    expect(ada.locator(".line.mine")).to_have_count(3)


def test_it_shows_who_is_here_and_who_went(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob")
    expect(ada.locator("#members li")).to_contain_text(["Ada (you)", "Bob"])
    bob.goto(f"{bob.cable.address}/web/licences.txt")
    expect(ada.locator("#members li")).to_contain_text(["Ada (you)"])


def test_it_shows_who_is_typing_until_they_have_said_it(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob")
    bob.type("#text", "Well")
    expect(ada.locator("#typing")).to_have_text("Bob is typing…")
    bob.press("#text", "Enter")
    expect(ada.locator("#typing")).to_have_text("")


def test_rooms_are_apart(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob")
    bob.fill("#room-name", "Dyes")
    bob.press("#room-name", "Enter")
    expect(bob.locator("#topic")).to_have_text("dyes")
    say(bob, "only here")
    say(ada, "only there")
    expect(bubbles(bob)).to_have_text(["only here"])
    expect(bubbles(ada)).to_have_text(["only there"])


def test_with_the_network_cut_and_restored_nothing_is_missing_or_doubled(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob")
    say(bob, "before")
    expect(bubbles(ada)).to_have_text(["before"])

    bob.cable.cut()
    expect(bob.locator("#state")).not_to_have_attribute("data-state", "online")
    for number in range(5):
        say(ada, f"ada {number}")
        say(bob, f"bob {number}")
    from_ada = [f"ada {number}" for number in range(5)]
    from_bob = [f"bob {number}" for number in range(5)]
    expect(bubbles(ada)).to_have_text(["before", *from_ada])
    expect(bob.locator(".line.waiting .bubble")).to_have_text(from_bob)

    bob.cable.restore()
    for page in (ada, bob):
        expect(bubbles(page)).to_have_text(["before", *from_ada, *from_bob])
    expect(bob.locator(".line.waiting")).to_have_count(0)


def test_a_line_whose_answer_was_lost_is_not_said_twice(window: Window) -> None:
    ada, bob = window("chat", "Ada"), window("chat", "Bob")
    for number in range(4):  # each time, the cut comes somewhere between the line and its answer
        say(bob, f"line {number}")
        bob.cable.cut()
        bob.cable.restore()
        expect(bob.locator("#state")).to_have_attribute("data-state", "online")
    for page in (ada, bob):
        expect(bubbles(page)).to_have_text([f"line {number}" for number in range(4)])
