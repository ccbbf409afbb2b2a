# cython: annotation_typing=True
"""Calling out, compiled: a context is entered and left without a ``Context.run`` in between.

How a task's step looks. The C task hands the loop one of two callables: a ``TaskStepMethWrapper``
(first step, and after a bare ``yield``), a private type that holds the task right behind its object
header and shows it as ``__self__``; or a built-in method bound to the task (wake-up by a future).
The private type is learned from a task that is stepped by hand when this module is imported, and
the place of the task in it is checked against ``__self__`` there. Where that does not hold, no step
of that kind is recognised, and finished tasks are found by the sweep in ``tasks.py`` instead.

Ownership: every raw pointer here is borrowed from an argument and lives no longer than the call.
"""

import asyncio
import sys
import types
import weakref

import cython
from cython.cimports.cpython.object import PyObject, PyTypeObject
from cython.cimports.treadle._core.quick import Quick
from cython.cimports.treadle._sys.binding import binding_of
from cython.cimports.treadle._sys.python import (
    Py_TYPE,
    PyCFunction_CheckExact,
    PyCFunction_GET_SELF,
    PyContext_Enter,
    PyContext_Exit,
    PyObject_TypeCheck,
    PyObject_VectorcallMethod,
    PySet_Discard,
    call_method0,
    call_method1,
    copy_context,
    first_weakref,
    make,
    make_bare,
    raise_flag,
    shed_empty_dict,
    step_task,
)
from cython.cimports.treadle._sys.quick import copy_method, quicken_one

_future_type = cython.declare(object, asyncio.Future)
_future_done = cython.declare(object, asyncio.Future.done)
_future_result = cython.declare(object, asyncio.Future.result)
_future_set_result = cython.declare(object, asyncio.Future.set_result)
_future_awaited = cython.declare(object, vars(asyncio.Future)["_asyncio_future_blocking"])
future_kind = cython.declare(cython.pointer(PyTypeObject), cython.NULL)  # owned by _future_type;
# NULL where futures are not of C
_no_args = cython.declare(tuple, ())
_ENTRANCES = cython.declare(tuple, ("__aenter__", "__aexit__"))  # each is bound for one call
_task_type = cython.declare(object, asyncio.Task)
_task_add_done_callback = cython.declare(object, asyncio.Task.add_done_callback)
_task_result = cython.declare(object, asyncio.Task.result)
_task_exception = cython.declare(object, asyncio.Task.exception)
_task_cancelled = cython.declare(object, asyncio.Task.cancelled)
_task_done = cython.declare(object, asyncio.Task.done)
_step_type = cython.declare(object, None)  # keeps `step_kind` alive
task_kind = cython.declare(cython.pointer(PyTypeObject), cython.NULL)  # owned by _task_type
step_kind = cython.declare(cython.pointer(PyTypeObject), cython.NULL)  # owned by _step_type


def current_context():
    """Return a copy of the current context."""
    return copy_context()


def invoke_method(context, owner, name):
    """Call ``owner.name()`` in `context` and return what it returns."""
    stack: cython.pointer(PyObject)[1]
    stack[0] = cython.cast(cython.pointer(PyObject), owner)
    PyContext_Enter(context)
    try:
        return PyObject_VectorcallMethod(name, stack, 1, cython.NULL)
    finally:
        PyContext_Exit(context)


def invoke_method1(context, owner, name, argument):
    """Call ``owner.name(argument)`` in `context` and return what it returns."""
    stack: cython.pointer(PyObject)[2]
    stack[0] = cython.cast(cython.pointer(PyObject), owner)
    stack[1] = cython.cast(cython.pointer(PyObject), argument)
    PyContext_Enter(context)
    try:
        return PyObject_VectorcallMethod(name, stack, 2, cython.NULL)
    finally:
        PyContext_Exit(context)


def invoke_method2(context, owner, name, first, second):
    """Call ``owner.name(first, second)`` in `context` and return what it returns."""
    stack: cython.pointer(PyObject)[3]
    stack[0] = cython.cast(cython.pointer(PyObject), owner)
    stack[1] = cython.cast(cython.pointer(PyObject), first)
    stack[2] = cython.cast(cython.pointer(PyObject), second)
    PyContext_Enter(context)
    try:
        return PyObject_VectorcallMethod(name, stack, 3, cython.NULL)
    finally:
        PyContext_Exit(context)


def make_future(keywords: dict):
    """Make a future; `keywords` stays the caller's and is not changed."""
    if keywords is None:  # a loop whose __init__ was not called
        raise AttributeError("the loop has not been initialised: call super().__init__()")
    if future_kind == cython.NULL:
        return _future_type(**keywords)
    return make_bare(future_kind, _no_args, keywords)


def settle(future, value):
    """Do what ``future.set_result(value)`` does."""
    if Py_TYPE(cython.cast(cython.pointer(PyObject), future)) == future_kind:
        call_method1(_future_set_result, future, value)
    else:
        future.set_result(value)


def is_settled(future):
    """Do what ``future.done()`` does."""
    kind: cython.pointer(PyTypeObject) = Py_TYPE(cython.cast(cython.pointer(PyObject), future))
    if kind == future_kind:
        return call_method0(_future_done, future) is True
    if kind == task_kind:
        return task_is_done(future)
    return future.done()


