"""Run the tests with treadle's compiled modules built under the AddressSanitizer.

CPython itself is not instrumented: what is found are treadle's own reads and writes of freed or
foreign memory. ``PYTHONMALLOC=malloc`` sends every object through the sanitizer's allocator:
a dead object is really dead then. What it finds goes to files, for pytest holds back what a dying
process says, and the processes that tests start say it to nobody. Arguments are handed on to
pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build" / "asan"
REPORTS = ROOT / "build" / "asan-reports"
TESTS = tuple(f"tests/{part}" for part in ("core", "drivers", "net", "properties", "aio", "faults"))


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


def reports() -> list[str]:
    """Return what the sanitizer found, one text for each process that it ended."""
    return [path.read_text(errors="replace") for path in sorted(REPORTS.iterdir())]


def main() -> int:
    """Build and test; return pytest's exit code, or 1 when the sanitizer found anything."""
    build()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    environment = {
        **os.environ,
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:log_path={REPORTS}/report",
        "LD_PRELOAD": library(),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(BUILT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += sys.argv[1:] or [test for test in TESTS if (ROOT / test).exists()]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    found = reports()
    for text in found:
        print(text)
    print(f"asan: {len(found)} report(s)")
    return 1 if found else status


if __name__ == "__main__":
    sys.exit(main())
