"""A line plot with logarithmic axes, as an SVG that reads on light and on dark ground.

Written here, because a plot of this kind is two hundred lines, and a library for it is either many
times the size of everything else that the benchmark needs, or hides its legend in a script. The
same input gives the same bytes: a page can be compared with what it was made from.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 800, 420
LEFT, RIGHT, TOP, BOTTOM = 74, 204, 46, 58
"""Room around the plot; the legend stands on the right."""

LEGEND_STEP = 21
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Look:
    """How one contestant is drawn, everywhere; the second colour is for dark ground."""

    light: str
    dark: str
    mark: str = "circle"
    dashes: str = ""
    thick: float = 1.8


LOOKS = {
    "treadle": Look("#0b5fd8", "#6cb2ff", "circle", thick=3.2),
    "treadle-stock": Look("#0b5fd8", "#6cb2ff", "diamond", "6 4"),
    "treadle-pure": Look("#0b5fd8", "#6cb2ff", "square", "2 3"),
    "asyncio": Look("#767676", "#a8a8a8", "square"),
    "uvloop": Look("#c9540a", "#ff9d54", "triangle"),
    "rloop": Look("#8a3fc0", "#cf9bf5", "diamond"),
    "aiofastnet": Look("#0a7d5a", "#4fd0a5", "cross"),
    "node": Look("#7a7a00", "#cfcf4a", "square", "7 4"),
    "c-epoll": Look("#202020", "#f0f0f0", "cross", "7 4"),
    "c-uring": Look("#a01050", "#ff86b5", "triangle", "7 4"),
}
OTHERS = (
    Look("#006f8f", "#59cdee", "circle", "7 4"),
    Look("#6b4a1f", "#d3ab74", "diamond", "2 3"),
)


@dataclass(frozen=True)
class Point:
    """A figure at one size, and its extremes over the rounds."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One contestant's figures."""

    name: str
    label: str
    points: Sequence[Point]


def plot(title: str, across: str, up: str, ticks: Sequence[float], lines: Sequence[Line]) -> str:
    """The SVG; `across` and `up` name the axes, `ticks` are the sizes along the first one.

    Figures must be above zero; those that are not are left out, as a logarithm has no place for
    them.
    """
    drawn = [Line(line.name, line.label, _positive(line.points)) for line in lines]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        raise ValueError(f"{title}: nothing to draw")
    figures = [y for line in drawn for point in line.points for y in (point.low, point.high)]
    x_axis = _Axis.of([math.log10(tick) for tick in ticks], LEFT, WIDTH - RIGHT, 0.06)
    y_axis = _Axis.of([math.log10(y) for y in figures], HEIGHT - BOTTOM, TOP, 0.08)
    looks = looks_of([line.name for line in drawn])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{_attribute(title)}">',
        f"<style>{_style(looks)}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>',
        *_grid(x_axis, y_axis, ticks),
        *_axis_names(across, up),
    ]
    numbers = {name: i for i, name in enumerate(looks)}
    for line in sorted(drawn, key=lambda line: looks[line.name].thick):
        parts += _drawn(line, looks[line.name], numbers[line.name], x_axis, y_axis)
    parts += _legend(drawn, looks, numbers)
    return "\n".join([*parts, "</svg>", ""])


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """A look for each contestant; those that have none of their own share out the others."""
    strangers = [name for name in names if name not in LOOKS]
    found = {name: LOOKS[name] for name in names if name in LOOKS}
    return found | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(strangers)}


@dataclass(frozen=True)
class _Axis:
    """Where logarithms lie on the paper."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, logs: Sequence[float], start: float, end: float, margin: float) -> "_Axis":
        low, high = min(logs), max(logs)
        room = max((high - low) * margin, 0.12)
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; where these are few, 2 and 5 times them; where still few, 1.5 and 3, too.

        At least two fall onto the axis.
        """
        for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5)):
            found = [
                factor * 10.0**power
                for power in range(math.floor(self.low), math.ceil(self.high) + 1)
                for factor in factors
            ]
            inside = [tick for tick in found if self.low <= math.log10(tick) <= self.high]
            if len(inside) >= 3:
                return inside
        return inside


def _positive(points: Sequence[Point]) -> list[Point]:
    kept = [point for point in points if point.x > 0 and point.y > 0]
    return [Point(p.x, p.y, p.low if p.low > 0 else p.y, p.high) for p in kept]


