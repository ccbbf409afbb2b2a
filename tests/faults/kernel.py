"""A kernel that fails on purpose: at the n-th call of a kind, or at any call, by a seeded die.

Every system call that the plain driver and the parts above it make is a function of `os`, a method
of `socket.socket` or of the poll object inside a selector. All of these are replaced while a
`Kernel` is in force, in the compiled treadle as well: attributes of modules are looked up at each
call there, too.

A fault must be one that a kernel could show, or it proves nothing. So what is named in `CALLS` is
what the manual pages allow. A short read leaves the rest in the kernel. Where the work is done in
spite of the error, the call is made before the error is raised (`AFTERWARDS`): a connect(2) that is
interrupted goes on by itself, close(2) has closed whatever it says, and a poll object that does not
know a descriptor does not watch it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ONE_BYTE = "one byte"  # instead of as many as there are
HALF = "half"

_PASSING = ("EAGAIN", "EINTR", ONE_BYTE, HALF)
_LACK = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")

# What each call may answer; faults after which nothing may be missing stand first.
HARMLESS: dict[str, tuple[str, ...]] = {
    "os.read": _PASSING,
    "os.readv": _PASSING,
    "os.write": _PASSING,
    "os.writev": _PASSING,
    "os.close": ("EINTR", "EIO"),
    "accept": ("EAGAIN", "EINTR", "ECONNABORTED", *_LACK),
    "recv": _PASSING,
    "recv_into": _PASSING,
    "recvfrom": ("EAGAIN", "EINTR"),
    "recvfrom_into": ("EAGAIN", "EINTR"),
    "send": _PASSING,
    "send (datagram)": ("EAGAIN", "EINTR"),
    "sendto": ("EAGAIN", "EINTR"),
    "connect": ("EINTR",),
    "connect (Unix)": ("EAGAIN",),
    "poll": ("EINTR",),
    "unregister": ("ENOENT", "EBADF"),
}
HARMFUL: dict[str, tuple[str, ...]] = {
    "os.read": ("ECONNRESET", "ETIMEDOUT", "ENOBUFS"),
    "os.readv": ("ECONNRESET", "ETIMEDOUT", "ENOBUFS"),
    "os.write": ("EPIPE", "ECONNRESET", "ENOBUFS"),
    "os.writev": ("EPIPE", "ECONNRESET", "ENOBUFS"),
    "accept": ("EPROTO", "ENETDOWN"),
    "recv": ("ECONNRESET", "ENOBUFS"),
    "recv_into": ("ECONNRESET", "ENOBUFS"),
    "recvfrom": ("ECONNREFUSED", "ENOBUFS"),
    "recvfrom_into": ("ECONNREFUSED", "ENOBUFS"),
    "send": ("EPIPE", "ECONNRESET", "ENOBUFS"),
    "send (datagram)": ("ECONNREFUSED", "ENOBUFS", "EMSGSIZE"),
    "sendto": ("ECONNREFUSED", "ENOBUFS", "ENETUNREACH"),
    "connect (Unix)": ("ECONNREFUSED", "ENOENT"),
    "connect": ("ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ENOBUFS"),
    "socket": _LACK,
    "socketpair": _LACK,
    "selector": ("EMFILE", "ENFILE", "ENOMEM"),  # epoll_create(2) and its like
    "setblocking": ("ENOBUFS",),
    "setsockopt": ("ENOBUFS",),
    "getsockopt": ("ENOBUFS",),
    "getsockname": ("ENOBUFS",),
    "getpeername": ("ENOTCONN", "ENOBUFS"),
    "shutdown": ("ENOTCONN", "ENOBUFS"),
    "bind": ("EADDRINUSE", "EACCES", "ENOBUFS"),
    "listen": ("EADDRINUSE",),
    "register": ("ENOMEM", "ENOSPC"),
}
CALLS = sorted(HARMLESS.keys() | HARMFUL.keys())
AFTERWARDS = {
    ("connect", "EINTR"),
    ("os.close", "EINTR"),
    ("os.close", "EIO"),
    ("unregister", "ENOENT"),  # the kernel has forgotten the descriptor: so it must have
    ("unregister", "EBADF"),
}

_OS = ("read", "readv", "write", "writev", "close")
# What fails in its own way on some sockets.
_APART = {
    "send": (lambda sock: sock.type == socket.SOCK_DGRAM, "send (datagram)"),
    "connect": (lambda sock: sock.family == socket.AF_UNIX, "connect (Unix)"),
}
_SOCKET = tuple(name for name in CALLS if hasattr(socket.socket, name) and name != "socket")
_POLL = ("poll", "register", "unregister")


class Fault(NamedTuple):
    """What goes wrong: the `nth` call (from 1) of this name ends with `error`."""

    call: str
    nth: int
    error: str

    @property
    def harmless(self) -> bool:
        """Whether a program must get everything done in spite of it."""
        return self.error in HARMLESS.get(self.call, ())

    def __str__(self) -> str:
        return f"{self.error} at call {self.nth} of {self.call}"


class Kernel:
    """Counts calls, and makes some of them fail: those of `plan`, or one in so many by `dice`."""

    def __init__(
        self,
        plan: tuple[Fault, ...] = (),
        dice: random.Random | None = None,
        rate: float = 0.0,
        harmless_only: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.struck: list[Fault] = []  # what went wrong so far
        self.raised: list[OSError] = []
        self.spared: frozenset[int] = frozenset()  # descriptors of the loop's own wake-up sockets
        self._plan = {(fault.call, fault.nth): fault.error for fault in plan}
        self._armed = False
        self._dice = dice
        self._rate = rate
        self._harmless_only = harmless_only

    def faults(self) -> list[Fault]:
        """Every single fault that was possible in what was counted."""
        return [
            Fault(call, nth, error)
            for call in CALLS
            for nth in range(1, self.counts[call] + 1)
            for error in (*HARMLESS.get(call, ()), *HARMFUL.get(call, ()))
        ]

    def make(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        """Make the call, or fail."""
        if not self._armed:
            return real(*args)
        self.counts[name] += 1
        error = self._due(name)
        if error is None:
            return real(*args)
        self.struck.append(Fault(name, self.counts[name], error))
        if error in (ONE_BYTE, HALF):
            return _SHORTENED[name](real, error, *args)
        if (name, error) in AFTERWARDS:
            real(*args)
        number = getattr(errno, error)
        exc = OSError(number, f"{os.strerror(number)} [on purpose]")
        self.raised.append(exc)
        raise exc

    def _due(self, name: str) -> str | None:
        if self._dice is None:
            return self._plan.get((name, self.counts[name]))
        if self._dice.random() >= self._rate:
            return None
        errors = HARMLESS.get(name, ())
        if not self._harmless_only:
            errors += HARMFUL.get(name, ())
        return self._dice.choice(errors) if errors else None

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Replace the calls of this process by ours, and let those of `Poll` fail."""
        with contextlib.ExitStack() as undo:
            for name in _OS:
                self._replace(undo, os, name, self._function(f"os.{name}", getattr(os, name)))
            for name in _SOCKET:
                method = getattr(socket.socket, name)
                self._replace(undo, socket.socket, name, self._method(name, method))
            for owner, name, known_as in (
                (socket, "socketpair", "socketpair"),
                (selectors, "DefaultSelector", "selector"),
            ):
                self._replace(undo, owner, name, self._function(known_as, getattr(owner, name)))
            init = self._constructor(socket.socket.__init__)
            self._replace(undo, socket.socket, "__init__", init)
            undo.callback(setattr, self, "_armed", False)
            self._armed = True
            yield

    def _replace(self, undo: contextlib.ExitStack, owner: Any, name: str, new: Any) -> None:
        if name in vars(owner):
            undo.callback(setattr, owner, name, vars(owner)[name])
        else:  # inherited
            undo.callback(delattr, owner, name)
        setattr(owner, name, new)

    def _function(self, name: str, real: Any) -> Any:
        return lambda *args: self.make(name, real, *args)

    def _method(self, name: str, real: Any) -> Any:
        def method(sock: Any, *args: Any) -> Any:
            if sock.fileno() in self.spared:
                return real(sock, *args)
            is_apart, apart = _APART.get(name, (None, name))
            known_as = apart if is_apart is not None and is_apart(sock) else name
            return self.make(known_as, real, sock, *args)

        return method

    def _constructor(self, real: Any) -> Any:
        def init(sock: Any, *args: Any, **keywords: Any) -> None:
            def call() -> None:
                real(sock, *args, **keywords)

            if keywords.get("fileno") is None and len(args) < 4:
                self.make("socket", call)
            else:  # a socket object for a descriptor that is there: no system call that can fail
                call()

        return init


