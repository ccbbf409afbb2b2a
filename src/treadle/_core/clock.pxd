cdef class Clock:
    cpdef long long now_ns(self) except? -1


cpdef long long deadline_after(long long start, double seconds, double when=*) except? -1
