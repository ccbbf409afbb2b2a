"""The loop that users get: all the parts in one class."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from treadle._core.clock import Clock
from treadle._core.invoke import own_methods
from treadle._core.loop import LoopCore
from treadle._core.own_time import OwnTime
from treadle._core.shutdown import ShutdownMethods
from treadle._drivers import make_driver
from treadle._drivers.base import Driver
from treadle._net.endpoint import DatagramMethods
from treadle._net.methods import NetMethods
from treadle._net.process_methods import ProcessMethods
from treadle._net.sockets import SocketMethods
from treadle._net.starttls import TlsMethods
from treadle._net.unix import UnixMethods

__all__ = ["Loop", "new_event_loop"]

_GONE_AROUND = frozenset({"call_at", "call_later", "create_future", "create_task", "time"})
"""The methods that treadle.aio goes around, while nobody has replaced them: see `shortcuts`."""


class Loop(  # type: ignore[misc]
    NetMethods,
    TlsMethods,
    SocketMethods,
    DatagramMethods,
    UnixMethods,
    ProcessMethods,
    ShutdownMethods,
    LoopCore,
    asyncio.AbstractEventLoop,
):
    """An event loop for asyncio programs.

    `driver` is the name of a driver (``"epoll"``, ``"selector"``) or a driver; without one the
    environment variable ``TREADLE_DRIVER`` decides, or what is best here. `clock` is what
    ``loop.time()`` reads.

    >>> import asyncio, treadle
    >>> with asyncio.Runner(loop_factory=treadle.Loop) as runner:
    ...     runner.run(asyncio.sleep(0, "done"))
    'done'
    """

    def __init__(self, driver: Driver | str | None = None, clock: Clock | None = None) -> None:
        if not isinstance(driver, Driver):
            driver = make_driver(driver)
        super().__init__(driver, clock if clock is not None else Clock())
        self._as_made = type(self) is Loop
        if type(self).time is not LoopCore.time:
            self._go_by(OwnTime(self))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _GONE_AROUND:
            self._as_made = False
        if name == "time":
            self._go_by(OwnTime(self))

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name == "time" and type(self).time is LoopCore.time:
            self._go_by(None)

    def __reduce__(self) -> Any:
        raise TypeError("a loop cannot be copied or pickled: make another one")

    @property
    def _default_executor(self) -> Any:
        """asyncio's private name, which libraries read and empty; `set_default_executor` sets."""
        return self._executors.default

    @_default_executor.setter
    def _default_executor(self, executor: Any) -> None:
        self._executors.default = executor

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_watches", None) is not None and not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()


Loop.__module__ = "treadle"
own_methods(Loop, ("call_at", "call_later", "call_soon", "create_task", "get_debug"))


def new_event_loop() -> Loop:
    """Make a loop; the ``loop_factory`` for `asyncio.Runner` and for servers.

    >>> import asyncio, treadle
    >>> with asyncio.Runner(loop_factory=treadle.new_event_loop) as runner:
    ...     type(runner.get_loop())
    <class 'treadle.Loop'>
    """
    return Loop()
