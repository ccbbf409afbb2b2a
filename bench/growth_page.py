"""The part of the page about growth: plots, and their figures as tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import chart, growth, markdown
from bench.growth import Series
from bench.record import Block, Record, Row
from bench.table import number


@dataclass(frozen=True)
class Plot:
    """A series of which at least two sizes were measured."""

    series: Series
    file: str
    svg: str
    blocks: dict[int, Block]


def plots(record: Record, prefix: str) -> list[Plot]:
    """Those that the record has figures for; `prefix` begins the names of their files."""
    found = []
    for series in growth.ALL:
        blocks = {
            size: record.blocks[name]
            for size, name in series.workloads.items()
            if name in record.blocks
        }
        lines = _lines(blocks)
        if len(blocks) > 1 and lines:
            svg = chart.plot(series.title, series.across, series.up, list(blocks), lines)
            found.append(Plot(series, f"{prefix}{series.name}.svg", svg, blocks))
    return found


def _lines(blocks: dict[int, Block]) -> list[chart.Line]:
    points: dict[str, list[chart.Point]] = {}
    for size, block in blocks.items():
        for row in block.rows:
            figure = row.figure
            if figure is not None and figure.median > 0:
                point = chart.Point(size, figure.median, figure.low, figure.high)
                points.setdefault(row.loop, []).append(point)
    labels = {row.loop: row.label for row in _rows(blocks)}
    return [chart.Line(loop, labels[loop], found) for loop, found in points.items()]


def _rows(blocks: dict[int, Block]) -> Iterator[Row]:
    for block in blocks.values():
        yield from block.rows


def section(record: Record, found: Sequence[Plot]) -> list[str]:
    """Nothing where no series was measured."""
    if not found:
        return []
    parts = [
        "## How costs grow",
        "",
        "Both axes are logarithmic. The vertical strokes are the extremes over the rounds; a point",
        "that was measured in one round only has none.",
        "",
    ]
    for plot in found:
        parts += [f"### {plot.series.title}", "", f"![{_alternative(plot)}]({plot.file})", ""]
        parts += ["<details><summary>The figures</summary>", "", *_table(plot), "", "</details>"]
        parts.append("")
    return parts


def _alternative(plot: Plot) -> str:
    return f"{plot.series.title}: {plot.series.up} against {plot.series.across}"


def _table(plot: Plot) -> list[str]:
    labels = {row.loop: row.label for row in _rows(plot.blocks)}
    rows = []
    for size, block in plot.blocks.items():
        cells = [_cell(block.row(loop)) for loop in labels]
        rows.append([f"{size:,}", *cells, str(max(row.rounds for row in block.rows))])
    return markdown.table([plot.series.across, *labels.values(), "rounds"], rows)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if row.figure is None:
        return (row.obstacle or "no figure").partition(":")[0]
    return number(row.figure.median)
