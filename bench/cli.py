"""What `python -m bench` does: look around, run, report, judge."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench import compiler, machine, schedule, screen, table, targets
from bench.compiler import Built
from bench.document import document
from bench.effort import effort
from bench.interpreter import Interpreter, UnusableError, inspect
from bench.loops import LABELS
from bench.options import Options, parse
from bench.results import Results
from bench.schedule import Step
from bench.workloads import CATALOGUE, STYLES

PACKAGES = ("uvloop", "rloop", "treadle", "aiofastnet")
"""Loops that have a version of their own."""


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 when --check finds a target missed, 2 when a name is wrong."""
    options = parse(arguments)
    if options.listing:
        _list()
        return 0
    facts = machine.facts()
    built = {name: compiler.build(name) for name in compiler.PROGRAMS}  # before any measurement
    doubts = _doubts(options, built)
    try:
        interpreters = _interpreters(options, built)
        everything = _run(options, interpreters)
    except UnusableError as error:
        print(f"bench: --python: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    if options.json is not None:
        _write(options, document(facts, _settings(options), doubts, everything))
    if options.json != "-":
        _show(options, facts, doubts, everything)
    return _verdict(everything) if options.check else 0


def _list() -> None:
    for workload in CATALOGUE.values():
        aims = [target.text(workload.unit) for target in targets.promised(workload.name)]
        aim = f" [target: {', '.join(aims)}]" if aims else ""
        print(f"{workload.name:<23} {workload.unit:>3}  {workload.what}{aim}")
    print()
    print("Any echo_[STYLE_]SIZE_CONNECTIONS will do, as echo_4k_50 or echo_tls_16k_2; of styles")
    print(f"there are {', '.join(style for style in STYLES if style != 'protocol')}.")


def _doubts(options: Options, built: dict[str, Built]) -> list[str]:
    """Why the figures of this run are not for quoting."""
    quick = ["--quick: runs too short to quote"] if options.quick else []
    obstacles = {name: found.obstacle for name, found in built.items() if found.obstacle}
    missing = [f"bench/c: no {name}: {obstacle}" for name, obstacle in obstacles.items()]
    return [*machine.remarks(), *quick, *missing]


def _interpreters(options: Options, built: dict[str, Built]) -> list[Interpreter]:
    obstacle = built["echo_epoll"].obstacle or None
    return [inspect(path, obstacle) for path in options.pythons]


def _run(options: Options, interpreters: list[Interpreter]) -> list[Results]:
    steps = len(schedule.plan(options.workloads, options.loops, options.rounds))
    everything = []
    with screen.progress(steps * len(interpreters), quiet=options.json == "-") as report:
        for interpreter in interpreters:

            def announce(step: Step, version: str = interpreter.version) -> None:
                where = f"Python {version}, round {step.round}/{options.rounds}"
                report(f"{where}: {step.workload.name}", LABELS.get(step.loop, step.loop))

            everything.append(
                schedule.carry_out(
                    interpreter,
                    options.workloads,
                    options.loops,
                    options.rounds,
                    options.quick,
                    announce,
                )
            )
    return everything


def _settings(options: Options) -> dict[str, object]:
    return {
        "rounds": options.rounds,
        "quick": options.quick,
        "loops": options.loops,
        "workloads": [workload.name for workload in options.workloads],
        "effort": asdict(effort(options.quick)),
    }


def _write(options: Options, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=1)
    if options.json == "-" or options.json is None:
        print(text)
    else:
        Path(options.json).write_text(text + "\n")


def _show(
    options: Options, facts: dict[str, object], doubts: list[str], everything: list[Results]
) -> None:
    print(f"{facts['date']}  {facts['processor']}, {facts['cores']} core(s)")
    print(f"{facts['system']} {facts['kernel']} {facts['architecture']}, {facts['libc']}")
    print(f"{options.rounds} round(s), medians, lower is better")
    for results in everything:
        found = results.interpreter
        versions = (f"{name} {found.versions.get(name, '-')}" for name in PACKAGES)
        print()
        print(f"{found.implementation} {found.version}; {', '.join(versions)}")
        print()
        screen.show(table.HEADINGS, table.NUMERIC, table.groups(results))
        print()
        for remark in table.remarks(results):
            print(f"note: {remark}")
    for doubt in doubts:
        print(f"note: {doubt}")


def _verdict(everything: list[Results]) -> int:
    missed = targets.missed(everything)
    for line in missed:
        print(f"bench: missed: {line}", file=sys.stderr)
    return 1 if missed else 0
