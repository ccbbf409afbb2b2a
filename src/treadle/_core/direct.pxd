cpdef object receive_now(object sock, object size)
cpdef Py_ssize_t send_now(object sock, object data) except? -2
cpdef int number(object sock) except? -2
