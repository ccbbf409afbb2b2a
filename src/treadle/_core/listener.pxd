cdef class Listener:
    cdef bint hear(self, task) except -1
