"""The rules of the showcase's game."""

from __future__ import annotations

from math import hypot
from random import Random

import pytest

from showcase.world import CRAFT, SIZE, SPARKS, Craft, Spark, World

STEP = 1 / 30


@pytest.fixture
def world():
    return World(random=Random(1))


def alone(world, **craft):
    """The only craft, with no spark near."""
    world.sparks.clear()
    world.crafts["ada"] = Craft(**{"x": SIZE / 2, "y": SIZE / 2, **craft})
    return world.crafts["ada"]


def test_a_craft_goes_where_it_is_pushed_and_then_slows_down(world):
    craft = alone(world)
    world.steer("ada", 1, 0)
    for _ in range(30):
        world.step(STEP)
    fast = craft.vx
    assert craft.x > SIZE / 2
    assert craft.y == SIZE / 2
    world.steer("ada", 0, 0)
    for _ in range(30):
        world.step(STEP)
    assert 0 < craft.vx < fast / 5


def test_nobody_is_stronger_by_asking_for_more(world):
    craft = alone(world)
    world.steer("ada", 300, 400)
    assert hypot(craft.dx, craft.dy) == pytest.approx(1)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_nobody_leaves_the_field(world, dx, dy):
    craft = alone(world)
    world.steer("ada", dx, dy)
    for _ in range(300):
        world.step(STEP)
        assert CRAFT <= craft.x <= SIZE - CRAFT
        assert CRAFT <= craft.y <= SIZE - CRAFT


def test_a_spark_that_is_touched_counts_and_another_one_lights_up(world):
    craft = alone(world)
    world.sparks[1000] = Spark(craft.x + CRAFT, craft.y)
    world.step(STEP)
    assert craft.score == 1
    assert 1000 not in world.sparks
    assert len(world.sparks) == 1


def test_there_are_always_as_many_sparks(world):
    world.steer("ada", 0.7, 0.7)
    for _ in range(600):
        world.step(STEP)
        assert len(world.sparks) == SPARKS


def test_crafts_that_meet_exchange_their_speed_and_are_apart_after(world):
    one = alone(world, x=600.0, vx=300.0)
    other = world.crafts["bob"] = Craft(x=600.0 + 2 * CRAFT - 1, y=SIZE / 2)
    world.step(STEP)
    assert one.vx == pytest.approx(0)
    assert other.vx > 200
    assert other.x - one.x >= 2 * CRAFT - 1e-6


def test_crafts_at_the_very_same_place_come_apart(world):
    one = alone(world)
    other = world.crafts["bob"] = Craft(one.x, one.y)
    world.step(STEP)
    assert other.x - one.x == pytest.approx(2 * CRAFT)


def test_a_player_who_joins_again_keeps_their_craft(world):
    world.steer("ada", 1, 0)
    craft = world.crafts["ada"]
    craft.score = 7
    world.join("ada")
    assert world.crafts["ada"] is craft


def test_who_left_is_not_in_the_next_state(world):
    world.steer("ada", 1, 0)
    world.leave("ada")
    world.leave("ada")
    world.step(STEP)
    assert world.snapshot()["crafts"] == []
