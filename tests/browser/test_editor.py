"""The editor of the showcase, in two windows."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Window


def write(page: Page, text: str) -> None:
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type(text)


# What is written, without the names at cursors.
TEXT = """[...document.querySelectorAll('.cm-line')].map(line => {
  const copy = line.cloneNode(true);
  copy.querySelectorAll('.cm-ySelectionCaret').forEach(caret => caret.remove());
  return copy.textContent;
}).join('\\n')"""


def wait_for_text(page: Page, wanted: str) -> None:
    page.wait_for_function(f"wanted => {TEXT} === wanted", arg=wanted)


def test_an_edit_made_in_one_window_appears_in_the_other(window: Window) -> None:
    ada, bob = window("editor", "Ada"), window("editor", "Bob", size=PHONE)
    write(ada, "# Warp\n")
    wait_for_text(bob, "# Warp\n")
    write(bob, "and weft")
    wait_for_text(ada, "# Warp\nand weft")


def test_the_cursors_of_others_are_shown_and_go_with_them(window: Window) -> None:
    ada, bob = window("editor", "Ada"), window("editor", "Bob")
    write(bob, "here")
    caret = ada.locator(".cm-ySelectionInfo")
    expect(caret).to_have_text("Bob")
    bob.goto(f"{bob.cable.address}/web/licences.txt")
    expect(caret).to_have_count(0)


def test_a_window_that_is_opened_later_has_the_text(window: Window) -> None:
    ada = window("editor", "Ada")
    write(ada, "one\ntwo")
    expect(ada.locator("#saved")).to_have_text("Saved")
    ada.reload()
    wait_for_text(ada, "one\ntwo")
    wait_for_text(window("editor", "Bob"), "one\ntwo")


def test_with_the_network_cut_and_restored_edits_of_both_are_there_once(window: Window) -> None:
    ada, bob = window("editor", "Ada"), window("editor", "Bob")
    write(ada, "before\n")
    wait_for_text(bob, "before\n")

    bob.cable.cut()
    expect(bob.locator("#state")).not_to_have_attribute("data-state", "online")
    write(bob, "bob was away\n")
    expect(bob.locator("#saved")).to_have_text("Kept here, sent later")
    ada.locator(".cm-content").focus()
    ada.keyboard.press("Control+Home")
    ada.keyboard.type("ada stayed\n")
    wait_for_text(ada, "ada stayed\nbefore\n")
    assert bob.evaluate(TEXT) == "before\nbob was away\n"

    bob.cable.restore()
    for page in (ada, bob):
        wait_for_text(page, "ada stayed\nbefore\nbob was away\n")
    expect(bob.locator("#saved")).to_have_text("Saved")
