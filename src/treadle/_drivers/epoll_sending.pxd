cdef Py_ssize_t send_bytes(int fd, bint is_pipe, data, Py_ssize_t offset) except -1
cdef Py_ssize_t send_pieces(int fd, bint is_pipe, chunks, Py_ssize_t offset) except -1
cdef Py_ssize_t sent(Py_ssize_t count, int error) except -1
