cdef class Hearer:
    cdef bint hears(self) except -1
    cdef hear(self, data)
