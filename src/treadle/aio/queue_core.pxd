cimport cython

from treadle.aio.loopbound cimport LoopBound, discard, wake_next
from treadle.aio.operation cimport Operation, new_operation

cdef int GET
cdef int PUT
cdef int OVERRIDDEN
cdef int FIFO
cdef int LIFO
cdef int PRIORITY
cdef int RING
cdef Py_ssize_t FIRST_CAPACITY
cdef Py_ssize_t LARGE
cdef dict _KINDS


cdef class QueueCore(LoopBound):
    cdef int kind
    cdef object given_size
    cdef Py_ssize_t limit
    cdef list ring
    cdef Py_ssize_t mask
    cdef Py_ssize_t head
    cdef Py_ssize_t count
    cdef object items
    cdef object getters
    cdef object putters
    cdef public Py_ssize_t _unfinished_tasks
    cdef public bint _is_shutdown
    cdef object joined

    cdef bint is_empty(self) except -1
    cdef bint is_full(self) except -1
    @cython.locals(ring=list, head=Py_ssize_t)
    cdef take(self)
    @cython.locals(ring=list)
    cdef add(self, item)
    @cython.locals(ring=list, larger=list, size=Py_ssize_t, i=Py_ssize_t)
    cdef grow(self)
    @cython.locals(small=list)
    cdef shrink(self)
    @cython.locals(i=Py_ssize_t)
    cdef list listed(self)
    @cython.locals(ring=list, i=Py_ssize_t)
    cdef leave_ring(self)

