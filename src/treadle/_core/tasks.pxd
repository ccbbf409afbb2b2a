cdef bint _PASSES_KEYWORDS
cdef object _Task


cdef class TaskKeeper:
    cdef readonly set alive
    cdef Py_ssize_t sweep_at
    cdef public object factory

    cpdef create(self, loop, coro, dict keywords)
    cpdef keep(self, task)
    cdef hold(self, task)
    cpdef discard(self, task)
    cdef _from_factory(self, loop, coro, dict keywords)
    cdef _sweep(self)
