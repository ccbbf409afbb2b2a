"""The game of the showcase, in two windows."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import PHONE, Window

SEES = "name => showcase.craft(name) !== undefined"


def place(page: Page, name: str) -> float:
    return page.evaluate("name => showcase.craft(name).x", name)


def test_a_move_made_in_one_window_appears_in_the_other(window: Window) -> None:
    ada, bob = window("game", "Ada"), window("game", "Bob", size=PHONE)
    for page in (ada, bob):
        page.wait_for_function(SEES, arg="Ada")
        page.wait_for_function(SEES, arg="Bob")
    begin, still = place(bob, "Ada"), place(bob, "Bob")
    key = "ArrowRight" if begin < 700 else "ArrowLeft"
    ada.keyboard.down(key)
    bob.wait_for_function("begin => Math.abs(showcase.craft('Ada').x - begin) > 60", arg=begin)
    ada.keyboard.up(key)
    assert abs(place(bob, "Bob") - still) < 60  # nobody pushed it, but Ada may have bumped it


def test_a_craft_follows_the_finger(window: Window) -> None:
    bob = window("game", "Bob", size=PHONE)
    bob.wait_for_function("showcase.me !== undefined")
    begin = bob.evaluate("showcase.me.y")
    bob.mouse.move(200, 700 if begin < 700 else 100)
    bob.mouse.down()
    bob.wait_for_function("begin => Math.abs(showcase.me.y - begin) > 60", arg=begin)
    bob.mouse.up()


def test_with_the_network_cut_and_restored_the_game_goes_on(window: Window) -> None:
    ada, bob = window("game", "Ada"), window("game", "Bob")
    bob.wait_for_function(SEES, arg="Ada")
    ada.cable.cut()
    ada.wait_for_selector("#state:not([data-state=online])")
    bob.wait_for_function("showcase.craft('Ada') === undefined")  # gone from the field
    ada.cable.restore()
    tick = ada.evaluate("showcase.tick ?? 0")
    ada.wait_for_function("tick => showcase.tick > tick + 10", arg=tick)
    bob.wait_for_function(SEES, arg="Ada")
    assert ada.evaluate("showcase.me.score") == 0
