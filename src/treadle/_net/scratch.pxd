cdef Py_ssize_t _RECORD_SIZE
cdef Py_ssize_t _INBOX_SIZE
cdef Py_ssize_t _PLAIN_SIZE


cdef class Window:
    cdef char *memory  # owned; freed with the window
    cdef Py_ssize_t start
    cdef Py_ssize_t stop


cdef class Scratch:
    cdef Window _inbox
    cdef Window _plain

    cpdef object inbox(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef int inbox_byte(self, Py_ssize_t index) except -1
    cpdef Py_ssize_t load(self, bytes data, Py_ssize_t start) except -1
    cpdef object plain(self, Py_ssize_t start)
    cpdef bytes take(self, Py_ssize_t count)