def _style(looks: dict[str, Look]) -> str:
    """Rules for light ground, and for dark what is different there."""

    def colours(dark: bool) -> Iterator[str]:
        for i, look in enumerate(looks.values()):
            colour = look.dark if dark else look.light
            yield f".c{i}{{stroke:{colour}}} .f{i}{{fill:{colour};stroke:{colour}}}"

    common = (
        f"text{{font-family:{FONT};font-size:12.5px}} .title{{font-size:15px;font-weight:600}} "
        ".line{fill:none} .range{fill:none;stroke-width:1;opacity:.55} .grid{stroke-width:1} "
    )
    light = ".ground{fill:#fff} text{fill:#1b1b1b} .grid{stroke:#dcdcdc} "
    dark = ".ground{fill:#14171c} text{fill:#e8e8e8} .grid{stroke:#343a43} "
    return (
        f"{common}{light}{' '.join(colours(dark=False))} "
        f"@media (prefers-color-scheme: dark){{{dark}{' '.join(colours(dark=True))}}}"
    )


def _grid(x_axis: _Axis, y_axis: _Axis, ticks: Sequence[float]) -> Iterator[str]:
    for tick in ticks:
        x = _(x_axis.at(tick))
        yield f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(tick)}</text>'
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        yield f'<path class="grid" d="M{LEFT} {_(y)}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{_(y + 4)}" text-anchor="end">{short(tick)}</text>'


def _axis_names(across: str, up: str) -> Iterator[str]:
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield (
        f'<text x="{_(middle)}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}'
        " (logarithmic)</text>"
    )
    y = (TOP + HEIGHT - BOTTOM) / 2
    yield (
        f'<text transform="translate(20 {_(y)}) rotate(-90)" text-anchor="middle">{escape(up)}'
        " (logarithmic)</text>"
    )


def _drawn(line: Line, look: Look, index: int, x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    points = sorted(line.points, key=lambda point: point.x)
    places = [(x_axis.at(point.x), y_axis.at(point.y), point) for point in points]
    path = "L".join(f"{_(x)} {_(y)}" for x, y, _point in places)
    yield f'<g class="c{index}"><title>{escape(line.label)}</title>'
    yield f'<path class="line" {_pen(look)} d="M{path}"/>'
    for x, y, point in places:
        if point.high > point.low:
            low, high = y_axis.at(point.low), y_axis.at(point.high)
            yield f'<path class="range" d="M{_(x)} {_(low)}V{_(high)}"/>'
        yield _mark(x, y, look, index)
    yield "</g>"


def _legend(
    lines: Sequence[Line], looks: dict[str, Look], numbers: dict[str, int]
) -> Iterator[str]:
    """In the order in which the lines end on the right, the highest first."""
    x, y = WIDTH - RIGHT + 18, TOP + 8
    for line in sorted(lines, key=lambda line: (-_last(line), line.name)):
        look, index = looks[line.name], numbers[line.name]
        yield f'<g class="c{index}"><path class="line" {_pen(look)} d="M{x} {y}h26"/></g>'
        yield _mark(x + 13, y, look, index)
        yield f'<text x="{x + 34}" y="{y + 4}">{escape(line.label)}</text>'
        y += LEGEND_STEP


def _last(line: Line) -> float:
    return max(line.points, key=lambda point: point.x).y


def _pen(look: Look) -> str:
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    return f'stroke-width="{look.thick}"{dashes}'


def _mark(x: float, y: float, look: Look, index: int) -> str:
    shape = MARKS[look.mark]
    return f'<path class="f{index}" transform="translate({_(x)} {_(y)})" d="{shape}"/>'


MARKS = {
    "circle": "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",
    "square": "M-3.2 -3.2h6.4v6.4h-6.4z",
    "triangle": "M0 -4.2L4 3H-4z",
    "diamond": "M0 -4.6L4 0L0 4.6L-4 0z",
    "cross": "M-3.5 -3.5L3.5 3.5M-3.5 3.5L3.5 -3.5",
}


def short(value: float) -> str:
    """A number as an axis shows it: 100, 10k, 1M, 0.5."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"


def _(number: float) -> str:
    """A coordinate."""
    return f"{number:.1f}".removesuffix(".0")


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})
