cdef class Owner:
    cdef begin(self, Operation operation)
    cdef woken(self, Operation operation)
    cdef failed(self, Operation operation)
    cdef title(self, Operation operation)


cdef class Operation:
    cdef Owner owner
    cdef object argument
    cdef object waiting
    cdef object result
    cdef int verb
    cdef int stage


cdef class Finished:
    pass


cpdef Operation new_operation(Owner owner, int verb, object argument)
cpdef new_future(object loop)
