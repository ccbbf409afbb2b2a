"""What `python -m bench` does: look around, run, report, judge."""

import sys
from dataclasses import asdict
from pathlib import Path

from bench import compiler, growth, machine, page, schedule, screen, table, targets
from bench.budget import Budget
from bench.compiler import Built
from bench.document import document, text
from bench.effort import BRIEF, QUICK, effort
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
    wanted = [name for name in compiler.PROGRAMS if name not in compiler.TOOLS]
    built = {name: compiler.build(name) for name in wanted}  # before any measurement
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
    content = text(document(facts, _settings(options), doubts, everything)) + "\n"
    if options.json == "-":
        print(content, end="")
    elif options.json is not None:
        Path(options.json).write_text(content)
    if options.page is not None:
        page.write(options.page, [content])
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
    print(
        "Any tasks_N and timers_N, and any idle_connection_N, idle_stream_N, ... will do as well."
    )
    print()
    for series in growth.ALL:
        what = f"{series.title}; {series.across}: {', '.join(map(str, series.workloads))}"
        print(f"--growth {series.name:<20} {what}")


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
    everything = []
    with screen.progress(quiet=options.json == "-") as report:
        for interpreter in interpreters:
            budget = _budget(options, interpreter, len(interpreters))
            print(f"bench: Python {interpreter.version}: {budget.text()}", file=sys.stderr)

            def announce(step: Step, left: int, version: str = interpreter.version) -> None:
                where = f"Python {version}, round {step.round}"
                report(f"{where}: {step.workload.name}", LABELS.get(step.loop, step.loop), left)

            everything.append(schedule.carry_out(interpreter, options.loops, budget, announce))
    return everything


def _budget(options: Options, interpreter: Interpreter, shares: int) -> Budget:
    return Budget(
        workloads=options.workloads,
        loops=[name for name in options.loops if name not in interpreter.obstacles],
        rounds=options.rounds,
        seconds=None if options.minutes is None else options.minutes * 60 / shares,
        quick=options.quick,
        curves=options.curves,
    )


def _settings(options: Options) -> dict[str, object]:
    return {
        "rounds": options.rounds,
        "quick": options.quick,
        "loops": options.loops,
        "workloads": [workload.name for workload in options.workloads],
        "minutes": options.minutes,
        "curves": sorted(options.curves),
        "effort": asdict(effort(options.quick)),
        "effort_of_curves": asdict(QUICK if options.quick else BRIEF),
    }


def _show(
    options: Options, facts: dict[str, object], doubts: list[str], everything: list[Results]
) -> None:
    print(f"{facts['date']}  {facts['processor']}, {facts['cores']} core(s)")
    print(f"{facts['system']} {facts['kernel']} {facts['architecture']}, {facts['libc']}")
    print("medians over the rounds, lower is better")
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
