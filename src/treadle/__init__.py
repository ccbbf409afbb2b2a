"""treadle: an asynchronous runtime for Python.

asyncio programs run on it unchanged::

    import treadle
    treadle.run(main())
"""

from __future__ import annotations

from treadle import _build  # first: it decides which modules are taken
from treadle._core.hooks import Hooks
from treadle.aio import EventLoopPolicy, Loop, Runner, install, new_event_loop, run

__all__ = [
    "COMPILED",
    "EventLoopPolicy",
    "Hooks",
    "Loop",
    "Runner",
    "__version__",
    "install",
    "new_event_loop",
    "run",
]

__version__ = "0.1.0"
COMPILED = _build.COMPILED
"""True when the compiled modules are running, False in the plain treadle."""
