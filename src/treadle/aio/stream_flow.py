# cython: nonecheck=True
"""What a stream's writer waits for: room to write, and the end.

Those who wait have a future each. asyncio gives all who wait for the end the same future, and one
of them that is cancelled cancels the others.
"""

from __future__ import annotations

from asyncio import events
from typing import Any

from treadle._core.log import logger
from treadle._net.hearer import Hearer

__all__ = ["FlowCore"]


class FlowCore(Hearer):
    """The part of a stream's protocol that the writer knows."""

    def __init__(self, loop: Any = None) -> None:
        self._loop = events.get_event_loop() if loop is None else loop
        self._paused = False  # writing is paused
        self._connection_lost = False
        self._failure: BaseException | None = None  # what the connection was lost with
        self._drain_waiters: Any = None  # list of futures, made when first needed
        self._close_waiters: Any = None  # the same
        self._close_waiter: Any = None  # the future that asyncio's writer asks for
        # nobody has changed how it is waited
        self.drains = type(self)._drain_helper is _OUR_DRAIN
        self.closes = type(self)._get_close_waiter is _OUR_CLOSE

    def pause_writing(self) -> None:
        """Hold back who drains."""
        assert not self._paused
        self._paused = True
        if self._loop.get_debug():
            logger.debug("%r pauses writing", self)

    def resume_writing(self) -> None:
        """Let who drains go on."""
        assert self._paused
        self._paused = False
        if self._loop.get_debug():
            logger.debug("%r resumes writing", self)
        self._end_drains(None)

    def end_flow(self, exc: BaseException | None) -> None:
        """Tell all who wait that the connection is lost."""
        self._connection_lost = True
        self._failure = exc
        self._tell_closed()
        if self._paused:
            self._end_drains(exc)

    async def _drain_helper(self) -> None:
        """Wait until writing is not paused; ConnectionResetError when the connection is lost."""
        if self._connection_lost:
            raise ConnectionResetError("Connection lost")
        if self._paused:
            waiter = self.add_drain()
            try:
                await waiter
            finally:
                self.remove_drain(waiter)

    def add_drain(self) -> Any:
        """Return a future for who waits until writing is not paused."""
        waiter = self._loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(waiter)
        return waiter

    def remove_drain(self, waiter: Any) -> None:
        """Forget a future of `add_drain`."""
        if self._drain_waiters is not None and waiter in self._drain_waiters:
            self._drain_waiters.remove(waiter)

    def _end_drains(self, exc: BaseException | None) -> None:
        for waiter in self._drain_waiters or ():
            if not waiter.done():
                if exc is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(exc)

    def add_close(self) -> Any:
        """Return a future for who waits until the connection is lost."""
        waiter = self._loop.create_future()
        if self._close_waiters is None:
            self._close_waiters = []
        self._close_waiters.append(waiter)
        return waiter

    def remove_close(self, waiter: Any) -> None:
        """Forget a future of `add_close`."""
        if self._close_waiters is not None and waiter in self._close_waiters:
            self._close_waiters.remove(waiter)

    def _tell_closed(self) -> None:
        waiters, self._close_waiters = self._close_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if self._close_waiter is not None:
            self._settle_close_waiter()

    def _get_close_waiter(self, stream: Any) -> Any:
        """Return the future that asyncio's own writer waits for."""
        return self._closed

    @property
    def _closed(self) -> Any:
        if self._close_waiter is None:
            self._close_waiter = self._loop.create_future()
            if self._connection_lost:
                self._settle_close_waiter()
        return self._close_waiter

    def _settle_close_waiter(self) -> None:
        waiter = self._close_waiter
        if waiter.done():
            return
        if self._failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(self._failure)
            waiter.exception()  # nobody need ask for it


_OUR_DRAIN = FlowCore._drain_helper
_OUR_CLOSE = FlowCore._get_close_waiter
