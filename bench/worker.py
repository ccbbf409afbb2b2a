"""One run, in this process: `python -m bench.worker WORKLOAD LOOP full|brief|quick`.

It prints one line of JSON, the fields of an `Outcome`. `python -m bench.worker probe` instead tells
about the interpreter and which loops it can make.
"""

import asyncio
import json
import platform
import sys
import traceback
from dataclasses import asdict, replace
from typing import cast

from bench import echo, growing, idle, imports, loops, memory, programs, spawn, startup, stopwatch
from bench.effort import EFFORTS, Effort, Size
from bench.micro import PROGRAMS
from bench.outcome import Outcome
from bench.primitives import PRIMITIVES
from bench.workloads import Shape, crowd, find


def main(arguments: list[str]) -> int:
    if arguments == ["probe"]:
        print(json.dumps(probe()))
        return 0
    name, loop, size = arguments
    try:
        outcome = run(name, loop, EFFORTS[cast(Size, size)])
    except NotImplementedError as error:
        outcome = Outcome(cannot=loops.missing_method(error))
    except loops.CannotError as error:
        outcome = Outcome(cannot=str(error))
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome(error=f"{type(error).__name__}: {error}")
    print(json.dumps(asdict(outcome)))
    return 0


def run(name: str, loop: str, size: Effort) -> Outcome:
    workload = find(name)
    assert workload is not None, name
    if many := crowd(name):
        name, count = many
        size = replace(size, connections=count, tls_connections=count, objects=count)
    match workload.kind:
        case "micro":
            return _micro(name, loop, size)
        case "echo":
            shape = Shape.parse(name)
            assert shape is not None
            return echo.run(shape, loop, size)
        case "handshakes":
            return echo.handshakes(loop, size)
        case "spawn":
            return spawn.run(loop, size)
        case "idle":
            return idle.run(name, loop, size)
        case "memory":
            if many := crowd(name):
                name, count = many
                size = replace(size, objects=count)
            return memory.run(name, loop, size)
        case "import":
            return imports.run(loop, size)
        case "startup":
            return startup.run(loop, size)
        case "program":
            return programs.run(name, loop, size)


def _micro(name: str, loop_name: str, size: Effort) -> Outcome:
    loop = loops.new_loop(loop_name)
    asyncio.set_event_loop(loop)
    if name in PRIMITIVES:
        micro = PRIMITIVES[name].micro(loop_name)
    else:
        micro = PROGRAMS.get(name) or growing.micro(name)
    timing = stopwatch.measure(micro, loop, size.micro_seconds, size.repeats)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    return Outcome(figure=timing.best, detail={"all": timing.all, "operations": timing.operations})


def probe() -> dict[str, object]:
    """Facts about this interpreter and the loops in it."""
    found = {}
    for name in loops.MODULES:
        obstacle = loops.obstacle(name)
        found[name] = (
            {"version": loops.version(name)} if obstacle is None else {"obstacle": obstacle}
        )
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": sys.version,
        "loops": found,
        "packages": programs.versions(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
