cimport cython


cdef class Hearer:
    cdef bint hears(self) except -1
    cdef hear(self, data)


@cython.locals(hearer=Hearer)
cpdef Hearer as_hearer(protocol)
