cimport cython

from treadle.aio.loopbound cimport LoopBound, discard, wake_next
from treadle.aio.operation cimport Operation

cdef object _append
cdef object _popleft
cdef dict _KINDS


cdef class QueueCore(LoopBound):
    cdef int kind
    cdef object given_size
    cdef Py_ssize_t limit
    cdef public object _queue
    cdef public object _getters
    cdef public object _putters
    cdef public Py_ssize_t _unfinished_tasks
    cdef public bint _is_shutdown
    cdef object joined

    cdef bint is_empty(self) except -1
    cdef bint is_full(self) except -1
    cdef take(self)
    cdef add(self, item)


cdef class Get(Operation):
    @cython.locals(queue=QueueCore)
    cdef begin(self)
    @cython.locals(queue=QueueCore)
    cdef failed(self, error)


cdef class Put(Operation):
    @cython.locals(queue=QueueCore)
    cdef begin(self)
    @cython.locals(queue=QueueCore)
    cdef failed(self, error)


@cython.locals(operation=Get)
cdef new_get(QueueCore queue)

@cython.locals(operation=Put)
cdef new_put(QueueCore queue, item)
