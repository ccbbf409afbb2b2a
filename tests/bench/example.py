"""Results as a run gives them, made up: small, and with every case that a page has to tell of."""

from __future__ import annotations

from bench import document
from bench.interpreter import Interpreter
from bench.outcome import Outcome
from bench.results import Results, Run
from bench.workloads import find

FACTS = {
    "date": "2026-01-02T03:04:05+00:00",
    "system": "Linux",
    "kernel": "6.1",
    "architecture": "x86_64",
    "processor": "Example | 3000",
    "cores": 2,
    "libc": "glibc 2.36",
}
LOOPS = ["asyncio", "uvloop", "rloop", "treadle", "c-epoll"]
# workload -> loop -> figures, one for each round
FIGURES = {
    "call_soon": {"asyncio": [900, 910], "uvloop": [500, 510], "treadle": [80, 90]},
    "sleep0": {
        "asyncio": [900, 900],
        "uvloop": [500, 500],
        "rloop": [300, 310],
        "treadle": [400] * 2,
    },
    "timer": {"uvloop": [500, 500], "treadle": [100, 300]},
    "echo_1k_100": {
        "asyncio": [20.0, 21.0],
        "uvloop": [4.0, 4.1],
        "treadle": [3.4, 3.5],
        "c-epoll": [3.1, 3.2],
    },
    "echo_1k_1000": {"uvloop": [3.9], "treadle": [3.3], "c-epoll": [3.0]},
}


def _outcome(workload: str, figure: float) -> Outcome:
    if workload.startswith("echo"):
        detail = {"per_second": 90_000.0, "p50_us": 300.0, "p99_us": 1200.0, "generator": "c"}
        detail["server_sleeps_per_1000"] = 0.5
        return Outcome(figure=figure, detail=detail)
    return Outcome(figure=figure)


def results(figures=FIGURES, version="3.13.0") -> Results:
    interpreter = Interpreter(
        path="python",
        version=version,
        implementation="CPython",
        build=f"{version} (main)",
        versions={"asyncio": "standard library", "uvloop": "0.23.0", "treadle": "0.1.0"},
        obstacles={},
    )
    runs = [
        Run(number, workload, loop, _outcome(workload, figure), 1.0)
        for workload, loops in figures.items()
        for loop, found in loops.items()
        for number, figure in enumerate(found, 1)
    ]
    found = [find(name) for name in figures]
    return Results(interpreter, [workload for workload in found if workload], LOOPS, runs)


def text(figures=FIGURES, facts=FACTS, version="3.13.0") -> str:
    """The JSON of such a run."""
    content = document.document(facts, {"rounds": 2}, ["a doubt"], [results(figures, version)])
    return document.text(content)
