"""The JSON: everything raw, and the statistics that the table shows."""

from dataclasses import asdict

from bench import targets
from bench.loops import BASELINE
from bench.results import Results, Spread
from bench.workloads import Workload

SCHEMA = 2


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
                "unit": workload.unit,
                "loops": {
                    loop: _figures(results, workload, loop)
                    for loop in workload.contestants(results.loops)
                },
            }
            for workload in results.workloads
        },
        "runs": [asdict(run) for run in results.runs],
        "targets_apply": targets.objection(results) is None,
        "targets": [
            {
                "workload": verdict.workload.name,
                **asdict(verdict.target),
                "measured": verdict.figure,
                "verdict": verdict.word,
                "remark": verdict.remark,
            }
            for verdict in targets.judged(results)
        ],
    }


def _figures(results: Results, workload: Workload, loop: str) -> dict[str, object]:
    return {
        "figure": _spread(results.spread(workload.name, loop)),
        f"ratio_to_{BASELINE}": _spread(results.ratio(workload, loop)),
        "obstacle": results.obstacle(workload.name, loop),
    }


def _spread(spread: Spread | None) -> dict[str, object] | None:
    return None if spread is None else {**asdict(spread), "steady": spread.steady}
