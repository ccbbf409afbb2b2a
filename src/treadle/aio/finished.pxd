cimport cython


@cython.final
cdef class Finished:
    cdef object result


@cython.locals(made=Finished)
cpdef Finished finished(object result)
