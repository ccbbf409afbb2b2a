"""Where the loop reports: asyncio's own logger, so that existing logging configuration applies."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("asyncio")
