# cython: nonecheck=True
"""Descriptors that belong to the user: `add_reader`, `add_writer`, and calls that wait on sockets.

Facts. The descriptor is the user's, who may close it behind our back; then its number is free, and
the next file that is opened anywhere gets it. The kernel forgets a description when its last
descriptor is closed, and tells nobody.

One `Watch` serves a number, for handles (`add_reader`) and for calls (``sock_recv``) alike.

*Handles* are queued, not run, when the driver reports: they run in the order in which asyncio runs
them, after what was ready before. They want to be told of the state: again, as long as it lasts.

*Calls* want to be told of a change: they have tried, and the kernel would have blocked. Where the
driver can tell changes, the socket stays registered between calls, and `readable` and `writable`
remember what the kernel said last. So a call that has to wait makes no system call before the one
that succeeds. Being woken is a hint, never more: whoever is woken tries, and may have to wait
again. All calls that wait for a direction are woken together.

*States instead of changes* are told while there are handles as well, by drivers that know nothing
else, and for objects that are no plain ``socket.socket``: what those call blocking need not be what
the kernel does. There interest is exactly what is wanted. One that outlived its call would keep the
loop busy when the socket is closed here and stays open in another process.

What `readable` may claim. It becomes False only after a call would have blocked, or has shown that
nothing is left. What comes after that is a change, and whoever waits is registered: so it is told,
whether the registration is old or new.

Whose number is it? A watch that serves calls remembers their socket object by weak reference. If
that one is dead or has another number by now, the number has come up again: the watch is given up,
and a new one (with a new generation, so that no old event reaches it) is made when a call has to
wait. Whoever still waits is woken and finds its socket closed. Two objects that both have the
number are two views of one descriptor, and share the watch. Nothing is done when a socket object
dies: its number may be another's by then.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable
from typing import Any

from treadle._core.direct import number
from treadle._core.handles import Handle, new_handle
from treadle._core.invoke import current_context, make_future
from treadle._drivers.base import LASTING, READ, WRITE, Driver, Endpoint

__all__ = ["Watch", "Watches", "descriptor_of"]

_Socket = socket.socket
_Plain: Any = socket.SocketType  # `_Socket` wraps its attributes in enumerations, which takes long
_InvalidState = asyncio.InvalidStateError
_TCP_NUMBERS = (0, socket.IPPROTO_TCP)

_LARGEST = 2**31 - 1  # of the numbers that a descriptor can have


class Watch(Endpoint):
    """One descriptor of the user's: a handle for each direction, and the calls that wait."""

    def __init__(self, loop: Any) -> None:
        Endpoint.__init__(self)
        self.loop = loop
        self.driver: Driver = loop._driver
        self.reader: Handle | None = None
        self.writer: Handle | None = None
        self.readers: list[Any] = []  # futures of calls that wait
        self.writers: list[Any] = []
        self.sock: Any = None  # weak reference to the socket of the calls; None: none is known
        self.readable = True  # False: the kernel would block
        self.writable = True
        self.exhaustive = False  # a short count means that the kernel has, or takes, no more
        self.told_states = False  # an object that is no plain socket has waited

    # what the driver tells -----------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """Queue the handles and wake the calls whose event came."""
        if mask & LASTING:
            self.exhaustive = False
        if mask & READ:
            self.readable = True
            if self.reader is not None:
                self.loop._queue_handle(self.reader)
            if self.readers:
                _wake(self.readers)
        if mask & WRITE:
            self.writable = True
            if self.writer is not None:
                self.loop._queue_handle(self.writer)
            if self.writers:
                _wake(self.writers)
        if not self.edge:
            self.narrow()

    def evicted(self) -> None:
        """Drop the handles and wake the calls: their file is closed, or has a transport now."""
        for handle in (self.reader, self.writer):
            if handle is not None:
                handle.cancel()  # it may be queued
        self.reader = self.writer = None
        self.wake_all()

    # calls ---------------------------------------------------------------------------------

    def serve(self, sock: Any) -> None:
        """Serve calls on `sock` from now on, of which nothing is known yet."""
        self.sock = _reference(sock)
        self.readable = True
        self.writable = True
        self.exhaustive = _is_exhaustive(sock)

    def wait(self, direction: int, plain: bool) -> Any:
        """Return a future that is done when the call should be tried again.

        It has tried, or knows, that the kernel would block; `plain`: on a plain ``socket.socket``.
        Who does not wait until the future is done must `leave`.
        """
        future = make_future(self.loop._future_keywords)
        if direction == READ:
            self.readable = False
            self.readers.append(future)
        else:
            self.writable = False
            self.writers.append(future)
        if not plain:
            self.told_states = True
        try:
            if self.told_states or self.has_handles():
                self.driver.set_interest(self, self.wanted())
            else:
                self.driver.await_edge(self, direction)
        except OSError:
            self.driver.detach(self)
            self.wake_all()
            raise
        return future

    def leave(self, future: Any) -> None:
        """Forget a future that nobody waits for any more; harmless when it is forgotten already."""
        for waiting in (self.readers, self.writers):
            if future in waiting:
                waiting.remove(future)
        if not self.edge:
            self.narrow()

    def wake_all(self) -> None:
        """Have all calls that wait look for themselves."""
        _wake(self.readers)
        _wake(self.writers)

    # what it is about ----------------------------------------------------------------------

    def wanted(self) -> int:
        """Return the interest that handles and calls make."""
        interest = 0
        if self.reader is not None or self.readers:
            interest = READ
        if self.writer is not None or self.writers:
            interest |= WRITE
        return interest

    def narrow(self) -> None:
        """Take back the interest that nobody has any more."""
        try:
            self.driver.set_interest(self, self.wanted())
        except OSError:  # closed behind our back
            self.driver.detach(self)
            self.wake_all()

    def has_handles(self) -> bool:
        """Say whether `add_reader` or `add_writer` is in force."""
        return self.reader is not None or self.writer is not None

    def is_stale(self) -> bool:
        """Say whether the number belonged to a socket that has it no longer."""
        if self.sock is None:
            return False
        sock = self.sock()
        return sock is None or number_of(sock) != self.fd


