"""Print the requirements of an extra of pyproject.toml, for pip, without treadle itself.

The Makefile installs treadle in its own way (compiled or plain) and the tools beside it.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

OWN = "treadle["


def requirements(extra: str, table: dict[str, list[str]]) -> list[str]:
    """Return the requirements of `extra`, with those of the extras that it names."""
    found: list[str] = []
    for requirement in table[extra]:
        if requirement.startswith(OWN):
            inner = requirement.removeprefix(OWN).removesuffix("]")
            for name in inner.split(","):
                found += requirements(name.strip(), table)
        else:
            found.append(requirement)
    return found


def main() -> int:
    """Print one requirement a line."""
    project = tomllib.loads(Path(__file__).parent.parent.joinpath("pyproject.toml").read_text())
    table = project["project"]["optional-dependencies"]
    for name in sys.argv[1:]:
        if name not in table:
            print(f"no extra {name!r}: choose of {', '.join(table)}", file=sys.stderr)
            return 2
        print("\n".join(requirements(name, table)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
