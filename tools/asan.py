"""Run the tests with treadle's compiled modules built under the AddressSanitizer.

CPython itself is not instrumented: what is found are treadle's own reads and writes of freed or
foreign memory. ``PYTHONMALLOC=malloc`` sends every object through the sanitizer's allocator:
a dead object is really dead then. Arguments are handed on to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build" / "asan"
TESTS = ("tests/core", "tests/drivers", "tests/net", "tests/properties", "tests/aio")


def build() -> None:
    """Compile into a folder of its own; the modules in src stay as they are."""
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(BUILT)]
    command += ["--build-temp", str(ROOT / "build" / "asan-objects")]
    environment = {**os.environ, "TREADLE_BUILD_ASAN": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def library() -> str:
    """Return the path of the sanitizer's runtime, which must be loaded before Python."""
    compiler = os.environ.get("CC", "cc")
    found = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        sys.exit(
            f"{compiler} has no AddressSanitizer runtime; install libasan (Debian: libgcc-dev)"
        )
    return found


def main() -> int:
    """Build and test; return pytest's exit code."""
    build()
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "LD_PRELOAD": library(),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(BUILT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += sys.argv[1:] or [test for test in TESTS if (ROOT / test).exists()]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
