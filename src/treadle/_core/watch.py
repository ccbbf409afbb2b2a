"""Raw descriptors: `add_reader` and `add_writer`.

The descriptor belongs to the user, who may close it behind our back and get the same number for
something else. So a watch owns only the driver's slot, never the descriptor, and goes as soon as
neither callback is left. Handles are queued, not run, when the driver reports: they run in the
order in which asyncio runs them, after what was ready before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle._core.handles import Handle, new_handle
from treadle._core.invoke import current_context
from treadle._drivers.base import READ, WRITE, Endpoint

__all__ = ["Watches"]

_LARGEST = 2**31 - 1  # of the numbers that a descriptor can have


class Watch(Endpoint):
    """One watched descriptor with a handle for each direction."""

    def __init__(self, loop: Any) -> None:
        Endpoint.__init__(self)
        self._loop = loop
        self.reader: Handle | None = None
        self.writer: Handle | None = None

    def ready(self, mask: int) -> None:
        """Queue the handles whose event came."""
        if mask & READ and self.reader is not None:
            self._loop._queue_handle(self.reader)
        if mask & WRITE and self.writer is not None:
            self._loop._queue_handle(self.writer)

    def wanted(self) -> int:
        """Return the interest that the handles make."""
        return (READ if self.reader is not None else 0) | (WRITE if self.writer is not None else 0)


class Watches:
    """The watched descriptors of one loop."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def add_reader(self, fd: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> Handle:
        """Watch for reading; an earlier reader is cancelled."""
        watch = self._watch(fd, True)
        assert watch is not None
        old, watch.reader = watch.reader, self._handle(callback, args)
        self._renew(watch, old)
        return watch.reader

    def add_writer(self, fd: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> Handle:
        """Watch for writing; an earlier writer is cancelled."""
        watch = self._watch(fd, True)
        assert watch is not None
        old, watch.writer = watch.writer, self._handle(callback, args)
        self._renew(watch, old)
        return watch.writer

    def remove_reader(self, fd: Any) -> bool:
        """Stop watching for reading; False when nobody did."""
        watch = self._watch(fd, False)
        if watch is None or watch.reader is None:
            return False
        old, watch.reader = watch.reader, None
        self._update(watch, old)
        return True

    def remove_writer(self, fd: Any) -> bool:
        """Stop watching for writing; False when nobody did."""
        watch = self._watch(fd, False)
        if watch is None or watch.writer is None:
            return False
        old, watch.writer = watch.writer, None
        self._update(watch, old)
        return True

    def forget(self, fd: int, handle: Handle) -> None:
        """Stop watching for `handle`, unless another one has taken its place on `fd`."""
        watch = self._loop._driver.owner(fd)
        if not isinstance(watch, Watch):
            return  # closed, or the number is a transport's by now
        if watch.reader is handle:
            watch.reader = None
        elif watch.writer is handle:
            watch.writer = None
        else:
            return
        self._update(watch, handle)

    def _handle(self, callback: Callable[..., object], args: tuple[Any, ...]) -> Handle:
        return new_handle(callback, args, self._loop, current_context())

    def _watch(self, fileobj: Any, create: bool) -> Watch | None:
        number = _number_of(fileobj)
        if create:
            self._loop._check_closed()
        elif self._loop.is_closed() or number > _LARGEST:
            return None
        fd = descriptor_of(number)
        owner = self._loop._driver.owner(fd)
        if owner is None and create:
            owner = Watch(self._loop)
            self._loop._driver.attach(owner, fd)
        if owner is not None and not isinstance(owner, Watch):
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {owner!r}")
        return owner

    def _renew(self, watch: Watch, old: Handle | None) -> None:
        """Watch, even where we seem to: the number may be another file's than last time."""
        try:
            self._loop._driver.renew_interest(watch, watch.wanted())
        except OSError:
            self._loop._driver.detach(watch)
            raise
        if old is not None:
            old.cancel()

    def _update(self, watch: Watch, old: Handle) -> None:
        """Watch for what is left, or not at all."""
        old.cancel()
        if watch.wanted():
            self._loop._driver.set_interest(watch, watch.wanted())
        else:
            self._loop._driver.detach(watch)


def descriptor_of(fileobj: Any) -> int:
    """Return the descriptor of a number or of an object with ``fileno()``; ValueError otherwise."""
    fd = _number_of(fileobj)
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


def _number_of(fileobj: Any) -> int:
    if isinstance(fileobj, int):
        return fileobj
    try:
        return int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fileobj!r}") from None
