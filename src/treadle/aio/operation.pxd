cimport cython


@cython.freelist(64)
cdef class Operation:
    # Deriving classes add no field of their own: then they share the freelist.
    cdef object owner
    cdef object argument
    cdef int stage
    cdef object waiting
    cdef object result

    cdef begin(self)
    cdef woken(self)
    cdef failed(self, error)
    cdef title(self)


cdef class Finished:
    pass


cpdef new_future(object loop)
