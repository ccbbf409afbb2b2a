"""Builds the compiled modules, from one explicit list.

``TREADLE_PURE=1`` builds none and leaves a marker that says so. Otherwise a module that does not
compile fails the build: there is no silent fallback.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

PURE = os.environ.get("TREADLE_PURE", "") not in ("", "0")
TRACE = os.environ.get("TREADLE_BUILD_TRACE", "") not in ("", "0")  # Cython's annotated pages
SANITIZE = os.environ.get("TREADLE_BUILD_ASAN", "") not in ("", "0")
DECLARATIONS = sorted(map(str, Path("src/treadle").rglob("*.pxd")))  # one may lay out all
JOBS = os.cpu_count() or 1
ROOT = Path("src/treadle")

# Ordinary Python with a .pxd beside it.
MODULES = [
    "_core/handles",
    "_core/listener",
    "_core/loop",
    "_core/quick",
    "_core/tasks",
    "_core/timers",
    "_core/watch",
    "_core/wheel",
    "_drivers/base",
    "_drivers/selector",
    "_net/buffer",
    "_net/attempts",
    "_net/batching",
    "_net/footing",
    "_net/hearer",
    "_net/pipes",
    "_net/tcp",
    "_net/tls",
    "_net/tls_sending",
    "_net/tls_session",
    "_net/udp",
    "_net/upper",
    "aio/completion",
    "aio/condition_core",
    "aio/gathering",
    "aio/lock_core",
    "aio/loopbound",
    "aio/queue_core",
    "aio/shielding",
    "aio/shortcuts",
    "aio/sleeping",
    "aio/stream_buffer",
    "aio/stream_flow",
    "aio/stream_protocol",
    "aio/stream_reader",
    "aio/stream_writer",
    "aio/taskgroups",
    "aio/timeouts",
    "aio/waiting",
]
# Compiled twins of plain modules: NAME is built from NAME_native.
NATIVE = [
    "_core/clock",
    "_core/invoke",
    "_core/ready",
    "_drivers/address",
    "_net/scratch",
    "aio/operation",
    "aio/pieces",
]
# The same on Linux; elsewhere the plain module is compiled.
LINUX_NATIVE = ["_core/direct"]
# Without a twin of the same name.
LINUX = ["_drivers/epoll", "_drivers/epoll_datagrams", "_drivers/epoll_sending"]

DIRECTIVES = {
    "language_level": "3",
    "annotation_typing": False,  # C types come from the .pxd alone
    "binding": False,  # methods are plain descriptors: the interpreter calls them faster
    "initializedcheck": False,
    "cdivision": False,
    "embedsignature": True,
    "auto_pickle": False,
}


def compiler_flags() -> list[str]:
    """Return the C compiler's flags: optimised, or with the address sanitizer."""
    if SANITIZE:
        return ["-O1", "-g", "-fsanitize=address", "-fno-omit-frame-pointer"]
    return ["-O3", "-g1", "-fvisibility=hidden", "-fno-plt", "-Wno-unused-function"]


def extension(name: str, source: str) -> Extension:
    """Describe one compiled module."""
    return Extension(
        "treadle." + name.replace("/", "."),
        [str(ROOT / f"{source}.py")],
        extra_compile_args=compiler_flags(),
        depends=DECLARATIONS,
        extra_link_args=["-fsanitize=address"] if SANITIZE else [],
    )


def extensions() -> list[Extension]:
    """Return every compiled module of this platform."""
    if PURE:
        return []
    from Cython.Build import cythonize

    found = [extension(name, name) for name in MODULES]
    found += [extension(name, f"{name}_native") for name in NATIVE]
    if sys.platform == "linux":
        found += [extension(name, f"{name}_native") for name in LINUX_NATIVE]
        found += [extension(name, name) for name in LINUX]
    else:
        found += [extension(name, name) for name in LINUX_NATIVE]
    built: list[Extension] = cythonize(
        found,
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        include_path=["src"],
        annotate=TRACE,
        emit_linenums=True,  # profiles and debuggers name lines of the .py, not of the C file
        nthreads=JOBS if sys.platform == "linux" else 0,
    )
    return built


class BuildPy(build_py):
    """Copies the sources, and the marker where the user chose no compiled modules."""

    def run(self) -> None:
        """Copy, then mark."""
        super().run()
        if PURE and not self.editable_mode:
            Path(self.build_lib, "treadle", ".build-pure").write_text("TREADLE_PURE=1\n")


setup(
    ext_modules=extensions(),
    cmdclass={"build_py": BuildPy},
    options={"build_ext": {"parallel": JOBS}},
)
