"""Serve the showcase: `python -m showcase` in the folder `examples`."""

from __future__ import annotations

import sys

try:
    from showcase.serve import main
except ModuleNotFoundError as missing:
    if missing.name in ("showcase", "treadle"):
        raise
    sys.exit(f"The showcase needs {missing.name}: pip install 'treadle[showcase]'")

if __name__ == "__main__":
    main()