class Poll:
    """The poll object of a selector, in which calls can fail."""

    def __init__(self, kernel: Kernel, poll: Any) -> None:
        self._kernel = kernel
        self._poll = poll

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._poll, name)
        if name not in _POLL:
            return real
        return lambda *args: self._kernel.make(name, real, *args)


class Stuck(BaseException):
    """A program waits for what does not come, or turns without end."""


class Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """A selector on a failing kernel, whose time jumps.

    Everything happens in this one process and thread. So when nothing is ready, and nothing becomes
    ready in a moment, only a timer can go on: the clock jumps to it. Without a timer the program is
    stuck. One that asks without end is stuck as well.
    """

    MOMENT = 0.02  # seconds of real time
    PATIENCE = 20.0
    MOST_TURNS = 50_000

    def __init__(self, kernel: Kernel, clock: Any) -> None:
        super().__init__()
        self._kernel = kernel
        self._selector: Any = Poll(kernel, self._selector)
        self._clock = clock
        self._turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self._turns += 1
        if self._turns > self.MOST_TURNS:
            raise Stuck(f"the loop has asked {self.MOST_TURNS} times")
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        struck = len(self._kernel.struck)
        ready = super().select(self.PATIENCE if timeout is None else self.MOMENT)
        if not ready and len(self._kernel.struck) == struck:  # and it was not interrupted
            if timeout is None:
                raise Stuck("nothing is ready, and there is no timer")
            self._clock.ns += int(timeout * 1e9)
        return ready


def _share(size: int, error: str) -> int:
    return 1 if error == ONE_BYTE else max(1, size // 2)


def _read(real: Any, error: str, target: Any, size: int, *flags: int) -> Any:
    return real(target, _share(size, error) if error == ONE_BYTE else min(size, 300), *flags)


def _readv(real: Any, error: str, fd: int, buffers: list[Any]) -> Any:
    view = memoryview(buffers[0])
    return real(fd, [view[: _share(len(view), error)]])


def _recv_into(real: Any, error: str, sock: Any, buffer: Any, *rest: Any) -> Any:
    view = memoryview(buffer)
    return real(sock, view[: _share(len(view), error)], *rest)


def _write(real: Any, error: str, target: Any, data: Any, *flags: int) -> Any:
    return real(target, memoryview(data)[: _share(len(data), error)], *flags)


def _writev(real: Any, error: str, fd: int, buffers: list[Any]) -> Any:
    data = b"".join(buffers)
    return real(fd, [data[: _share(len(data), error)]])


_SHORTENED: dict[str, Callable[..., Any]] = {
    "os.read": _read,
    "os.readv": _readv,
    "os.write": _write,
    "os.writev": _writev,
    "recv": _read,
    "recv_into": _recv_into,
    "send": _write,
}
