# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""The ready queue, compiled: a ring in a list, and the shortest way from a handle to its callback.

Only code that holds the GIL touches the ring, and no Python code runs while it is half changed:
another thread or a signal handler always finds it whole. A list holds the handles because the cycle
collector can look into a list; memory of our own would hide the way from loop to queue to handle to
loop from it.

Handles are used again. One that has run and that nobody else refers to, neither strongly nor
weakly, goes to `spares` instead of back to the allocator and the collector's books.

How a task's step looks. The C task hands the loop one of two callables: a ``TaskStepMethWrapper``
or a built-in method bound to the task; `stepped_task` (``invoke_native.py``) tells them. Python
functions and methods are told apart from them by their type alone, without a call.

Ownership: `run_handle` holds references of its own to callback, arguments and context, because the
callback may cancel its own handle, which lets go of the handle's.
"""

import cython
from cython.cimports.cpython.object import PyObject, PyTypeObject
from cython.cimports.treadle._core.handles import Handle, new_handle
from cython.cimports.treadle._core.invoke import quicken_method, stepped_task
from cython.cimports.treadle._core.listener import Listener
from cython.cimports.treadle._core.quick import Quick
from cython.cimports.treadle._sys.python import (
    Py_REFCNT,
    Py_TYPE,
    PyFunction_Type,
    PyMethod_Type,
    call_in_context,
    copy_context,
    has_weakrefs,
    is_right_below,
    raise_pending,
)
from cython.cimports.treadle._sys.quick import quicken_soon

FIRST_CAPACITY = cython.declare(cython.Py_ssize_t, 64)  # a power of two, as all later ones
MAX_SPARES = cython.declare(cython.Py_ssize_t, 256)


class Owner:
    """What a ready queue tells its owner; the base of the wheel."""

    def queue_soon(self, callback, args, context):
        """Do what ``call_soon(callback, *args, context=context)`` does."""
        raise NotImplementedError

    def start_task(self, coro):
        """Do what ``create_task(coro)`` does."""
        raise NotImplementedError

    def callback_failed(self, handle: Handle, exc):
        """Hear that a callback raised something else than SystemExit and KeyboardInterrupt."""
        raise NotImplementedError

    def step_begins(self, task):
        """Hear that a task is about to be resumed; only called while `watched` is set."""
        raise NotImplementedError

    def step_ended(self, task):
        """Hear that a task waits again or is done, also when the step raised."""
        raise NotImplementedError


class ReadyQueue:
    """First in, first out; never drops, never reorders.

    Invariants: ``0 <= count <= mask + 1 == len(ring)``; the handles are at
    ``ring[(head + i) & mask]`` for i in ``range(count)``, every other place holds None; the first
    `spare_count` places of `spares` hold handles without callback, arguments and context, the rest
    None.
    """

    def __init__(self, owner: Owner):
        self._owner = owner
        self.watched = False  # the owner wants to hear `step_begins`
        self.ring = [None] * FIRST_CAPACITY
        self.mask = FIRST_CAPACITY - 1
        self.head = 0
        self.count = 0
        self.spares = [None] * MAX_SPARES
        self.spare_count = 0

    def add(self, callback, args, context):
        """Make a handle for ``callback(*args)`` and put it at the end."""
        handle: Handle
        if context is None:
            context = copy_context()
        if self.spare_count == 0:
            handle = new_handle(callback, args, self._owner, context)
        else:
            self.spare_count -= 1
            handle = cython.cast(Handle, self.spares[self.spare_count])
            self.spares[self.spare_count] = None
            handle._callback = callback
            handle._args = args
            handle._context = context
        while self.count > self.mask:
            self.grow()
        self.ring[(self.head + self.count) & self.mask] = handle
        self.count += 1
        return handle

    def push(self, handle: Handle):
        """Put a handle at the end."""
        while self.count > self.mask:
            self.grow()
        self.ring[(self.head + self.count) & self.mask] = handle
        self.count += 1

    def pop(self) -> Handle:
        """Take the handle that waited longest; IndexError when there is none."""
        if self.count == 0:
            raise IndexError("pop from an empty ready queue")
        handle: Handle = cython.cast(Handle, self.ring[self.head])
        self.ring[self.head] = None
        self.head = (self.head + 1) & self.mask
        self.count -= 1
        return handle

    def clear(self):
        """Drop every handle."""
        dropped: list = self.ring  # dropped last: that runs destructors, which may queue
        self.ring = [None] * FIRST_CAPACITY
        self.mask = FIRST_CAPACITY - 1
        self.head = 0
        self.count = 0
        dropped.clear()

    def grow(self):
        """Double the ring and lay the handles out from its start.

        Making the list may run the collector, and what that runs may queue handles: nothing has
        been looked at by then, and nothing runs from there to the end.
        """
        bigger: list = [None] * (2 * (self.mask + 1))
        if self.count <= self.mask or len(bigger) <= self.mask + 1:
            return  # grown meanwhile
        i: cython.Py_ssize_t
        for i in range(self.count):
            bigger[i] = self.ring[(self.head + i) & self.mask]
        old: list = self.ring
        self.ring = bigger
        self.head = 0
        self.mask = len(bigger) - 1
        old.clear()

    def run(self, count):
        """Run the next `count` handles, fewer when the queue is cleared meanwhile.

        SystemExit and KeyboardInterrupt pass; the handles not run by then stay in the queue.
        """
        handle: Handle
        while count > 0 and self.count > 0:
            count -= 1
            handle = cython.cast(Handle, self.ring[self.head])
            self.ring[self.head] = None
            self.head = (self.head + 1) & self.mask
            self.count -= 1
            if handle._cancelled:
                continue
            self.run_handle(handle)
            if (
                Py_REFCNT(cython.cast(cython.pointer(PyObject), handle)) == 1
                and not has_weakrefs(cython.cast(cython.pointer(PyObject), handle))
                and handle.forget()  # runs destructors, which may queue and free handles
                and self.spare_count < MAX_SPARES
            ):
                self.spares[self.spare_count] = handle
                self.spare_count += 1

    def run_handle(self, handle: Handle):
        """Run one handle that is not in the queue."""
        callback = handle._callback
        args = handle._args
        context = handle._context
        kind: cython.pointer(PyTypeObject) = Py_TYPE(
            cython.cast(cython.pointer(PyObject), callback)
        )
        if kind != cython.address(PyFunction_Type) and kind != cython.address(PyMethod_Type):
            if is_right_below(
                cython.cast(cython.pointer(PyObject), callback),
                cython.cast(cython.pointer(PyTypeObject), Listener),
            ):
                if self.heard(handle, cython.cast(Listener, callback), args):
                    return
            else:
                task = stepped_task(callback)
                if task is not None:
                    self.run_step(handle, callback, args, context, task)
                    return
        if call_in_context(context, callback, args) < 0:
            self.failed(handle)

    def heard(self, handle: Handle, listener: Listener, args: tuple) -> cython.bint:
        """Let a listener hear of the end of a task; False when it is to be called."""
        if len(args) != 1:
            return False
        try:
            return listener.hear(args[0])
        except BaseException as exc:
            self._owner.callback_failed(handle, exc)
            return True

    def run_step(self, handle: Handle, callback, args, context, task):
        """Run one step of a task."""
        if self.watched:
            try:
                self._owner.step_begins(task)
            except BaseException:
                self.push(handle)  # an interruption must not cost the task its step
                raise
        if call_in_context(context, callback, args) < 0:
            try:
                self.failed(handle)
            finally:
                self._owner.step_ended(task)
        else:
            self._owner.step_ended(task)

    def failed(self, handle: Handle):
        """Tell the owner of the exception that is pending."""
        try:
            raise_pending()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._owner.callback_failed(handle, exc)


@cython.cfunc
def soon_of(owner: object, callback: object, args: object, context: object) -> object:
    return cython.cast(Owner, owner).queue_soon(callback, args, context)


class TaskStarter(Quick):
    """`Wheel.create_task` without keywords."""

    def call(self, owner, coro):
        """Start the task."""
        return cython.cast(Owner, owner).start_task(coro)


def quicken_owner(call_soon, create_task):
    """Have two compiled methods go to `queue_soon` and `start_task` (see the plain twin)."""
    quicken_soon(call_soon, soon_of)
    quicken_method(create_task, TaskStarter())