def mark_awaited(future):
    """Tell the task that gets `future` from an await that it was awaited, not yielded."""
    if Py_TYPE(cython.cast(cython.pointer(PyObject), future)) == future_kind:
        raise_flag(_future_awaited, future)
    else:
        future._asyncio_future_blocking = True


def make_task(coro, keywords: dict):
    """Make a task of asyncio's own class; `keywords` stays the caller's and is not changed."""
    if keywords is None:
        raise AttributeError("the loop has not been initialised: call super().__init__()")
    return make(task_kind, coro, keywords)


def stepped_task(callback):
    """Return the C task whose step or wake-up `callback` is, or None (see the plain twin)."""
    raw: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), callback)
    owner: cython.pointer(PyObject) = cython.NULL
    if Py_TYPE(raw) == step_kind:
        owner = step_task(raw)
    elif PyCFunction_CheckExact(raw):
        owner = PyCFunction_GET_SELF(raw)
    if owner == cython.NULL or not PyObject_TypeCheck(owner, task_kind):
        return None
    return cython.cast(object, owner)


def unregister(task):
    """Take a done task out of asyncio's register of all tasks (see the plain twin)."""
    if register is None:
        return
    raw: cython.pointer(PyObject) = first_weakref(cython.cast(cython.pointer(PyObject), task))
    if raw != cython.NULL:
        # whichever it is: weak references to one object are equal, and the register's own is
        # the first as long as nobody made one without a callback
        reference = cython.cast(object, raw)
        PySet_Discard(register, reference)


def find_register():
    """Return the set of weak references in which C tasks are registered before Python 3.14."""
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    tasks = getattr(asyncio.tasks, name, None)
    if sys.version_info >= (3, 14) or type(tasks) is not weakref.WeakSet:
        return None
    return tasks.data if type(tasks.data) is set else None


def shed_dict(owner):
    """Give back the empty `__dict__` of an object (see the plain twin).

    Python makes another one when an attribute is first set, and what Cython writes for such a class
    knows that there may be none.
    """
    shed_empty_dict(owner)


def hear_of_end(future, listener):
    """Do what ``future.add_done_callback(listener)`` does."""
    if Py_TYPE(cython.cast(cython.pointer(PyObject), future)) == task_kind:
        call_method1(_task_add_done_callback, future, listener)
    else:
        future.add_done_callback(listener)


def result_of(future):
    """Do what ``future.result()`` does."""
    kind: cython.pointer(PyTypeObject) = Py_TYPE(cython.cast(cython.pointer(PyObject), future))
    if kind == future_kind:
        return call_method0(_future_result, future)
    if kind == task_kind:
        return call_method0(_task_result, future)
    return future.result()


def exception_of(future):
    """Do what ``future.exception()`` does."""
    if Py_TYPE(cython.cast(cython.pointer(PyObject), future)) == task_kind:
        return call_method0(_task_exception, future)
    return future.exception()


def task_is_done(task):
    """Say whether a task returned by `stepped_task` is done."""
    return call_method0(_task_done, task) is True


def task_is_cancelled(task):
    """Say whether a C task was cancelled."""
    return call_method0(_task_cancelled, task) is True


def own_methods(cls, names):
    """Make compiled methods that a class inherits its own (see the plain twin)."""
    for name in names:
        method = getattr(cls, name)
        if type(method) is types.MethodDescriptorType:
            own = copy_method(cls, method)
            setattr(cls, name, binding_of(own) if name in _ENTRANCES else own)


@cython.cfunc
def call_quick(quick: object, owner: object, argument: object) -> object:
    return cython.cast(Quick, quick).call(owner, argument)


def quicken_method(method, quick: Quick):
    """Have ``method(argument)`` call ``quick.call(self, argument)`` (see the plain twin)."""
    quicken_one(method, quick, call_quick)


@cython.cclass
class _Probe:
    """A loop just real enough for one task's first step."""

    step: object

    def get_debug(self):
        return False

    def call_soon(self, callback, *args, context=None):
        self.step = callback


async def _nothing():
    pass


def learn_step_type():
    """Fill in `task_kind` and `step_kind`; called once, by this module."""
    global _step_type, task_kind, step_kind
    task_kind = cython.cast(cython.pointer(PyTypeObject), _task_type)
    probe: _Probe = _Probe()
    task = asyncio.Task(_nothing(), loop=probe)
    step = probe.step
    raw = cython.cast(cython.pointer(PyObject), step)
    if type(step).__name__ == "TaskStepMethWrapper" and step.__self__ is task:
        if step_task(raw) == cython.cast(cython.pointer(PyObject), task):
            _step_type = type(step)
            step_kind = cython.cast(cython.pointer(PyTypeObject), _step_type)
    step()
    task.result()


register = cython.declare(object, find_register())


def learn_future_type():
    """Fill in `future_kind`; called once, by this module."""
    global future_kind
    if type(_future_awaited) is types.GetSetDescriptorType:
        future_kind = cython.cast(cython.pointer(PyTypeObject), _future_type)


learn_future_type()
learn_step_type()
