cdef class Quick:
    cdef call(self, owner, argument)
