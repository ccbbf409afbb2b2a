"""The JSON: everything raw, and the statistics that table and page show."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from bench import table, targets
from bench.loops import BASELINE, LABELS, MODULES, SUBJECT
from bench.results import Results, Spread, spread
from bench.workloads import Workload

SCHEMA = 3

SPREAD_OUT = 5
"""Levels of nesting that begin a line of their own: one run, and one loop's figures, are a line."""


def document(
    machine: dict[str, object],
    settings: dict[str, object],
    remarks: list[str],
    everything: list[Results],
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "machine": machine,
        "settings": settings,
        "remarks": remarks,
        "interpreters": [_interpreter(results) for results in everything],
    }


def _interpreter(results: Results) -> dict[str, object]:
    return {
        **asdict(results.interpreter),
        "workloads": {
            workload.name: {
                "what": workload.what,
                "kind": workload.kind,
                "unit": workload.unit,
                "loops": {
                    loop: _figures(results, workload, loop)
                    for loop in workload.contestants(results.loops)
                },
            }
            for workload in results.workloads
        },
        "runs": [asdict(run) for run in results.runs],
        "remarks": list(table.remarks(results)),
        "targets_apply": targets.objection(results) is None,
        "targets": [
            {
                "workload": verdict.workload.name,
                **asdict(verdict.target),
                "limit_text": verdict.target.limit_text(verdict.workload.unit),
                "measured": verdict.figure,
                "verdict": verdict.word,
                "remark": verdict.remark,
            }
            for verdict in targets.judged(results)
        ],
    }


def _figures(results: Results, workload: Workload, loop: str) -> dict[str, object]:
    return {
        "label": LABELS.get(loop, loop),
        "python": loop in MODULES,
        "rounds": len(results.figures(workload.name, loop)),
        "figure": _spread(results.spread(workload.name, loop)),
        f"ratio_to_{BASELINE}": _spread(results.ratio(workload, loop)),
        f"ratio_to_{SUBJECT}": _spread(results.ratio(workload, loop, SUBJECT)),
        "also": dict(_also(results, workload, loop)),
        "obstacle": results.obstacle(workload.name, loop),
    }


def _also(results: Results, workload: Workload, loop: str) -> Iterator[tuple[str, float]]:
    """The medians of the other numbers that each run handed back."""
    details = [run.outcome.detail for run in results.of(workload.name, loop)]
    for key in dict.fromkeys(key for detail in details for key in detail):
        values = [detail.get(key) for detail in details]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        found = spread(numbers)
        if found is not None:
            yield key, found.median


def _spread(spread: Spread | None) -> dict[str, object] | None:
    return None if spread is None else {**asdict(spread), "steady": spread.steady}


def text(value: object, depth: int = 0) -> str:
    """JSON in which what belongs together stands in one line, so that a diff can be read."""
    indent = "\n" + " " * (depth + 1)
    if depth < SPREAD_OUT and isinstance(value, dict) and value:
        items = (f"{json.dumps(key)}: {text(inner, depth + 1)}" for key, inner in value.items())
        return "{" + indent + f",{indent}".join(items) + indent[:-1] + "}"
    if depth < SPREAD_OUT - 1 and isinstance(value, list) and value:
        # what a list holds is a line, but for the interpreters
        deeper = depth + 1 if depth == 1 and isinstance(value[0], dict) else SPREAD_OUT
        inner = (text(item, deeper) for item in value)
        return "[" + indent + f",{indent}".join(inner) + indent[:-1] + "]"
    return json.dumps(value)
