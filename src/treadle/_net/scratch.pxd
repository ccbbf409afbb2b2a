from cpython.object cimport PyObject

cdef Py_ssize_t _RECORD_SIZE
cdef Py_ssize_t _INBOX_SIZE
cdef Py_ssize_t _PLAIN_SIZE
cdef Py_ssize_t _LARGE
cdef Py_ssize_t _SHEET


cdef class Window:
    cdef char *memory  # owned; freed with the window
    cdef PyObject *sheet  # owned, with the only reference there is between two calls; or NULL
    cdef Py_ssize_t start
    cdef Py_ssize_t stop


cdef class Part:
    cdef bytes data
    cdef Py_ssize_t start
    cdef Py_ssize_t stop


cdef class Scratch:
    cdef Window _inbox
    cdef Window _plain
    cdef Part _part
    cdef tuple _order
    cdef readonly Py_ssize_t last

    cpdef object inbox(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef int inbox_byte(self, Py_ssize_t index) except -1
    cpdef int header(self, Py_ssize_t index) except -1
    cpdef Py_ssize_t load(self, bytes data, Py_ssize_t start) except -1
    cpdef expect(self, Py_ssize_t count)
    cpdef tuple order(self, Py_ssize_t start)
    cpdef bytes take(self, Py_ssize_t count)
    cpdef object part(self, bytes data, Py_ssize_t start)
    cpdef end_part(self)
