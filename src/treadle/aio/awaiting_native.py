# cython: annotation_typing=True, nonecheck=True
"""One operation that is awaited once, compiled (see the plain twin).

The interpreter steps what it awaits through ``tp_iternext`` or, where it has one, ``am_send``; the
latter gives back the answer without an exception to carry it. Cython fills the former with a
function that puts every StopIteration through its traceback machinery, and has no way to declare
the latter. So `swift` puts in functions of our own. They do what `__next__` does.
"""

import warnings
from collections.abc import Coroutine

import cython
from cython.cimports.cpython.object import PyTypeObject
from cython.cimports.treadle._sys.stepping import (
    NEXT,
    answer_by_exception,
    given,
    set_steps,
)

FRESH = cython.declare(cython.int, 0)
WAITING = cython.declare(cython.int, 1)
DONE = cython.declare(cython.int, 2)


class Awaiting:
    """The operation; made with ``__new__`` alone and `start`."""

    def begin(self):
        """Do the first step (see the plain twin)."""
        raise NotImplementedError

    def resume(self):
        """Go on when what was waited for is there."""
        raise NotImplementedError

    def abandon(self):
        """Hear that nobody waits any more: an exception was thrown in, or `close` called."""

    def title(self):
        """Return the name to show to users."""
        raise NotImplementedError

    def wait_for(self, future):
        """Return `future`, which the step then returns; the next step comes when it is done."""
        self.waiter = future
        self.state = WAITING
        future._asyncio_future_blocking = True
        return future

    def pass_turn(self):
        """Return None, which the step then returns; the next step comes in the next turn."""
        self.state = WAITING

    def waited(self):
        """Take the outcome of the future: nothing, or the exception that it holds."""
        waiter = self.waiter
        self.waiter = None
        if waiter is not None:
            waiter.result()  # one that is not done says so

    def step(self):
        """Do one step; `state` is ``DONE`` afterwards unless the operation waits."""
        state: cython.int = self.state
        if state == DONE:
            raise RuntimeError(f"cannot reuse already awaited {self.title()}()")
        self.state = DONE
        return self.begin() if state == FRESH else self.resume()

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Do one step, as a coroutine does."""
        result = self.step()
        if self.state == DONE:
            raise StopIteration(result)
        return result

    def throw(self, kind, value=None, traceback=None):
        """End the operation with an exception, as a coroutine does."""
        self.close()
        exc = kind if value is None else value
        if isinstance(exc, type):
            exc = exc()
        elif not isinstance(exc, BaseException):
            exc = kind(exc)
        if traceback is not None:
            exc = exc.with_traceback(traceback)
        raise exc

    def close(self):
        """End the operation; harmless when repeated."""
        waits: cython.bint = self.state == WAITING
        self.state = DONE
        if waits:
            self.abandon()
            self.waiter = None

    def __getattr__(self, name):
        if name in ("__name__", "__qualname__"):  # for the repr of a task
            return self.title()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cr_await(self):
        """What is waited for, or None."""
        return self.waiter

    @property
    def cr_running(self):
        """False: between two steps nothing runs."""
        return False

    def __repr__(self):
        return f"<coroutine {self.title()} of {self.owner!r}>"

    def __dealloc__(self):
        if self.state == WAITING:
            if self.waiter is not None and self.owner is not None:  # else the collector was here
                self.close()
        elif self.state == FRESH:
            warnings.warn(
                f"coroutine {self.title()!r} was never awaited",
                RuntimeWarning,
                stacklevel=1,
            )


def start(operation, owner, argument, number):
    """Fill in an operation that was just made, and return it."""
    operation.owner = owner
    operation.argument = argument
    operation.number = number
    return operation


def _next(raw):
    """Do one step; NULL and StopIteration, or NULL alone for None, when it is done."""
    me: Awaiting = cython.cast(Awaiting, raw)
    result = me.step()
    if me.state == DONE:
        answer_by_exception(result)
        return cython.NULL
    return given(result)


def _send(raw, value, result):
    """Do one step; 0 when it is done, 1 when it waits."""
    me: Awaiting = cython.cast(Awaiting, raw)
    result[0] = cython.NULL
    found = me.step()
    result[0] = given(found)
    return 0 if me.state == DONE else NEXT


def swift(kind):
    """Let the interpreter step a derived class by C calls."""
    set_steps(
        cython.cast(cython.pointer(PyTypeObject), kind),
        cython.cast(cython.p_void, _next),
        cython.cast(cython.p_void, _send),
    )


Coroutine.register(Awaiting)
