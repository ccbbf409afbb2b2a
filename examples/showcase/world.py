"""The rules of the game, and nothing else: no hub, no clock, no network.

Everybody has a craft that they push about in a walled field. A spark that is touched counts a
point, and another one lights up elsewhere. Crafts that meet bounce off each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, count
from math import hypot
from random import Random
from typing import Any

SIZE = 1400.0  # of a side of the field
SPARKS = 14
CRAFT = 24.0  # radii
SPARK = 11.0
PUSH = 1300.0  # units a second, a second
FRICTION = 2.4  # the part of its speed that a craft loses in a second
BOUNCE = 0.8  # the part of its speed that it keeps at a wall


@dataclass
class Craft:
    """A player's. `dx` and `dy` say where it is pushed to; together they are at most 1."""

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    score: int = 0


@dataclass
class Spark:
    x: float
    y: float


@dataclass
class World:
    """One game. It changes by `step` alone; what players do is what they want meanwhile."""

    random: Random = field(default_factory=Random)
    tick: int = 0
    crafts: dict[str, Craft] = field(default_factory=dict)
    sparks: dict[int, Spark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = count(1)
        while len(self.sparks) < SPARKS:
            self._light()

    def join(self, player: str) -> None:
        """Put a craft somewhere; a player who has one keeps it."""
        if player not in self.crafts:
            self.crafts[player] = Craft(self._somewhere(), self._somewhere())

    def leave(self, player: str) -> None:
        self.crafts.pop(player, None)

    def steer(self, player: str, dx: float, dy: float) -> None:
        """Push a craft in a direction, until it is told otherwise."""
        self.join(player)
        craft = self.crafts[player]
        length = max(1.0, hypot(dx, dy))  # nobody is stronger than others
        craft.dx, craft.dy = dx / length, dy / length

    def step(self, elapsed: float) -> None:
        """Let time pass."""
        self.tick += 1
        for craft in self.crafts.values():
            move(craft, elapsed)
        for one, other in combinations(self.crafts.values(), 2):
            collide(one, other)
        for craft in self.crafts.values():
            self._collect(craft)

    def snapshot(self) -> dict[str, Any]:
        """All that a page has to draw."""
        crafts = ((n, round(c.x, 1), round(c.y, 1), c.score) for n, c in self.crafts.items())
        sparks = ((n, round(s.x), round(s.y)) for n, s in self.sparks.items())
        return {"tick": self.tick, "crafts": list(crafts), "sparks": list(sparks)}

    def _collect(self, craft: Craft) -> None:
        touched = [
            name
            for name, spark in self.sparks.items()
            if hypot(craft.x - spark.x, craft.y - spark.y) < CRAFT + SPARK
        ]
        for name in touched:
            del self.sparks[name]
            craft.score += 1
            self._light()

    def _light(self) -> None:
        self.sparks[next(self._names)] = Spark(self._somewhere(), self._somewhere())

    def _somewhere(self) -> float:
        return self.random.uniform(2 * CRAFT, SIZE - 2 * CRAFT)


def move(craft: Craft, elapsed: float) -> None:
    """Push, slow down, and bounce off the walls."""
    kept = max(0.0, 1.0 - FRICTION * elapsed)
    craft.vx = craft.vx * kept + craft.dx * PUSH * elapsed
    craft.vy = craft.vy * kept + craft.dy * PUSH * elapsed
    craft.x, craft.vx = within(craft.x + craft.vx * elapsed, craft.vx)
    craft.y, craft.vy = within(craft.y + craft.vy * elapsed, craft.vy)


def within(place: float, speed: float) -> tuple[float, float]:
    """Place and speed along one side, after the wall has had its say."""
    if place < CRAFT:
        return CRAFT, abs(speed) * BOUNCE
    if place > SIZE - CRAFT:
        return SIZE - CRAFT, -abs(speed) * BOUNCE
    return place, speed


def collide(one: Craft, other: Craft) -> None:
    """Two crafts of the same weight exchange the speed at which they meet."""
    dx, dy = other.x - one.x, other.y - one.y
    distance = hypot(dx, dy)
    if distance >= 2 * CRAFT:
        return
    nx, ny = (dx / distance, dy / distance) if distance else (1.0, 0.0)
    apart = (2 * CRAFT - distance) / 2
    one.x, one.y = one.x - nx * apart, one.y - ny * apart
    other.x, other.y = other.x + nx * apart, other.y + ny * apart
    meeting = (one.vx - other.vx) * nx + (one.vy - other.vy) * ny
    if meeting > 0:
        one.vx, one.vy = one.vx - meeting * nx, one.vy - meeting * ny
        other.vx, other.vy = other.vx + meeting * nx, other.vy + meeting * ny
