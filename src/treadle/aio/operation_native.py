# cython: annotation_typing=True, nonecheck=True
"""Operations, compiled: resumed through the slots of their type.

Facts. The interpreter resumes what it awaits through `tp_iternext` (since 3.12) or `am_send`
(3.11); the C task takes `am_send`. `tp_iternext` says "done with None" by NULL without an
exception; another result costs a StopIteration. Cython's own `__next__` would add a traceback to
each StopIteration, and has no `am_send` at all. So both slots are set here.

Objects come from a freelist, so a call that does not wait allocates nothing. There is one type of
operation, and the owner does the work: a type that derives from another one is made and ended in
twice as many steps. `__dealloc__`, not `__del__` ends a dropped operation: an object from a
freelist is finalised once in all its lives. When it is the cycle collector that drops it, the
fields may be empty already. Then there is nothing to give back: what could still be handed to the
operation is a future, and whoever holds that future keeps task and operation alive.

Ownership: the raw pointers are the slots' arguments, borrowed for the call; what `advance` leaves
in `found` is a new reference.
"""

import asyncio
import warnings
from collections.abc import Coroutine

import cython
from cython.cimports.cpython.object import PyObject, PyTypeObject
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.treadle._core.invoke import mark_awaited, result_of
from cython.cimports.treadle._sys.coroutine import resume_by, take_spare

NEW = cython.declare(cython.int, 0)
WAITING = cython.declare(cython.int, 1)
DONE = cython.declare(cython.int, 2)
_InvalidStateError = cython.declare(object, asyncio.InvalidStateError)


class Owner:
    """What has asynchronous methods; the base of queues, locks and streams (see the plain twin)."""

    def begin(self, operation):
        """Do what is asked for and return the outcome, or ``operation.wait_for(future)``."""
        raise NotImplementedError

    def woken(self, operation):
        """Go on after `waiting` had its result; return as `begin` does."""
        raise NotImplementedError

    def failed(self, operation):
        """Give back what the operation holds."""
        raise NotImplementedError

    def title(self, operation):
        """Return the name of the method that made the operation."""
        raise NotImplementedError


class Operation:
    """An awaitable that is awaited once, and passes for a coroutine (see the plain twin)."""

    def wait_for(self, future):
        """Let the operation wait for a future, which is returned."""
        self.waiting = future
        self.stage = WAITING
        mark_awaited(future)
        return future

    def pass_turn(self):
        """Let the operation go on in the next turn; return what tells the task so."""
        self.waiting = None
        self.stage = WAITING

    def __getattr__(self, name):
        if name == "__qualname__":  # Cython allows no property of that name
            return self.owner.title(self)
        if name == "__name__":
            return self.owner.title(self).rpartition(".")[2]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cr_await(self):
        """What is waited for, or None."""
        return self.waiting if self.stage == WAITING else None

    @property
    def cr_running(self):
        """False: no other code can look while an operation runs."""
        return False

    def __repr__(self):
        return f"<coroutine {self.owner.title(self)} at {id(self):#x}>"

    def __await__(self):
        return self

    def __iter__(self):  # for ``yield from`` in a generator
        return self

    def __next__(self):
        return _resume(self)  # for who calls it by name; the slot is another (see below)

    def send(self, value):
        """Go on, as a coroutine does."""
        if value is not None and self.stage == NEW:
            raise TypeError("can't send non-None value to a just-started coroutine")
        return _resume(self)

    def throw(self, kind, value=None, traceback=None):
        """Go on with an exception, as a coroutine does."""
        error = _instance(kind, value, traceback)
        if self.stage == DONE:
            raise _awaited_twice()
        waits: cython.bint = self.stage == WAITING
        self.stage = DONE
        if waits:
            _fail(self, error)
        raise error

    def close(self):
        """Give up, as a coroutine does."""
        waits: cython.bint = self.stage == WAITING
        self.stage = DONE
        if waits:
            self.owner.failed(self)

    def __dealloc__(self):
        if self.stage == DONE:
            return
        if self.owner is None:  # the collector was here
            return
        if self.stage == NEW:
            warn_never_awaited(self.owner.title(self))
        else:
            self.close()


