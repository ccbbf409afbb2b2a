"""A tour of asynchronous programming, live, on real sockets.

    python examples/tour.py            the whole tour, about half a minute
    python examples/tour.py --quick    the same in a few seconds, with smaller numbers

Six ideas, each with a few sentences and a demonstration that verifies itself: concurrency,
non-blocking operations, the event loop, callbacks, promises, coroutines. Then thousands of
clients in one process, and a table that compares blocking sockets, asyncio and treadle. The
chapters are the files in `_tour/`; nothing leaves 127.0.0.1.

Exit codes: 0 all was as promised, 1 something was not, 2 wrong options, 130 Ctrl-C.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from time import perf_counter
from typing import TextIO

try:
    import click
    from rich.console import Console

    import treadle
    from _tour import (
        callbacks,
        compare,
        concurrency,
        coroutines,
        crowd,
        eventloop,
        futures,
        nonblocking,
    )
    from _tour.scale import FULL, QUICK, Scale
    from _tour.stage import Figures, Stage, TourFailed
except ModuleNotFoundError as missing:
    if missing.name not in ("click", "rich", "treadle"):
        raise
    sys.exit(f'The tour needs {missing.name}, which is missing: pip install "treadle[cli]"')

CONCEPTS = {
    "concurrency": concurrency,
    "non_blocking": nonblocking,
    "event_loop": eventloop,
    "callbacks": callbacks,
    "futures": futures,
    "coroutines": coroutines,
}


async def chapters(stage: Stage, scale: Scale) -> Figures:
    """The six ideas and the crowd, all on the treadle loop that runs this."""
    concepts: Figures = {}
    for name, concept in CONCEPTS.items():
        stage.chapter(concept.TITLE, concept.EXPLANATION)
        concepts[name] = await concept.show(stage, scale)
    stage.chapter(crowd.TITLE, crowd.EXPLANATION)
    return {"concepts": concepts, "crowd": await crowd.show(stage, scale)}


def tour(stage: Stage, scale: Scale) -> Figures:
    """Everything; returns the final figures."""
    begin = perf_counter()
    figures = treadle.run(chapters(stage, scale))
    stage.chapter(compare.TITLE, compare.EXPLANATION)
    figures["table"] = compare.show(stage, scale)
    figures["seconds"] = round(perf_counter() - begin, 2)
    figures["python"] = platform.python_version()
    figures["treadle"] = treadle.__version__
    figures["compiled"] = treadle.COMPILED
    stage.say()
    stage.say(f"All of it was verified. The tour took {figures['seconds']} s.")
    return figures


def sized(scale: Scale, clients: int | None) -> Scale:
    """`scale` with as many clients as were asked for, or as many as can be."""
    most = crowd.most_clients()
    if most < 1:
        raise click.UsageError("The limit on open files is too low for the tour (ulimit -n).")
    if clients is None:
        return replace(scale, clients=min(scale.clients, most))
    if clients > most:
        raise click.BadParameter(
            f"{clients:,} clients need {2 * clients + crowd.RESERVE:,} open files; the limit here "
            f"allows {most:,} clients. Ask for fewer, or raise the limit (ulimit -n).",
            param_hint="--clients",
        )
    return replace(scale, clients=clients)


@click.command(help="Asynchronous programming on real sockets: six ideas, a crowd, a table.")
@click.option("--quick", is_flag=True, help="Smaller numbers: a few seconds.")
@click.option("--clients", type=click.IntRange(min=1), help="How many clients in the crowd.")
@click.option("--json", "as_json", is_flag=True, help="Figures on stdout, the rest on stderr.")
def main(quick: bool, clients: int | None, as_json: bool) -> None:
    """Options, output and exit codes; the tour itself is `tour`."""
    scale = sized(QUICK if quick else FULL, clients)
    shown_on: TextIO = sys.stderr if as_json else sys.stdout
    try:
        figures = tour(Stage(Console(file=shown_on)), scale)
    except (TourFailed, OSError) as failure:
        sentence = str(failure) or "An answer that should have come at once did not come."
        click.echo(f"The tour failed: {sentence}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("\nStopped by Ctrl-C.", err=True)
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(figures))


if __name__ == "__main__":
    main()
