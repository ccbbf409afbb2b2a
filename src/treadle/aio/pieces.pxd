cpdef Py_ssize_t as_count(object number) except? -1
cpdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t stop)
cpdef Py_ssize_t find(object data, bytes separator, Py_ssize_t start) except -2
cpdef bytes take_front(bytearray data, Py_ssize_t count)
cpdef bint is_ours_alone(bytearray data) except -1
