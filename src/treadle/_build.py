"""Which of the two treadles is running: the compiled one or the plain one.

The compiled modules and their sources lie side by side, and Python prefers the compiled ones. With
``TREADLE_PURE=1`` a finder put in front takes the sources. Running uncompiled is always somebody's
choice: that variable when the program runs, or the same variable when treadle was installed, which
leaves a marker. A package whose compiled modules are missing without that choice does not import.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType

__all__ = ["COMPILED", "WHY_PURE"]

_HERE = os.path.dirname(os.path.abspath(__file__))
_MARKER = os.path.join(_HERE, ".build-pure")  # written by an installation that chose to be plain


class _SourceFinder:
    """Finds treadle's modules in their sources only."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("treadle."):
            return None
        folder = os.path.join(_HERE, *name.split(".")[1:-1])
        return FileFinder(folder, (SourceFileLoader, [".py"])).find_spec(name)


def _has_compiled_modules() -> bool:
    core = os.path.join(_HERE, "_core", "wheel")
    return any(os.path.exists(core + suffix) for suffix in EXTENSION_SUFFIXES)


def _why_pure() -> str | None:
    """Return the choice that made this treadle a plain one, or None for a compiled one."""
    if os.environ.get("TREADLE_PURE", "") not in ("", "0"):
        return "TREADLE_PURE is set"
    if _has_compiled_modules():
        return None
    if os.path.exists(_MARKER):
        return "treadle was installed with TREADLE_PURE=1"
    raise ImportError(
        f"treadle's compiled modules for Python {sys.version_info[0]}.{sys.version_info[1]} are "
        "missing. Install treadle for this Python (a C compiler is needed), or choose to run it "
        "uncompiled: set TREADLE_PURE=1."
    )


WHY_PURE = _why_pure()
COMPILED = WHY_PURE is None

if not COMPILED:
    sys.meta_path.insert(0, _SourceFinder)
