cimport cython

from treadle._core.handles cimport Handle
from treadle._core.listener cimport Listener
from treadle._core.quick cimport Quick


cdef class Owner:
    cdef queue_soon(self, callback, args, context)
    cdef start_task(self, coro)
    cdef callback_failed(self, Handle handle, exc)
    cdef step_begins(self, task)
    cdef step_ended(self, task)


@cython.final
cdef class ReadyQueue:
    cdef Owner _owner
    cdef public bint watched
    cdef list ring
    cdef Py_ssize_t mask
    cdef Py_ssize_t head
    cdef readonly Py_ssize_t count
    cdef list spares
    cdef Py_ssize_t spare_count

    cpdef Handle add(self, callback, args, context)
    cpdef push(self, Handle handle)
    cpdef Handle pop(self)
    cpdef clear(self)
    cdef grow(self)
    cpdef run(self, Py_ssize_t count)
    cpdef run_handle(self, Handle handle)
    cdef bint heard(self, Handle handle, Listener listener, tuple args) except -1
    cdef run_step(self, Handle handle, callback, args, context, task)
    cdef failed(self, Handle handle)


cpdef quicken_owner(call_soon, create_task)


cdef class TaskStarter(Quick):
    pass
