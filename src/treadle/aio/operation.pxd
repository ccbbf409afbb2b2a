cimport cython


cdef class Owner:
    cdef begin(self, Operation operation)
    cdef woken(self, Operation operation)
    cdef failed(self, Operation operation)
    cdef title(self, Operation operation)


@cython.final
cdef class Operation:
    cdef Owner owner
    cdef object argument
    cdef object waiting
    cdef int verb
    cdef int stage
    cdef Py_ssize_t number
    cdef Py_ssize_t mark

    cdef wait_for(self, future)
    cdef pass_turn(self)


@cython.final
cdef class Finished:
    pass


cdef class Scope(Owner):
    cdef _enter(self)


cpdef Operation new_operation(Owner owner, int verb, object argument)