class Finished:
    """An awaitable that is done with None, any number of times."""

    def __await__(self):
        return self

    def __iter__(self):  # for ``yield from`` in a generator
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        """Finish."""
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        """Raise what is thrown in."""
        raise _instance(kind, value, traceback)

    def close(self):
        """Do nothing."""


class Scope(Owner):
    """What is entered without waiting, by ``async with``; the base of timeouts and task groups."""

    def _enter(self):
        """Enter."""
        raise NotImplementedError

    def begin(self, operation):
        """Enter, and give the scope."""
        self._enter()
        return self

    def title(self, operation):
        """Return the name of the method."""
        return f"{type(self).__name__}.__aenter__"


def new_operation(owner, verb, argument):
    """Return what an asynchronous method of `owner` returns."""
    operation: Operation
    raw: cython.pointer(PyObject) = take_spare()
    if raw == cython.NULL:
        operation = Operation.__new__(Operation)
    else:
        operation = cython.cast(Operation, raw)
        Py_DECREF(operation)  # the one that take_spare gave
        operation.stage = NEW
    operation.owner = owner
    operation.verb = verb
    operation.argument = argument
    return operation


def warn_never_awaited(title):
    """Warn of an operation that was made and dropped."""
    warnings.warn(f"coroutine '{title}' was never awaited", RuntimeWarning, stacklevel=1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def advance(
    raw: cython.pointer(PyObject), found: cython.pointer(cython.pointer(PyObject))
) -> cython.int:
    """Resume; return 0 with the result in `found`, or 1 with the future to wait for."""
    operation: Operation = cython.cast(Operation, raw)
    stage: cython.int = operation.stage
    if stage == NEW:
        operation.stage = DONE
        value = operation.owner.begin(operation)
    elif stage == WAITING:
        operation.stage = DONE
        if operation.waiting is not None:
            _take_result(operation)
        value = operation.owner.woken(operation)
    else:
        raise _awaited_twice()
    Py_INCREF(value)
    found[0] = cython.cast(cython.pointer(PyObject), value)
    return operation.stage == WAITING


@cython.cfunc
def _take_result(operation: Operation):
    """Raise what became of the future, if that is no result."""
    try:
        result_of(operation.waiting)
    except BaseException as error:
        if isinstance(error, _InvalidStateError) and not operation.waiting.done():
            operation.stage = WAITING
            raise RuntimeError("await wasn't used with future") from None
        _fail(operation, error)


@cython.cfunc
def _resume(operation: Operation):
    found: cython.pointer(PyObject) = cython.NULL
    outcome: cython.int = advance(
        cython.cast(cython.pointer(PyObject), operation), cython.address(found)
    )
    value = cython.cast(object, found)
    Py_DECREF(value)
    if outcome == 0:
        raise StopIteration(value)
    return value


@cython.cfunc
@cython.exceptval(check=False)  # it only lets go of objects
def recycle(raw: cython.pointer(PyObject)) -> cython.int:
    """Empty an operation that nobody refers to; return False if it is not done."""
    operation: Operation = cython.cast(Operation, raw)
    if operation.stage != DONE:
        return False
    operation.owner = None
    operation.argument = None
    operation.waiting = None
    return True


@cython.cfunc
def _fail(operation: Operation, error):
    operation.owner.failed(operation)
    operation.waiting = None
    raise error


@cython.cfunc
def _instance(kind, value, traceback):
    """Return the exception that the arguments of `throw` mean."""
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    else:
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)


@cython.cfunc
def _awaited_twice():
    return RuntimeError("cannot reuse already awaited coroutine")


resume_by(cython.cast(cython.pointer(PyTypeObject), Operation), advance, recycle)
Coroutine.register(Operation)
Coroutine.register(Finished)
