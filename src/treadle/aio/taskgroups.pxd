cimport cython

from treadle._core.invoke cimport exception_of, hear_of_end, quicken_method, task_is_cancelled
from treadle._core.listener cimport Listener
from treadle._core.quick cimport Quick
from treadle.aio.operation cimport Finished, Scope, new_operation
from treadle.aio.shortcuts cimport new_future, spawn

cdef object _running_loop
cdef Finished _NOTHING
cdef object _Task
cdef object _CancelledError
cdef object current_task_of
cdef object _add_awaiter
cdef object _discard_awaiter


cdef class TaskGroupCore(Scope):
    cdef public bint _entered
    cdef public bint _exiting
    cdef public bint _aborting
    cdef public bint _parent_cancel_requested
    cdef public object _loop
    cdef public object _parent_task
    cdef public set _tasks
    cdef public object _errors
    cdef public object _base_error
    cdef public object _on_completed_fut
    cdef object _on_done

    cdef _enter(self)
    cdef _create(self, coro, dict keywords)
    cdef _add(self, task)
    cdef _refuse(self)
    cdef _drop(self, task)
    cdef _raise_what_happened(self, exc, cancelled, later)
    cdef _let_go(self)
    cdef _on_task_failed(self, task, exc)


cdef class GroupListener(Listener):
    cdef TaskGroupCore group

    cdef bint hear(self, task) except -1


cdef class MemberStarter(Quick):
    @cython.locals(group=TaskGroupCore)
    cdef call(self, owner, argument)

cdef bint _is_base_error(exc) except -1
