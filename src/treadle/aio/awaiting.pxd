cimport cython
from cpython.object cimport PyObject

cdef int FRESH
cdef int WAITING
cdef int DONE


@cython.freelist(64)
cdef class Awaiting:
    cdef object owner
    cdef object argument
    cdef object waiter
    cdef Py_ssize_t number
    cdef Py_ssize_t mark
    cdef signed char state

    cdef begin(self)
    cdef resume(self)
    cdef abandon(self)
    cdef str title(self)
    cdef wait_for(self, future)
    cdef pass_turn(self)
    cdef waited(self)
    cdef step(self)

cpdef Awaiting start(Awaiting operation, object owner, object argument, Py_ssize_t number)
cpdef swift(kind)

# What the interpreter calls: a new reference; NULL with StopIteration, or alone, is the answer.
cdef PyObject *_next(PyObject *raw) except? NULL
cdef int _send(PyObject *raw, PyObject *value, PyObject **result) except -1
