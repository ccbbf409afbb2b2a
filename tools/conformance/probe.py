"""Tells, as JSON, what an interpreter has: its version, the loop's, and the test modules."""

from __future__ import annotations

import json
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from tools.conformance import loops


def modules() -> list[str]:
    """Return the names of asyncio's test modules; none where they are not installed."""
    try:
        spec = find_spec("test.test_asyncio")
    except ModuleNotFoundError:
        return []
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(next(iter(spec.submodule_search_locations)))
    return sorted(file.stem for file in folder.glob("test_*.py"))


def main() -> int:
    """Print the facts; 1 with a line on stderr when the loop cannot be had."""
    loop, with_aio = sys.argv[1], sys.argv[2:] == ["aio"]
    try:
        description = loops.describe(loop)
        if with_aio and loop == "treadle":
            description += ", its names in asyncio's place"
        elif with_aio:
            description += f", the names of {loops.describe('treadle')} in asyncio's place"
    except ImportError as error:
        print(f"{sys.executable}: {error}: cannot test {loop}", file=sys.stderr)
        return 1
    version = platform.python_version()
    print(json.dumps({"version": version, "loop": description, "modules": modules()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
