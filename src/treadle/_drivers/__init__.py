"""Waiting for the kernel: the contract, the plain driver, the epoll driver."""

from __future__ import annotations

import os
import sys

from treadle import _build
from treadle._drivers.base import Driver

__all__ = ["available_drivers", "make_driver"]


def available_drivers() -> list[str]:
    """Return the names of the drivers that can run here, the preferred one first."""
    if _build.COMPILED and sys.platform == "linux":
        return ["epoll", "selector"]
    return ["selector"]


def make_driver(name: str | None = None) -> Driver:
    """Make the driver `name`; without one, ``TREADLE_DRIVER`` or the preferred one decides."""
    available = available_drivers()
    name = name or os.environ.get("TREADLE_DRIVER") or available[0]
    if name not in available:
        raise ValueError(
            f"no driver {name!r} here: choose one of {', '.join(available)} "
            "(TREADLE_DRIVER or the driver argument)"
        )
    if name == "epoll":
        from treadle._drivers.epoll import EpollDriver

        driver: Driver = EpollDriver()
        return driver
    from treadle._drivers.selector import SelectorDriver

    return SelectorDriver()
