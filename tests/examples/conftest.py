"""Examples are programs of their own: their folder is where Python looks for them."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.hub.conftest import run, virtual_loop  # noqa: F401  (pytest finds them here)

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
