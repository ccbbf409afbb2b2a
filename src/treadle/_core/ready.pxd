from treadle._core.handles cimport Handle


cdef class Owner:
    cdef callback_failed(self, Handle handle, exc)
    cdef step_begins(self, task)
    cdef step_ended(self, task)


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
    cdef run_step(self, Handle handle, callback, args, context, task)
    cdef failed(self, Handle handle)