class Watches:
    """The watched descriptors of one loop."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.driver: Driver = loop._driver

    # handles -------------------------------------------------------------------------------

    def add_reader(self, fd: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Watch for reading; an earlier reader is cancelled."""
        watch = self._watch(fd)
        old, watch.reader = watch.reader, self._handle(callback, args)
        self._renew(watch, old)

    def add_writer(self, fd: Any, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Watch for writing; an earlier writer is cancelled."""
        watch = self._watch(fd)
        old, watch.writer = watch.writer, self._handle(callback, args)
        self._renew(watch, old)

    def remove_reader(self, fd: Any) -> bool:
        """Stop watching for reading; False when nobody did."""
        watch = self._watched(fd)
        if watch is None:
            return False
        old, watch.reader = watch.reader, None
        self._relax(watch, old)
        return old is not None

    def remove_writer(self, fd: Any) -> bool:
        """Stop watching for writing; False when nobody did."""
        watch = self._watched(fd)
        if watch is None:
            return False
        old, watch.writer = watch.writer, None
        self._relax(watch, old)
        return old is not None

    def _handle(self, callback: Callable[..., object], args: tuple[Any, ...]) -> Handle:
        return new_handle(callback, args, self.loop, current_context())

    def _watch(self, fileobj: Any) -> Watch:
        """Return the watch of a descriptor, a new one where there is none."""
        number = _given_number(fileobj)
        self.loop._check_closed()
        fd = descriptor_of(number)
        watch = self._owner(fd)
        if watch is not None and watch.is_stale():
            self._give_up(watch)
            if watch.fd < 0:
                watch = None
        if watch is None:
            watch = Watch(self.loop)
            self.driver.attach(watch, fd)
        return watch

    def _watched(self, fileobj: Any) -> Watch | None:
        """Return the watch of a descriptor, if there is one."""
        number = _given_number(fileobj)
        if self.loop.is_closed() or number > _LARGEST:
            return None
        return self._owner(descriptor_of(number))

    def _owner(self, fd: int) -> Watch | None:
        owner = self.driver.owner(fd)
        return None if owner is None else _as_watch(owner)

    def _renew(self, watch: Watch, old: Handle | None) -> None:
        """Watch, even where we seem to: the number may be another file's than last time."""
        try:
            self.driver.renew_interest(watch, watch.wanted())
        except OSError:
            self.driver.detach(watch)
            watch.wake_all()
            raise
        if old is not None:
            old.cancel()

    def _relax(self, watch: Watch, old: Handle | None) -> None:
        """Watch for what is left, or not at all; then what is known of the socket goes, too."""
        if old is not None:
            old.cancel()
        interest = watch.wanted()
        if not interest:
            self.driver.detach(watch)
        elif not watch.edge:
            self.driver.set_interest(watch, interest)
            if not watch.told_states and not watch.has_handles():
                self.driver.await_edge(watch, interest)

    # calls ---------------------------------------------------------------------------------

    def find(self, sock: Any) -> Watch | None:
        """Return the watch that serves calls on `sock`, or None: then nothing is known.

        RuntimeError when a transport owns the descriptor.
        """
        fd = number(sock) if type(sock) is _Socket else number_of(sock)
        owner = self.driver.owner(fd)
        if owner is None:
            return None
        watch = _as_watch(owner)
        if watch.sock is not None:
            if watch.sock() is sock or not watch.is_stale():
                return watch
            self._give_up(watch)
            if watch.fd < 0:
                return None
        watch.serve(sock)
        return watch

    def demand(self, sock: Any) -> Watch:
        """Return the watch that serves calls on `sock`, a new one where there is none.

        ValueError when the socket is closed.
        """
        watch = self.find(sock)
        if watch is None:
            fd = descriptor_of(sock)
            watch = Watch(self.loop)
            self.driver.attach(watch, fd)
            watch.serve(sock)
        return watch

    def leave(self, sock: Any, future: Any) -> None:
        """Forget a future of `Watch.wait` that nobody waits for any more."""
        owner = self.driver.owner(number_of(sock))
        if isinstance(owner, Watch):  # else closed, or the number is a transport's by now
            watch: Watch = owner
            watch.leave(future)

    def _give_up(self, watch: Watch) -> None:
        """End the service for a socket that has lost its number; handles stay with the number."""
        watch.wake_all()
        watch.sock = None
        interest = watch.wanted()
        fd = self.driver.detach(watch)
        if interest:
            self.driver.attach(watch, fd)
            self.driver.renew_interest(watch, interest)


def _wake(waiting: list[Any]) -> None:
    """Wake the calls in the order in which they came, and forget them."""
    waiting.reverse()
    while waiting:
        try:
            waiting.pop().set_result(None)
        except _InvalidState:
            pass  # cancelled, and its call has not heard of that yet


def _as_watch(owner: Endpoint) -> Watch:
    if not isinstance(owner, Watch):
        raise RuntimeError(f"File descriptor {owner.fd!r} is used by transport {owner!r}")
    return owner


def _reference(sock: Any) -> Any:
    """Return a weak reference, or None for an object that does not take one."""
    try:
        return weakref.ref(sock)
    except TypeError:
        return None


def _is_exhaustive(sock: Any) -> bool:
    """Say whether a short count from this socket means that the kernel has no more.

    That is so for TCP. A Unix socket also stops where a descriptor came along with the bytes.
    """
    return (
        type(sock) is _Socket
        and _Plain.type.__get__(sock) == socket.SOCK_STREAM
        and _Plain.family.__get__(sock) in (socket.AF_INET, socket.AF_INET6)
        and _Plain.proto.__get__(sock) in _TCP_NUMBERS
    )


def number_of(sock: Any) -> int:
    """Return the descriptor of a socket, -1 where it has none (any more)."""
    try:
        fd = sock.fileno()
    except Exception:
        return -1  # a stand-in may raise what it likes
    return fd if isinstance(fd, int) else -1


def descriptor_of(fileobj: Any) -> int:
    """Return the descriptor of a number or of an object with ``fileno()``; ValueError otherwise."""
    fd: int = _given_number(fileobj)
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


def _given_number(fileobj: Any) -> Any:
    if isinstance(fileobj, int):
        return fileobj
    try:
        return int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fileobj!r}") from None
