"""A flame graph as an SVG: what calls what, and where the cost is.

Each box is a function in the company of those that called it, below it; its width is its share of
the cost. Order from left to right is alphabetical and means nothing. The file has no script: every
box tells its whole name and share when the pointer rests on it, in a browser.
"""

import colorsys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from bench import symbols

WIDTH = 1400
ROW = 17
TOP = 58
BOTTOM = 14
SIDE = 10
LETTER = 6.6
"""About as wide is a letter."""

THINNEST = 0.4
"""Boxes that would be narrower, in pixels, are left out."""

COMMON = 0.99
"""A frame with so large a part of the cost is no news, nor is what called it."""

HUES = {"treadle": (208, 62), "python": (42, 78), "kernel": (0, 0), "other": (140, 32)}
"""Kind of frame -> hue and saturation."""

Stack = tuple[str, ...]
"""Names from the outermost frame to the innermost one."""


@dataclass
class Box:
    """A frame and what it called."""

    cost: float = 0.0
    inner: dict[str, "Box"] = field(default_factory=dict)

    def add(self, stack: Sequence[str], cost: float) -> None:
        self.cost += cost
        box = self
        for name in stack:
            box = box.inner.setdefault(name, Box())
            box.cost += cost


def tree(stacks: Mapping[Stack, float]) -> Box:
    root = Box()
    for stack, cost in stacks.items():
        root.add(stack, cost)
    return root


def draw(title: str, subtitle: str, unit: str, stacks: Mapping[Stack, float]) -> str:
    """The SVG; raises ValueError when there is nothing to show."""
    root = tree(stacks)
    if root.cost <= 0:
        raise ValueError("nothing was recorded")
    root = _without_base(root)
    scale = (WIDTH - 2 * SIDE) / root.cost
    depth = _depth(root, scale)
    height = TOP + depth * ROW + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="ui-monospace, Menlo, Consolas, monospace" '
        'font-size="11">',
        f"<style>{_style()}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{SIDE}" y="22" font-size="15">{escape(title)}</text>',
        f'<text class="title" x="{SIDE}" y="42">{escape(subtitle)}</text>',
        *_boxes(root, scale, depth, unit, root.cost),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _without_base(root: Box) -> Box:
    """Without the outermost frames, as long as one alone has all but a few of the costs.

    The last of them stays: the picture stands on it.
    """
    while len(root.inner) == 1 or _main(root).cost >= COMMON * root.cost:
        inner = _main(root)
        if not inner.inner or _main(inner).cost < COMMON * root.cost:
            break
        root = inner
    return root


def _main(box: Box) -> Box:
    return max(box.inner.values(), key=lambda inner: inner.cost)


def _depth(box: Box, scale: float) -> int:
    deep = [_depth(inner, scale) for inner in box.inner.values() if inner.cost * scale > THINNEST]
    return 1 + max(deep) if deep else 0


def _boxes(box: Box, scale: float, depth: int, unit: str, total: float) -> Iterator[str]:
    """All that can be seen, from the bottom up; without recursion, as stacks may be deep."""
    waiting = [(box, float(SIDE), 0)]
    while waiting:
        outer, x, level = waiting.pop()
        for name in sorted(outer.inner):
            inner = outer.inner[name]
            width = inner.cost * scale
            if width > THINNEST:
                y = TOP + (depth - level - 1) * ROW
                yield _drawn(name, x, y, width, f"{inner.cost:,.0f} {unit}", inner.cost / total)
                waiting.append((inner, x, level + 1))
            x += width


def _drawn(name: str, x: float, y: int, width: float, cost: str, share: float) -> str:
    shade = zlib.crc32(name.encode()) % 3
    place = f'x="{x:.1f}" y="{y}" width="{max(width - 0.4, 0.3):.1f}" height="{ROW - 1}"'
    rectangle = f'<rect class="{kind(name)}{shade}" {place} rx="1.5"/>'
    letters = int((width - 6) / LETTER)
    brief = symbols.brief(name)
    shown = brief if len(brief) <= letters else f"{brief[: letters - 1]}…"
    label = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(shown)}</text>' if letters >= 3 else ""
    tip = escape(f"{name}: {share:.1%}, {cost}")
    return f"<g><title>{tip}</title>{rectangle}{label}</g>"


def kind(name: str) -> str:
    """Whose frame this is: `bench.symbols` writes the module of compiled treadle before it."""
    if name.startswith(symbols.OURS) or symbols.is_line(name):
        return "treadle"
    if name.startswith(("Py", "_Py", "py::", "[Python]")):
        return "python"
    return "kernel" if name.startswith("[kernel]") else "other"


def _colour(hue: int, lightness: int, saturation: int) -> str:
    """Written as every viewer knows it."""
    parts = colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _style() -> str:
    def rules(dark: bool) -> Iterator[str]:
        for name, (hue, saturation) in HUES.items():
            for shade in range(3):
                light = (30 if dark else 74) + 4 * shade
                yield f".{name}{shade}{{fill:{_colour(hue, light, saturation)}}}"

    return (
        "g:hover rect{stroke:#d0021b;stroke-width:1.2} .ground{fill:#fff} text{fill:#111} "
        f"{' '.join(rules(dark=False))} @media (prefers-color-scheme: dark)"
        f"{{.ground{{fill:#14171c}} text{{fill:#eee}} {' '.join(rules(dark=True))}}}"
    )
