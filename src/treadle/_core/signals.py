"""Signals: handlers of the loop, and a wait that a signal always ends.

Python runs signal handlers between bytecodes of the main thread. A signal that arrives just before
the thread waits in the kernel would be noticed only after the wait; the wake-up descriptor
(``signal.set_wakeup_fd``) closes that gap: the C-level handler writes the signal's number to a
socket that the driver watches. It is set while the loop runs in the main thread, and from the first
`add` on, so that a signal which comes before the loop runs is delivered when it does.

May not know: what the callbacks do, or that a runner handles SIGINT.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from treadle._core.handles import Handle, new_handle
from treadle._core.invoke import current_context
from treadle._core.log import logger
from treadle._drivers.base import READ, Endpoint

__all__ = ["Signals"]

_NOT_SET = -1


class Signals:
    """The signal handlers of one loop."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._handlers: dict[int, Handle] = {}
        self._mailbox: _Mailbox | None = None
        self._sender: socket.socket | None = None  # where the C-level handler writes
        self._old_wakeup_fd = _NOT_SET  # whose place we took while running
        self._installed = False  # our wake-up descriptor is set

    def start(self) -> None:
        """Make signals end the driver's wait; does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread() and not self._installed:
            self._install()

    def finish(self) -> None:
        """Give the wake-up descriptor back, unless handlers still need it."""
        if self._installed and not self._handlers:
            self._uninstall()

    def close(self) -> None:
        """Take every handler off."""
        if sys.is_finalizing():
            self._handlers.clear()
        else:
            for sig in list(self._handlers):
                self.remove(sig)
            if self._installed:
                self._uninstall()
        if self._mailbox is not None:
            self._loop._driver.detach(self._mailbox)
            self._mailbox.receiver.close()
            self._mailbox = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def disown(self) -> None:
        """In a forked child, let the parent's loop hear nothing of this process's signals.

        Signals that the loop would have handled have their default effect again: there is nobody
        here to handle them, and a child that ignored SIGTERM could not be ended.
        """
        if self._installed:
            self._installed = False
            signal.set_wakeup_fd(-1)
        for sig in self._handlers:
            if signal.getsignal(sig) is _ignore:
                signal.signal(sig, _default_handler(sig))
        self._handlers = {}
        if self._mailbox is not None:
            self._mailbox.receiver.close()
            self._mailbox = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def add(self, sig: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Call ``callback(*args)`` in the loop for each signal `sig`."""
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        _check_signal(sig)
        self._loop._check_closed()
        if not self._installed:
            try:
                self._install()
            except (ValueError, OSError) as exc:
                raise RuntimeError(str(exc)) from None
        old = self._handlers.get(sig)
        self._handlers[sig] = new_handle(callback, args, self._loop, current_context())
        try:
            # a Python-level handler makes the C-level one write to the wake-up descriptor
            signal.signal(sig, _ignore)
            # system calls that a signal interrupts are taken up again
            signal.siginterrupt(sig, False)
        except (ValueError, OSError) as exc:
            if old is not None:
                self._handlers[sig] = old
            else:
                self._forget(sig)
            if isinstance(exc, ValueError):  # not the main thread
                raise RuntimeError(str(exc)) from None
            raise _explained(exc, sig) from None

    def remove(self, sig: int) -> bool:
        """Put the default handler of `sig` back; False when we had none."""
        _check_signal(sig)
        if sig not in self._handlers:
            return False
        self._forget(sig)
        try:
            signal.signal(sig, _default_handler(sig))
        except OSError as exc:
            raise _explained(exc, sig) from None
        return True

    def deliver(self, numbers: bytes) -> None:
        """Queue the handlers of the signals that came."""
        for sig in numbers:
            handle = self._handlers.get(sig)
            if handle is None:
                continue  # not ours: its Python-level handler has run or will run
            if handle._cancelled:
                self.remove(sig)
            else:
                self._loop._queue_handle(handle)

    def _forget(self, sig: int) -> None:
        del self._handlers[sig]
        if not self._handlers and not self._loop.is_running():
            self._uninstall()

    def _install(self) -> None:
        if self._mailbox is None:
            self._open_mailbox()
        sender: Any = self._sender
        self._old_wakeup_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self._installed = True

    def _open_mailbox(self) -> None:
        receiver, sender = socket.socketpair()
        mailbox = _Mailbox(self, receiver)
        try:
            receiver.setblocking(False)
            sender.setblocking(False)
            self._loop._driver.attach(mailbox, receiver.fileno())
            self._loop._driver.set_interest(mailbox, READ)
        except BaseException:
            self._loop._driver.detach(mailbox)
            receiver.close()
            sender.close()
            raise
        self._mailbox = mailbox
        self._sender = sender

    def _uninstall(self) -> None:
        self._installed = False
        old = self._old_wakeup_fd
        self._old_wakeup_fd = _NOT_SET
        try:
            signal.set_wakeup_fd(old)
        except (ValueError, OSError) as exc:
            # not the main thread any more, or the former owner closed its descriptor
            logger.info("set_wakeup_fd(%d) failed: %s", old, exc)


class _Mailbox(Endpoint):
    """Receives the numbers that the C-level signal handler writes."""

    def __init__(self, signals: Signals, receiver: socket.socket) -> None:
        Endpoint.__init__(self)
        self._signals = signals
        self.receiver = receiver

    def ready(self, mask: int) -> None:
        """Read what was written and deliver it."""
        while True:
            try:
                numbers = os.read(self.receiver.fileno(), 4096)
            except (BlockingIOError, InterruptedError):
                return
            if not numbers:
                return
            self._signals.deliver(numbers)


def _ignore(sig: int, frame: object) -> None:
    """Stand in as a handler; the work is done when the loop reads the number."""


def _default_handler(sig: int) -> Any:
    return signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL


def _explained(exc: OSError, sig: int) -> Exception:
    return RuntimeError(f"sig {sig} cannot be caught") if exc.errno == errno.EINVAL else exc


def _check_signal(sig: int) -> None:
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")
