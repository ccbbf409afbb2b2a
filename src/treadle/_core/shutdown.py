"""The loop's own coroutines: what a runner waits for before it closes the loop.

Not compiled: for ``inspect`` and for mocks they are coroutine functions, as asyncio's are.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["ShutdownMethods"]


class ShutdownMethods:
    """Mixed into the loop."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the default executor's threads are done, `timeout` seconds at most."""
        executors: Any = self._executors  # type: ignore[attr-defined]
        await executors.shutdown_default(timeout)

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are still open, and wait for that."""
        loop: Any = self
        loop._asyncgens_shutdown = True
        closing = list(loop._asyncgens)
        if not closing:
            return
        loop._asyncgens.clear()
        results = await asyncio.gather(*[agen.aclose() for agen in closing], return_exceptions=True)
        for result, agen in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                loop.call_exception_handler(
                    {
                        "message": "an error occurred during closing of "
                        f"asynchronous generator {agen!r}",
                        "exception": result,
                        "asyncgen": agen,
                    }
                )
