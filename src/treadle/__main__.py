"""``python -m treadle``, and the command ``treadle``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Do what the command line says; where its library is missing, say how to get it."""
    try:
        # late: `import treadle` needs nothing that is not in Python, only the command does
        from treadle import cli
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "click":
            raise
        sys.exit('treadle: the command line needs click: pip install "treadle[cli]"')
    cli.main()


if __name__ == "__main__":
    main()
